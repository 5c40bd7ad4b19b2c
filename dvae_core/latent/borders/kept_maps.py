"""Region maps that a metric has kept in a run folder's evaluation/, read back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvae_core.files import small_text
from dvae_core.latent.borders.judge import VOID
from dvae_core.latent.borders.regions import Grid
from dvae_core.runs.kept import load_arrays


@dataclass(frozen=True)
class KeptMap:
    """The map of an epoch."""

    grid: Grid
    classes: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    """Those that the recipe's terms named."""
    direct: np.ndarray | None = None
    """float [K, K]: the share of direct paths between every two classes; NaN where none is."""


def kept_maps(run: Path, *, newest_first: bool = False) -> Iterator[tuple[int, KeptMap]]:
    """The maps of a run, each after its epoch; what is no map, or a damaged one, is passed over."""
    for file in sorted((run / "evaluation").glob("epoch-*.npz"), reverse=newest_first):
        match = re.match(r"epoch-(\d+)-", file.name)
        if match and (found := _read(file, run)) is not None:
            yield int(match[1]), found


def _read(file: Path, run: Path) -> KeptMap | None:
    try:
        arrays = load_arrays(file, run)
        if "region_map" not in arrays:
            return None
        grid = Grid(*(arrays[key] for key in Grid.KEPT))
        direct = arrays.get("direct_path")
        about = json.loads(small_text(file.with_suffix(".json"), run))
        classes = tuple(map(str, about["classes"]))
        pairs = tuple((classes.index(a), classes.index(b)) for a, b in about["named_pairs"])
        seen = grid.verdicts
        fits = seen.shape == (len(grid.y), len(grid.x)) and len(grid.x) > 1
        fits &= seen.dtype.kind == "i" and VOID <= seen.min() <= seen.max() < len(classes)
        if direct is not None:
            fits &= direct.shape == (len(classes), len(classes)) and direct.dtype.kind == "f"
        fits &= all(axis.dtype.kind == "f" and np.isfinite(axis).all() for axis in (grid.x, grid.y))
    except (MemoryError, Exception):  # what is in a stranger's file may raise anything
        return None
    return KeptMap(grid, classes, pairs, direct) if fits else None
