"""What loggers show of the test images: as many of each class alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import Snapshot


def class_names(snapshot: Snapshot, labels: np.ndarray, otherwise: str) -> list[str]:
    """The names [P] of classes [P]; `otherwise` where the class is -1."""
    return [snapshot.classes[label] if label >= 0 else otherwise for label in labels]
