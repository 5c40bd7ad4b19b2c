"""Paths: what lies on the straight lines between images of two classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dvae_core.latent.borders.judge import VOID, Judge
from dvae_core.runs.intervals import share_interval

LINES = 100
"""Lines between two classes."""
STEPS = 64
"""Points along a line, its ends included."""
FLICKER = 1 / 64
"""The share of a direct path that may be judged otherwise."""
RESAMPLES = 1000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Paths:
    """The verdicts along straight lines between test means that the judge gets right."""

    pairs: np.ndarray
    """int [Q, 2]: the pairs of classes a < b."""
    ends: np.ndarray
    """[Q, L, 2, D]: where each line starts and ends; nan for a pair without lines."""
    verdicts: np.ndarray
    """int [Q, L, S]: class or VOID at each step of each line."""
    classes: int
    picks: np.ndarray
    """int [R, L]: the bootstrap's choices of lines, the same for all pairs, as these share their
    ends."""
    right: np.ndarray
    """int [K]: test images of each class that the judge gets right. Fewer than L are used again."""

    @property
    def walked(self) -> np.ndarray:
        """bool [Q]: pairs that have lines; others lack an image that the judge gets right."""
        return ~np.isnan(self.ends).any(axis=(1, 2, 3))

    def points(self, lines: int, steps: int) -> np.ndarray:
        """[Q, lines, steps, D]: points on the first lines of each pair."""
        return straight(self.ends[:, :lines, 0], self.ends[:, :lines, 1], steps)

    @property
    def direct(self) -> np.ndarray:
        """bool [Q, L]: lines that are judged a ... a b ... b and nothing else (see `is_direct`)."""
        return is_direct(self.verdicts, self.pairs[:, :1], self.pairs[:, 1:])

    @property
    def direct_path(self) -> np.ndarray:
        """[K, K], symmetric: the share of direct lines between two classes; nan where there are
        no test images of one (and on the diagonal), 0 where the judge gets none of one right."""
        return self._matrix(self.direct.mean(axis=1))

    @property
    def direct_path_interval(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends [K, K] of the 95 % interval of `direct_path`, after Wilson; nan without lines.

        As many lines count as the rarer class has right images: those that use one again are not
        independent.
        """
        lines = self.right[self.pairs].min(axis=1).clip(1, self.direct.shape[1])
        low, high = share_interval(self.direct.mean(axis=1) * lines, lines)
        low[~self.walked] = high[~self.walked] = np.nan
        return self._matrix(low), self._matrix(high)

    def direct_path_by(self, judge: Judge) -> np.ndarray:
        """`direct_path` on the same lines, by another judge."""
        seen = _judged(judge, self.points(*self.verdicts.shape[1:]), self.walked)
        return self._matrix(is_direct(seen, self.pairs[:, :1], self.pairs[:, 1:]).mean(axis=1))

    def between(self, pairs: Sequence[tuple[int, int]]) -> Paths:
        """Those between some pairs of classes alone."""
        wanted = [tuple(sorted(pair)) in set(pairs) for pair in self.pairs.tolist()]
        kept = replace(self, pairs=self.pairs[wanted], ends=self.ends[wanted])
        return replace(kept, verdicts=self.verdicts[wanted])

    @property
    def direct_path_mean(self) -> float:
        """The mean of `direct_path` over the pairs."""
        return float(self.direct.mean())

    @property
    def direct_path_mean_interval(self) -> tuple[float, float] | None:
        """Its 95 % interval; None where a class has fewer right images than there are lines."""
        lines = self.direct.shape[1]
        if self.right[self.pairs].min(initial=lines) < lines or not len(self.pairs):
            return None
        resampled = self.direct.mean(axis=0)[self.picks].mean(axis=1)
        low, high = np.quantile(resampled, (0.025, 0.975))
        return float(low), float(high)

    @property
    def intrusion(self) -> float:
        """The share of the steps of all lines that are judged a third class; nan without lines."""
        a, b = self.pairs[:, :1, None], self.pairs[:, 1:, None]
        third = (self.verdicts != a) & (self.verdicts != b) & (self.verdicts != VOID)
        return float(third[self.walked].mean()) if self.walked.any() else np.nan

    @property
    def void_rate(self) -> float:
        """The share of the steps of all lines that are void; nan without lines."""
        void = self.verdicts[self.walked] == VOID
        return float(void.mean()) if void.size else np.nan

    @property
    def void_rates(self) -> np.ndarray:
        """[K, K], symmetric: that share for two classes; nan without lines."""
        void = (self.verdicts == VOID).mean(axis=(1, 2))
        return self._matrix(np.where(self.walked, void, np.nan))

    def _matrix(self, values: np.ndarray) -> np.ndarray:
        matrix = np.full((self.classes, self.classes), np.nan)
        a, b = self.pairs.T
        matrix[a, b] = matrix[b, a] = values
        return matrix


def is_direct(verdicts: np.ndarray, a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    """Whether verdicts [..., S] are a ... a b ... b and nothing else; a and b are [...].

    They start with a and end with b, and all but 1/64 of them agree with a single crossing,
    wherever it fits best: where two classes meet, a vote may flicker. So the answer does not hang
    on how finely one looks: a stretch counts by its share of the path, not by being met by a step.
    """
    ends = (verdicts[..., 0] == a) & (verdicts[..., -1] == b)
    direct: np.ndarray = ends & (amiss(verdicts, a, b) <= verdicts.shape[-1] * FLICKER)
    return direct


def amiss(verdicts: np.ndarray, a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    """How many of the verdicts [..., S] differ from a ... a b ... b at the best place to cross."""
    a, b = np.asarray(a)[..., None], np.asarray(b)[..., None]
    before, after = (verdicts != a).cumsum(axis=-1), (verdicts != b).cumsum(axis=-1)
    crossings = before + after[..., -1:] - after
    fewest: np.ndarray = crossings[..., :-1].min(axis=-1)
    return fewest


def straight(start: np.ndarray, end: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """Points [..., S, D] on the straight lines from start to end, both [..., D]."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * start[..., None, :] + t * end[..., None, :]


def paths(
    judge: Judge,
    test_means: np.ndarray,
    test_labels: np.ndarray,
    random: np.random.Generator,
    *,
    lines: int = LINES,
    steps: int = STEPS,
) -> Paths:
    """Walk between every two classes, from images that the judge gets right.

    The right ones of each class stand in a random order; line i joins the i-th of the one with
    the i-th of the other (again from the first when they run out).
    """
    order = random.permutation(len(test_means))
    right = order[judge.test_verdicts[order] == test_labels[order]]
    right_of = {c: right[test_labels[right] == c] for c in range(judge.classes)}
    present = [c for c in right_of if (test_labels == c).any()]
    listed = [(a, b) for a in present for b in present if a < b]
    pairs = np.array(listed, dtype=np.int64).reshape(-1, 2)
    ends = np.full((len(pairs), lines, 2, test_means.shape[1]), np.nan)
    for q, pair in enumerate(pairs):
        if all(len(right_of[c]) for c in pair):
            for side, c in enumerate(pair):
                ends[q, :, side] = test_means[np.resize(right_of[c], lines)]
    picks = random.integers(lines, size=(RESAMPLES, lines))
    counts = np.array([len(right_of[c]) for c in range(judge.classes)])
    found = Paths(pairs, ends, np.empty((len(pairs), lines, steps)), judge.classes, picks, counts)
    return replace(found, verdicts=_judged(judge, found.points(lines, steps), found.walked))


def _judged(judge: Judge, points: np.ndarray, walked: np.ndarray) -> np.ndarray:
    """A judge's verdicts [Q, L, S] at points [Q, L, S, D]; void where there are none."""
    verdicts = np.full(points.shape[:-1], VOID)
    if walked.any():
        some = points[walked]
        verdicts[walked] = judge.verdicts(some.reshape(-1, some.shape[-1])).reshape(some.shape[:-1])
    return verdicts
