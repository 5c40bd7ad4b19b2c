"""A morph: a path from an image of one class to one of another, and the images decoded on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dvae_core.errors import DvaeError
from dvae_core.latent.borders.judge import VOID, Judge
from dvae_core.latent.borders.paths import STEPS, amiss, is_direct, straight

if TYPE_CHECKING:
    from dvae_core.latent.snapshot import Snapshot

Route = Literal["straight", "border"]
SIEVE = 9
"""Every ninth of the 64 steps, the ends among them, rules out most paths that are not direct."""
AT_ONCE = 32
"""Paths that are judged together."""


@dataclass(frozen=True)
class Morph:
    """What one meets on a path from class a to class b."""

    a: int
    b: int
    route: Route
    corners: np.ndarray
    """[2 or 3, D]: the ends, and the point of the border between them if the route has one."""
    points: np.ndarray
    """[S, D]: the steps that are shown; all that is met is among them, if there is room."""
    images: np.ndarray
    """[S, C, H, W] in [0, 1]: what is decoded there."""
    verdicts: np.ndarray
    """int [S]: what the latent judge says, a class or VOID."""
    probabilities: np.ndarray
    """[S, K]: what the image judge says of the images."""
    between: np.ndarray
    """int [64]: the latent judge's verdicts along the same path, at finer steps."""

    @property
    def direct(self) -> bool:
        """Whether the path is judged a ... a b ... b and nothing else, but for a flicker."""
        return bool(is_direct(self.between, self.a, self.b))

    @property
    def strangers(self) -> list[int]:
        """The other classes that the path crosses."""
        return sorted(set(self.between.tolist()) - {self.a, self.b, VOID})

    @property
    def crosses_void(self) -> bool:
        """Whether the path leaves the data's support."""
        return bool((self.between == VOID).any())

    @property
    def realism(self) -> float:
        """The image judge's probability of a or b, whichever is higher, averaged over the steps."""
        return float(self.probabilities[:, [self.a, self.b]].max(axis=1).mean())


def morph(
    snapshot: Snapshot, a: int, b: int, *, steps: int = 16, seed: int = 0, route: Route = "straight"
) -> Morph:
    """Morph from a test image of class a to one of class b, both of which the judge gets right.

    A conditional decoder is asked for the class that the snapshot shows (`Snapshot.showing`).

    Args:
        steps: how many points are decoded, the ends included.
        seed: chooses the two images.
        route: the straight line, or the shortest path over the border that the two share (one
            that crosses these two alone, if there is any).

    Raises:
        DvaeError: no test image of a class is judged right, or the two share no border.
    """
    random = np.random.default_rng(seed)
    start, end = (_an_image_of(snapshot, c, random) for c in (a, b))
    corners = np.stack([start, end]).astype(np.float64)
    if route == "border":
        corners = _over_the_border(snapshot, a, b, corners)
    judged, at = snapshot.judge.verdicts, np.linspace(0, 1, steps)
    points = along(corners, at)
    between = judged(along(corners, STEPS))
    verdicts = between if steps == STEPS else judged(points)
    if not is_direct(between, a, b) and not set(between) <= set(verdicts):
        points = along(corners, _with_all(at, between, verdicts))
        verdicts = judged(points)
    images = snapshot.decode(points)
    sure = snapshot.image_judge.probabilities(images)
    return Morph(a, b, route, corners, points, images, verdicts, sure, between)


def _with_all(at: np.ndarray, between: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Places [S] on a way, of which some are moved to what they would step over.

    Args:
        at: shares [S] of the way, and
        seen: the verdicts [S] there.
        between: the verdicts [64] at finer steps.
    """
    at, seen = at.copy(), seen.copy()
    fine = np.linspace(0, 1, len(between))
    for verdict in sorted(set(between.tolist()) - set(seen.tolist())):
        places = fine[between == verdict]
        place = places[len(places) // 2]
        free = [k for k in range(1, len(at) - 1) if (seen == seen[k]).sum() > 1]
        if free:
            nearest = min(free, key=lambda k: abs(at[k] - place))
            at[nearest], seen[nearest] = place, verdict
    return np.sort(at)


def along(corners: np.ndarray, at: int | np.ndarray) -> np.ndarray:
    """Points [S, D] on the straight pieces between corners [N, D].

    Args:
        at: how many, equally far apart; or where each is, as a share [S] of the way.
    """
    at = np.linspace(0, 1, at) if isinstance(at, int) else at
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    reached = np.concatenate([[0], np.cumsum(lengths)])
    if reached[-1] == 0:
        return straight(corners[0], corners[-1], len(at))
    return np.stack([np.interp(at * reached[-1], reached, c) for c in corners.T], axis=1)


def _an_image_of(snapshot: Snapshot, c: int, random: np.random.Generator) -> np.ndarray:
    right = np.flatnonzero((snapshot.test_labels == c) & (snapshot.judge.test_verdicts == c))
    if not len(right):
        name = snapshot.classes[c]
        raise DvaeError(f'the judge gets no test image of "{name}" right, so no path starts there')
    chosen: np.ndarray = snapshot.test_means[random.choice(right)]
    return chosen


def _over_the_border(snapshot: Snapshot, a: int, b: int, ends: np.ndarray) -> np.ndarray:
    places = snapshot.border_points(a, b)
    if not len(places):
        names = [snapshot.classes[c] for c in (a, b)]
        raise DvaeError(
            f"{names[0]} and {names[1]} share no border; the term "
            f"border with pairs = {[names]} gives them one"
        )
    start, end = ends
    detour = np.linalg.norm(places - start, axis=1) + np.linalg.norm(places - end, axis=1)
    found = [np.stack([start, place, end]) for place in places[np.argsort(detour)]]
    return found[_first_direct(snapshot.judge, found, a, b)]


def _first_direct(judge: Judge, ways: Sequence[np.ndarray], a: int, b: int) -> int:
    """The index of the first way, given by its corners [3, D], that is direct; 0 if none is.

    All begin and end at images of a and b that the judge gets right.
    """
    fine = np.linspace(0, 1, STEPS)

    def judged(some: Sequence[np.ndarray], at: np.ndarray) -> np.ndarray:
        points = np.concatenate([along(way, at[1:-1]) for way in some])
        inside = judge.verdicts(points).reshape(len(some), -1)
        return np.pad(inside, ((0, 0), (1, 1)), constant_values=((0, 0), (a, b)))

    for start in range(0, len(ways), AT_ONCE):
        some = ways[start : start + AT_ONCE]
        left = np.flatnonzero(amiss(judged(some, fine[::SIEVE]), a, b) <= 1).tolist()
        if left and (direct := is_direct(judged([some[i] for i in left], fine), a, b)).any():
            return start + int(left[direct.argmax()])
    return 0
