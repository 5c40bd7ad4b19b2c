"""Planes through a latent space, on which a page can lay it out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dvae_core.errors import RecipeError
from dvae_core.latent.borders.regions import cell_points
from dvae_core.latent.snapshot import Snapshot
from dvae_core.plugin.labelled_images import class_number

MARGIN = 0.04
"""Of the view's width, around nearly all points."""
OUTLIERS = 0.001
"""The share of points that may fall out of view at either end of an axis."""


@dataclass(frozen=True)
class Plane:
    """A plane, with coordinates that are orthonormal, so that distances stay what they are."""

    name: str
    labels: tuple[str, str]
    """Of its two axes; the second is empty for a latent line."""
    origin: np.ndarray
    """float64 [D]"""
    axes: np.ndarray
    """float64 [2, D]; the second is zero for a latent line."""
    box: tuple[float, float, float, float]
    """What is in view: left, right, low, high."""
    share: float
    """The share of the test means' variance that lies in the plane."""
    beyond: np.ndarray
    """float64 [D - 2, D]: the axes at right angles to the plane, orthonormal too; none for D < 3.
    """
    beyond_labels: tuple[str, ...]
    """Of these."""
    spread: np.ndarray
    """float64 [D - 2]: the standard deviation of the test means along each."""

    def shifted(self, offsets: Sequence[float]) -> Plane:
        """The plane moved by offsets [D - 2] along the axes beyond it.

        Raises:
            ValueError: these are not as many numbers as there are such axes.
        """
        moved = np.array(offsets, dtype=np.float64)
        if moved.shape != self.spread.shape or not np.isfinite(moved).all():
            raise ValueError(f"needs {len(self.spread)} offsets")
        return replace(self, origin=self.origin + moved @ self.beyond)

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """Latent points float32 [P, D] at coordinates [P, 2]."""
        return (self.origin + coordinates @ self.axes).astype(np.float32)

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """Coordinates [P, 2] of latent points [P, D], projected at right angles."""
        found: np.ndarray = (points - self.origin) @ self.axes.T
        return found

    def lattice(self, columns: int, rows: int) -> np.ndarray:
        """Latent points [rows * columns, D] from the lower left corner to the upper right one."""
        left, right, low, high = self.box
        x, y = np.linspace(left, right, columns), np.linspace(low, high, rows)
        return self.points(cell_points(x, y, 2))


def planes(snapshot: Snapshot, wanted: Sequence[str] = ()) -> list[Plane]:
    """The planes that are wanted, or those that suit the latent space.

    In two dimensions there is one. In more of them there are the first two principal components
    of the test means, the two axes along which these vary most, and the plane through three class
    means: the classes that the recipe's terms name, then the others in order.

    Args:
        snapshot: whose latent space it is.
        wanted: for more than two dimensions: "pc1,pc2", "z1,z4" or three classes, "0,8,3".

    Raises:
        RecipeError: there is no such plane.
    """
    means = snapshot.test_means.astype(np.float64)
    dim = snapshot.latent_dim
    if dim <= 2:
        axes = np.eye(2, dim)
        labels = ("z₁", "z₂" if dim == 2 else "")
        return [_plane("latent plane", labels, np.zeros(dim), axes, means, axes[:0], ())]
    if wanted:
        return [_wanted(snapshot, means, text) for text in wanted]
    by_variance = sorted(np.argsort(-means.var(axis=0), kind="stable")[:2])
    chosen = [_components(means, 0, 1), _along(means, *map(int, by_variance))]
    named = dict.fromkeys(c for pair in snapshot.named_pairs for c in pair)
    counts = np.bincount(
        snapshot.test_labels[snapshot.test_labels >= 0], minlength=len(snapshot.classes)
    )
    corners = [c for c in dict.fromkeys([*named, *range(len(counts))]) if counts[c]][:3]
    if len(corners) == 3:
        chosen.append(_through(snapshot, means, corners))
    return chosen


def _wanted(snapshot: Snapshot, means: np.ndarray, text: str) -> Plane:
    dim = snapshot.latent_dim
    parts = [part.strip() for part in text.split(",")]
    for letter, make in (("z", _along), ("pc", _components)):
        found = [re.fullmatch(rf"{letter}(\d+)", part) for part in parts]
        if len(parts) == 2 and all(found):
            one, other = (int(match[1]) for match in found if match)
            if one == other or not (1 <= one <= dim and 1 <= other <= dim):
                raise RecipeError(f'plane "{text}": two different ones of 1 to {dim} are needed')
            return make(means, one - 1, other - 1)
    if len(parts) != 3:
        raise RecipeError(f'plane "{text}": needs "z1,z2", "pc1,pc2", or three classes')
    try:
        corners = [class_number(part, snapshot.classes) for part in parts]
    except ValueError as error:
        raise RecipeError(f'plane "{text}": {error}') from error
    empty = [snapshot.classes[c] for c in corners if not (snapshot.test_labels == c).any()]
    if empty or len(set(corners)) < 3:
        why = f"no test image is of {empty[0]}" if empty else "three different ones are needed"
        raise RecipeError(f'plane "{text}": {why}')
    return _through(snapshot, means, corners)


def _along(means: np.ndarray, one: int, other: int) -> Plane:
    dim = means.shape[1]
    labels = (f"z{_small(one + 1)}", f"z{_small(other + 1)}")
    name = f"axes {labels[0]} and {labels[1]}"
    rest = [axis for axis in range(dim) if axis not in (one, other)]
    axes, named = np.eye(dim), [f"z{_small(axis + 1)}" for axis in rest]
    return _plane(name, labels, means.mean(axis=0), axes[[one, other]], means, axes[rest], named)


def _components(means: np.ndarray, one: int, other: int) -> Plane:
    centre = means.mean(axis=0)
    _, _, directions = np.linalg.svd(means - centre, full_matrices=False)
    # A direction's sign is free: its largest part points up, so that pages agree.
    largest = directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)]
    directions *= np.sign(largest)[:, None]
    labels = (f"PC {one + 1}", f"PC {other + 1}")
    name = f"principal components {one + 1} and {other + 1}"
    rest = [axis for axis in range(len(directions)) if axis not in (one, other)]
    named = [f"PC {axis + 1}" for axis in rest]
    chosen = directions[[one, other]]
    return _plane(name, labels, centre, chosen, means, directions[rest], named)


def _through(snapshot: Snapshot, means: np.ndarray, corners: Sequence[int]) -> Plane:
    a, b, c = (means[snapshot.test_labels == k].mean(axis=0) for k in corners)
    both = np.stack([b - a, c - a], axis=1)
    full, _ = np.linalg.qr(both, mode="complete")
    axes, rest = full.T[:2], full.T[2:]
    axes = axes * np.sign([[axes[0] @ (b - a)], [axes[1] @ (c - a)]])
    centre = (a + b + c) / 3
    # Of what lies off the plane, the directions along which the means vary most come first.
    off = (means - means.mean(axis=0)) @ rest.T
    _, turns = np.linalg.eigh(off.T @ off)
    beyond = turns.T[::-1] @ rest
    named = [f"off the plane {number + 1}" for number in range(len(beyond))]
    one, other, third = (snapshot.classes[k] for k in corners)
    labels = (f"{one} → {other}", f"towards {third}")
    name = f"through the means of {one}, {other} and {third}"
    return _plane(name, labels, centre, axes, means, beyond, named)


def _plane(
    name: str,
    labels: tuple[str, str],
    origin: np.ndarray,
    axes: np.ndarray,
    means: np.ndarray,
    beyond: np.ndarray,
    beyond_labels: Sequence[str],
) -> Plane:
    seen = (means - origin) @ axes.T
    low, high = np.quantile(seen, (OUTLIERS, 1 - OUTLIERS), axis=0)
    if not axes[1].any():
        low[1], high[1] = -1.0, 1.0
    margin = np.maximum(MARGIN * (high - low), 1e-6)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    centred = (means - means.mean(axis=0)) @ axes.T
    share = float((centred**2).sum() / max(((means - means.mean(axis=0)) ** 2).sum(), 1e-12))
    box = (left, right, bottom, top)
    spread = (means @ beyond.T).std(axis=0)
    return Plane(name, labels, origin, axes, box, share, beyond, tuple(beyond_labels), spread)


def _small(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
