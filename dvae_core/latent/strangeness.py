"""How far images are from real ones, as the image judge sees them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from dvae_core.latent.borders.image_judge import ImageJudge
from dvae_core.model.data import first_of_each

REAL = 10_000
"""Training images that others are compared with."""
USUAL = 1000
"""Images that training has not seen, which say what distance is usual."""


class Strangeness:
    """Measures images by a judge's features, against those of real ones.

    Args:
        judge: of images.
        known: real ones [N, C, H, W] that it learnt from, and
        labels: theirs [N].
        unseen: real ones [P, C, H, W] that it did not learn from.
    """

    def __init__(
        self, judge: ImageJudge, known: np.ndarray, labels: np.ndarray, unseen: np.ndarray
    ) -> None:
        self._judge = judge
        self._real = judge.features(known[first_of_each(labels, REAL)])
        self._unseen = unseen

    def of(self, images: np.ndarray) -> np.ndarray:
        """As `Snapshot.strangeness`."""
        distances: np.ndarray = self._distances(images) / (self._usual or 1.0)
        return distances

    @cached_property
    def _usual(self) -> float:
        return float(np.median(self._distances(self._unseen)))

    def _distances(self, images: np.ndarray) -> np.ndarray:
        from sklearn.metrics import pairwise_distances_argmin_min

        features = self._judge.features(images)
        distances: np.ndarray = pairwise_distances_argmin_min(features, self._real)[1]
        return distances
