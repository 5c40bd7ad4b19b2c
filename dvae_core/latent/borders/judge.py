"""The latent judge: a vote among training means, which says whose a latent point is."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

from dvae_core.errors import DataError

K = 15
"""Neighbours that vote."""
VOTERS = 20_000
"""Images that have a vote: never more, so that no verdict hangs on how many a judge was given."""
LONELY = 2.0
"""The local outlier factor from which a point is void."""
LEAF = 8
"""Means in a leaf of the search tree, for each dimension: about the quickest up to 8 of them."""
AT_ONCE = 30_000
"""Points that are judged at once: what is known of each one's neighbours takes its memory."""
ONE_THREAD_UP_TO = 8_000
"""Points times squared dimensions, by which judging takes longer: other threads take as long to
start."""
VOID = -1
"""The verdict where no class counts."""


class Judge:
    """A vote of the k nearest labelled training means, of 20,000 at most.

    Ties go to the class with the nearer voters, so that no class gains by its number.

    Off the data no class counts: a point is void where its k-th neighbour is more than twice as far
    as that of its neighbours, on average. This ratio is the simplified local outlier factor of
    Schubert, Zimek and Kriegel, "Local outlier detection reconsidered" (Data Mining and Knowledge
    Discovery 28, 2014), about 1 within data: so a gap counts by the density of the data beside it.

    Args:
        means: the training means [N, D].
        labels: theirs [N]; -1 is unlabelled and has no vote.
        test_means: [M, D], whose votes are kept.
        classes: how many classes there are.
        k: how many neighbours vote. If left out, 15, and of few images half, for where all of them
            vote, all points are alike.
        void: how lonely a void point is.
        voters: how many images have a vote at most, drawn from all.

    Raises:
        DataError: no mean has a label.
    """

    def __init__(
        self,
        means: np.ndarray,
        labels: np.ndarray,
        test_means: np.ndarray,
        classes: int,
        k: int | None = None,
        void: float = LONELY,
        voters: int = VOTERS,
    ) -> None:
        some = np.flatnonzero(labels >= 0)
        if not len(some):
            raise DataError("no training image has a label, so none can judge")
        if len(some) > voters:
            some = np.sort(np.random.default_rng(0).choice(some, voters, replace=False))
        self._means, self._labels = means[some], labels[some]
        self._tree = KDTree(self._means, leafsize=LEAF * self._means.shape[1])
        self._test_means = test_means
        self.classes = classes
        self.k = min(K, max(len(some) // 2, 1)) if k is None else min(k, len(some))
        self.void = void

    @property
    def voters(self) -> int:
        """How many images have a vote."""
        return len(self._labels)

    def nearest(self, points: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Distances and labels [P, k] of the nearest means that have a vote, nearest first."""
        distances, indices = self._neighbours(points, k or self.k)
        return distances, self._labels[indices]

    @cached_property
    def test_votes(self) -> np.ndarray:
        """The class [M] that wins the vote at each test mean, void or not."""
        return self._test_seen[0]

    @cached_property
    def test_verdicts(self) -> np.ndarray:
        """`verdicts` of the test means."""
        return np.where(self._test_seen[1], VOID, self.test_votes)

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
        votes, void = self.seen(points)
        return np.where(void, VOID, votes)

    def seen(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The class [P] that wins the vote at points [P, D], and whether [P] the point is void."""
        starts = range(0, max(len(points), 1), AT_ONCE)
        votes, void = zip(*(self._seen(points[i : i + AT_ONCE]) for i in starts), strict=True)
        return np.concatenate(votes), np.concatenate(void)

    def _seen(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distances, indices = self._neighbours(points, self.k)
        # The smallest of numbers keeps the ratio finite where images coincide.
        there = self._reaches[indices].mean(axis=1) + 1e-12
        lonely = (distances[:, -1] + 1e-12) / there
        return self._vote(self._labels[indices]), lonely > self.void

    @cached_property
    def _test_seen(self) -> tuple[np.ndarray, np.ndarray]:
        return self.seen(self._test_means)

    @cached_property
    def _reaches(self) -> np.ndarray:
        """[N]: how far off each voter's k-th neighbour is; its first one is itself."""
        return self._neighbours(self._means, self.k + 1)[0][:, -1]

    def _neighbours(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        ranks = np.arange(1, min(k, len(self._labels)) + 1)
        workers = -1 if len(points) * self._means.shape[1] ** 2 > ONE_THREAD_UP_TO else 1
        distances, indices = self._tree.query(points, k=ranks, workers=workers)
        return distances, indices

    def _vote(self, labels: np.ndarray) -> np.ndarray:
        points, k = labels.shape
        # A voter counts for one and a little more the nearer it is. All the little ones add up to
        # less than a vote and differ for any two sets of the 40 nearest.
        weights = np.ones(k)
        weights[:40] += 0.5 ** np.arange(2, min(k, 40) + 2)
        cells = labels + self.classes * np.arange(points)[:, None]
        votes = np.bincount(
            cells.ravel(), np.tile(weights, points), minlength=points * self.classes
        )
        return votes.reshape(points, self.classes).argmax(axis=1)
