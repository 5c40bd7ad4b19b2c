"""The latent judge: a vote among training means, which says whose a latent point is."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

from dvae_core.errors import DataError

K = 15
"""Neighbours that vote."""
VOID = -1
"""The verdict where no class counts."""


class Judge:
    """A vote of the k nearest labelled training means.

    Ties go to the class with the nearer voters, so that no class gains by its number. Off the
    data's support no class counts: a point is void where its k-th neighbour is farther than that
    of 99 % of the test means.

    Args:
        means: the training means [N, D].
        labels: theirs [N]; -1 is unlabelled and has no vote.
        test_means: [M, D]; they say how far the support reaches.
        classes: how many classes there are.
        k: how many neighbours vote.

    Raises:
        DataError: no mean has a label.
    """

    def __init__(
        self,
        means: np.ndarray,
        labels: np.ndarray,
        test_means: np.ndarray,
        classes: int,
        k: int = K,
    ) -> None:
        labelled = labels >= 0
        if not labelled.any():
            raise DataError("no training image has a label, so none can judge")
        self._tree = KDTree(means[labelled])
        self._labels = labels[labelled]
        self._test_means = test_means
        self.classes = classes
        self.k = min(k, len(self._labels))

    def nearest(self, points: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Distances and labels [P, k] of the nearest labelled training means, nearest first."""
        ranks = np.arange(1, min(k or self.k, len(self._labels)) + 1)
        distances, indices = self._tree.query(points, k=ranks, workers=-1)
        return distances, self._labels[indices]

    @cached_property
    def test_votes(self) -> np.ndarray:
        """The class [M] that wins the vote at each test mean, void or not."""
        return self._vote(self._test_neighbours[1])

    @cached_property
    def test_verdicts(self) -> np.ndarray:
        """`verdicts` of the test means."""
        far = self._test_neighbours[0][:, -1] > self.reach
        return np.where(far, VOID, self.test_votes)

    @cached_property
    def reach(self) -> float:
        """The distance of the k-th neighbour beyond which a point is void."""
        return float(np.percentile(self._test_neighbours[0][:, -1], 99))

    def accuracy(self, test_labels: np.ndarray) -> float:
        """How often the vote is right at the test means, of those [M] that have a label.

        Raises:
            DataError: none has.
        """
        known = test_labels >= 0
        if not known.any():
            raise DataError("no test image has a label, so nothing is right or wrong")
        return float((self.test_votes == test_labels)[known].mean())

    def verdicts(self, points: np.ndarray) -> np.ndarray:
        """The class [P] that each latent point [P, D] belongs to, or VOID."""
        distances, labels = self.nearest(points)
        return np.where(distances[:, -1] > self.reach, VOID, self._vote(labels))

    @cached_property
    def _test_neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        return self.nearest(self._test_means)

    def _vote(self, labels: np.ndarray) -> np.ndarray:
        points, k = labels.shape
        # A voter counts for one and a little more the nearer it is. All the little ones add up to
        # less than a vote and differ for any two sets of voters (up to 40 of them).
        weights = 1 + 0.5 ** np.arange(2, k + 2)
        cells = labels + self.classes * np.arange(points)[:, None]
        votes = np.bincount(
            cells.ravel(), np.tile(weights, points), minlength=points * self.classes
        )
        return votes.reshape(points, self.classes).argmax(axis=1)
