"""What lies on a plane: the latent judge's map and the decoded images; beside it, the same again
where the plane is moved along the axes beyond it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dvae_core.latent.borders.regions import cell_points
from dvae_core.latent.snapshot import Snapshot
from dvae_core.pages.explore.epochs import pack_map
from dvae_core.pages.explore.packing import pack
from dvae_core.pages.explore.pictures import (
    LATTICE_VALUES,
    PROBES,
    SIDES,
    interpolation_error,
    lattice,
)
from dvae_core.pages.explore.planes import Plane

CELLS = 240
"""Cells along each side of a page's map of two dimensions."""
CELLS_BEYOND = 120
"""The same in more of them, where judging is slower."""
COARSE = 60
"""The same on a plane that is moved beforehand, or that is being moved."""
OFFSETS = (-2, -1, 1, 2)
"""Where a page without a server can move its plane to, in standard deviations of the test means."""
MOVED_VALUES = LATTICE_VALUES // 2
"""Values that all lattices of moved planes hold together, about."""
FEW = 100
"""Probes of its images there."""
MOST_AXES = 6
"""Axes along which it can: those with the most spread."""


def ground(
    snapshot: Snapshot, plane: Plane, cells: int, values: int, probes: int = PROBES
) -> dict[str, Any]:
    """A plane's map of so many cells a side, and a lattice of about so many values.

    How far interpolated images are off is measured at so many probes.
    """
    columns, rows = cells, cells if plane.axes[1].any() else 1
    verdicts = snapshot.judge.verdicts(_centres(plane, columns, rows))
    decoded = lattice(snapshot, plane, values)
    error, worst = interpolation_error(snapshot, plane, decoded, probes)
    return {
        "map": pack_map(verdicts.reshape(rows, columns), len(snapshot.classes)),
        "lattice": {
            "images": pack(_flat(decoded.images), differences=True),
            "judged": pack(_flat(decoded.judged), differences=True),
            "columns": decoded.images.shape[1],
            "rows": decoded.images.shape[0],
            "error": error,
            "worst": worst,
        },
    }


def moved_grounds(snapshot: Snapshot, plane: Plane) -> list[dict[str, Any]]:
    """A plane's ground at some offsets along the axes beyond it, one axis at a time.

    Large images leave room for few axes, or for none.
    """
    least = SIDES[0] ** 2 * math.prod(snapshot.image_shape) * len(OFFSETS)
    most = min(MOST_AXES, LATTICE_VALUES // least)
    axes = sorted(np.argsort(-plane.spread, kind="stable")[:most].tolist())
    values = MOVED_VALUES // max(len(axes) * len(OFFSETS), 1)
    found = []
    for axis in axes:
        for times in OFFSETS:
            offsets = np.zeros(len(plane.spread))
            offsets[axis] = times * plane.spread[axis]
            moved = ground(snapshot, plane.shifted(offsets.tolist()), COARSE, values, FEW)
            found.append({"axis": axis, "times": times, **moved})
    return found


def _centres(plane: Plane, columns: int, rows: int) -> np.ndarray:
    """The latent points at the centres of a map's cells."""
    left, right, low, high = plane.box
    x = left + (np.arange(columns) + 0.5) / columns * (right - left)
    y = low + (np.arange(rows) + 0.5) / rows * (high - low)
    return plane.points(cell_points(x, y, 2))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(-1, images.shape[-1])
