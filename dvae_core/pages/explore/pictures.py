"""Images for a page: a lattice decoded beforehand, and some test images with what comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dvae_core.latent.snapshot import Snapshot
from dvae_core.pages.explore.packing import as_bytes
from dvae_core.pages.explore.planes import Plane

LATTICE_VALUES = 64 * 64 * 28 * 28
"""Values that all decoded lattices of a run hold together, about: a megabyte when packed."""
SIDES = (8, 64)
"""The fewest and the most images along a side of a lattice."""
SAMPLE_VALUES = 1000 * 28 * 28
"""Values that the sample of test images holds at most."""
PROBES = 1000
"""Points at which the error of interpolation is measured."""


@dataclass(frozen=True)
class Lattice:
    """Decoded images over a plane's box, lower left first; between them a page interpolates."""

    images: np.ndarray
    """uint8 [rows, columns, C * H * W]"""
    judged: np.ndarray
    """uint8 [rows, columns, K]: the image judge's probabilities, 255 being 1."""


def lattice(snapshot: Snapshot, plane: Plane, values: int) -> Lattice:
    """Decode a plane, at as many places as about so many values have room for."""
    pixels = math.prod(snapshot.image_shape)
    side = int(np.clip(math.isqrt(values // pixels), *SIDES))
    columns, rows = side, side if plane.axes[1].any() else 2
    decoded = snapshot.decode(plane.lattice(columns, rows))
    images = as_bytes(decoded).reshape(rows, columns, pixels)
    judged = as_bytes(snapshot.image_judge.probabilities(decoded)).reshape(rows, columns, -1)
    return Lattice(images, judged)


def interpolation_error(
    snapshot: Snapshot, plane: Plane, lattice: Lattice, probes: int = PROBES
) -> tuple[float, float]:
    """How far an interpolated image is off, as a share of the full scale.

    The mean absolute error over so many points, test means in view and points anywhere in view,
    half and half; and the same mean for the worst of these images.
    """
    places = _probes(snapshot, plane, probes)
    exact = snapshot.decode(plane.points(places)).reshape(len(places), -1)
    errors = np.abs(interpolate(lattice.images, plane.box, places) / 255 - exact).mean(axis=1)
    return float(errors.mean()), float(errors.max())


def interpolate(
    values: np.ndarray, box: tuple[float, float, float, float], points: np.ndarray
) -> np.ndarray:
    """Bilinear interpolation [P, V] of values [rows, columns, V] that span a box, at points [P, 2].

    What the page does in the browser.
    """
    rows, columns = values.shape[:2]
    left, right, low, high = box
    scale = np.array([columns - 1, rows - 1])
    at = (points - (left, low)) / (right - left, high - low) * scale
    cell = np.clip(np.floor(at).astype(int), 0, scale - 1)
    x, y = np.clip(at - cell, 0, 1).T[:, :, None]
    column, row = cell.T
    below = (1 - x) * values[row, column] + x * values[row, column + 1]
    above = (1 - x) * values[row + 1, column] + x * values[row + 1, column + 1]
    mixed: np.ndarray = (1 - y) * below + y * above
    return mixed


def _probes(snapshot: Snapshot, plane: Plane, probes: int) -> np.ndarray:
    random = snapshot.random("explore probes")
    left, right, low, high = plane.box
    anywhere = random.uniform((left, low), (right, high), (probes // 2, 2))
    means = plane.coordinates(snapshot.test_means)
    seen = means[np.all((means >= (left, low)) & (means <= (right, high)), axis=1)]
    return np.concatenate([anywhere, random.permutation(seen)[: probes - len(anywhere)]])


def sample(snapshot: Snapshot) -> np.ndarray:
    """Indices of test images that a page shows: as many of each class as there is room for."""
    room = max(SAMPLE_VALUES // math.prod(snapshot.image_shape), len(snapshot.classes))
    return snapshot.test_sample(room)
