"""How the regions moved: the maps that a metric left in a run's evaluation/."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dvae_core.latent.borders.judge import VOID
from dvae_core.latent.snapshot import Snapshot
from dvae_core.pages.explore.packing import pack
from dvae_core.runs.folder import RunFolder

MOST = 60
"""Maps on a page; of a longer run they are spread evenly."""
PARTS = ("region_map", "region_x", "region_y")
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
    found = {}
    for file in sorted((run.path / "evaluation").glob("epoch-*.npz")):
        match = re.match(r"epoch-(\d+)-", file.name)
        if match and int(match[1]) <= snapshot.epoch:
            read = _read(file, len(snapshot.classes))
            if read:
                found[int(match[1])] = read
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


def _read(file: Path, classes: int) -> dict[str, Any] | None:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if not set(PARTS) <= set(arrays.files):
                return None
            verdicts, x, y = (arrays[part] for part in PARTS)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    fits = verdicts.shape == (len(y), len(x)) and verdicts.dtype.kind == "i" and len(x) > 1
    if not fits or verdicts.min() < VOID or verdicts.max() >= classes:
        return None
    (left, right), (low, high) = _ends(x), _ends(y)
    return {"box": [left, right, low, high], "map": pack_map(verdicts, classes)}


def _ends(centres: np.ndarray) -> tuple[float, float]:
    """Where the first cell starts and the last one ends; -1 to 1 for a single cell."""
    if len(centres) == 1:
        return -1.0, 1.0
    half = float(centres[1] - centres[0]) / 2
    return float(centres[0]) - half, float(centres[-1]) + half
