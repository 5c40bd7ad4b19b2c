"""What loggers show of the test images: as many of each class alike, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import Snapshot


def class_names(snapshot: Snapshot, labels: np.ndarray, otherwise: str) -> list[str]:
    """The names [P] of classes [P]; `otherwise` where the class is -1."""
    return [snapshot.classes[label] if label >= 0 else otherwise for label in labels]


def pictures(images: np.ndarray) -> np.ndarray:
    """Images [P, C, H, W] with one or three channels; others become grey."""
    return images if images.shape[1] in (1, 3) else images.mean(axis=1, keepdims=True)
