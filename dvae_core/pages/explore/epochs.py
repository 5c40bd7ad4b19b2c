"""How regions and points moved: the maps and the test means in a run's evaluation/."""

from __future__ import annotations

from typing import Any

import numpy as np

from dvae_core.latent.borders.judge import VOID
from dvae_core.latent.borders.kept_maps import kept_maps
from dvae_core.latent.borders.regions import Grid, cell_edges
from dvae_core.latent.kept_means import kept_means
from dvae_core.latent.snapshot import Snapshot
from dvae_core.pages.explore.packing import pack
from dvae_core.runs.folder import RunFolder

MOST = 60
"""Maps on a page; of a longer run they are spread evenly."""
NO_CLASS = 255
"""VOID in a packed map of up to 255 classes; 65535 in one of more."""


def pack_map(verdicts: np.ndarray, classes: int) -> dict[str, Any]:
    """A map [rows, columns] of classes and VOID, packed; VOID is the type's largest number."""
    kind = np.uint8 if classes <= NO_CLASS else np.uint16
    void = np.iinfo(kind).max
    return pack(np.where(verdicts == VOID, void, verdicts).astype(kind), differences=True)


def epoch_maps(
    run: RunFolder, snapshot: Snapshot, places: np.ndarray
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """What a run kept of the epochs up to the snapshot's, oldest first.

    A file that is damaged, or of something else, is passed over.

    Args:
        run: the run's folder.
        snapshot: of the epoch that the page shows.
        places: where the test means [M, 2] lie now.

    Returns:
        Of each epoch the region map with its box, the places of some test images in it, and the
        shares of direct paths; then which test images these are, or None.
    """
    if snapshot.latent_dim > 2:
        return [], None
    found = {
        epoch: kept
        for epoch, kept in kept_maps(run.path)
        if epoch <= snapshot.epoch and kept.classes == snapshot.classes
    }
    epochs = sorted(found)
    if len(epochs) > MOST:
        epochs = [epochs[i] for i in np.linspace(0, len(epochs) - 1, MOST).round().astype(int)]
    index, means = _means(run, snapshot, epochs)
    weights = {row["epoch"]: row.get("train/guidance_weight") for row in run.metrics()}
    entries = []
    for epoch in epochs:
        kept, box = found[epoch], _box(found[epoch].grid)
        seen: dict[str, Any] = {}
        if epoch in means:
            seen["points"] = _pack_places(means[epoch], places[index], box)
        if kept.direct is not None:
            seen["direct"] = [[_share(value) for value in row] for row in kept.direct.tolist()]
        regions = pack_map(kept.grid.verdicts, len(kept.classes))
        entries.append(
            {"epoch": epoch, "weight": weights.get(epoch), "box": box, "map": regions, **seen}
        )
    return entries, pack(index.astype(np.int32)) if means else None


def _means(
    run: RunFolder, snapshot: Snapshot, epochs: list[int]
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The images that all epochs kept, and their means by epoch."""
    index = np.zeros(0, dtype=int)
    means: dict[int, np.ndarray] = {}
    for epoch, which, where in kept_means(run.path, snapshot):
        if epoch in epochs and (not means or np.array_equal(which, index)):
            index, means[epoch] = which, where
    return index, means


def _pack_places(means: np.ndarray, now: np.ndarray, box: list[float]) -> dict[str, Any]:
    """Means [P, D] as shares of a box, 65,535 a side; on a line they stay as high as now [P, 2]."""
    left, right, low, high = box
    x, y = means[:, 0], means[:, 1] if means.shape[1] == 2 else now[:, 1]
    shares = np.stack([(x - left) / (right - left), (y - low) / (high - low)], axis=1)
    # Half of the range is room around the box, for those that lie out of it.
    return pack(np.round((np.clip(shares, -0.5, 1.5) + 0.5) / 2 * 65535).astype(np.uint16))


def _share(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def weight_curves(snapshot: Snapshot) -> dict[str, Any]:
    """The weights that change over the run, by term, and the steps that they stand for."""
    curves = {
        name: (steps, values)
        for name, (steps, values) in snapshot.weight_curves(200).items()
        if np.ptp(values) > 0
    }
    steps = next((steps for steps, _ in curves.values()), np.zeros(0))
    return {
        "steps": steps.tolist(),
        "total": snapshot.total_steps,
        "terms": {
            name: [float(f"{value:.5g}") for value in values]
            for name, (_, values) in curves.items()
        },
    }


def _box(grid: Grid) -> list[float]:
    """Left, right, low and high; -1 to 1 for a single row."""
    (left, right, _), (low, high, _) = cell_edges(grid.x), cell_edges(grid.y)
    flat = len(grid.y) == 1
    height = (-1.0, 1.0) if flat else (float(low[0]), float(high[-1]))
    return [float(left[0]), float(right[-1]), *height]
