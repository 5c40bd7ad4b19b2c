"""How the regions moved: the maps that a metric left in a run's evaluation/."""

from __future__ import annotations

from typing import Any

import numpy as np

from dvae_core.latent.borders.judge import VOID
from dvae_core.latent.borders.kept_maps import kept_maps
from dvae_core.latent.borders.regions import Grid, cell_edges
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


def epoch_maps(run: RunFolder, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The region maps of the epochs up to the snapshot's, oldest first.

    A file that is no such map, or a damaged one, is passed over.
    """
    if snapshot.latent_dim > 2:
        return []
    found = {
        epoch: {"box": _box(kept.grid), "map": pack_map(kept.grid.verdicts, len(kept.classes))}
        for epoch, kept in kept_maps(run.path)
        if epoch <= snapshot.epoch and kept.classes == snapshot.classes
    }
    epochs = sorted(found)
    if len(epochs) > MOST:
        epochs = [epochs[i] for i in np.linspace(0, len(epochs) - 1, MOST).round().astype(int)]
    weights = {row["epoch"]: row.get("train/guidance_weight") for row in run.metrics()}
    return [{"epoch": n, "weight": weights.get(n), **found[n]} for n in epochs]


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
