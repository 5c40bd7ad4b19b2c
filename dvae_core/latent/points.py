"""Latent points that a user gives in a file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from dvae_core.errors import DataError, DvaeError, more_packages
from dvae_core.plugin.arrays import read_npz

NAMES = ("points", "mean")


def read_points(path: Path, latent_dim: int) -> np.ndarray:
    """Points [P, D] from an npz, CSV or Parquet file, by its ending.

    Of an npz file its array `points`, else `mean`, as `dvae encode` writes, else the only one. Of a
    table the columns `mean_1`, `mean_2`, ..., else all; in a CSV file a first line of names may be
    missing.

    Raises:
        DataError: it cannot be read, or holds no points of that many dimensions.
    """
    readers = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: points are read from a file that ends in {', '.join(readers)}")
    try:
        points = reader(path)
    except DvaeError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged zip file raises nearly anything
        raise DataError(f"{path}: no readable file of points: {error}") from error
    if points.ndim != 2 or points.shape[1] != latent_dim or not len(points):
        raise DataError(
            f"{path}: the run's latent points are [P, {latent_dim}], and these are "
            f"{list(points.shape)}"
        )
    if points.dtype.kind not in "iuf" or not np.isfinite(points).all():
        raise DataError(f"{path}: points must be finite numbers")
    return points.astype(np.float32)


def _npz(path: Path) -> np.ndarray:
    _, names = read_npz(path, ())
    chosen = next((name for name in NAMES if name in names), None)
    if chosen is None and len(names) == 1:
        chosen = names[0]
    if chosen is None:
        raise ValueError(f"needs an array points or mean, and has {', '.join(names)[:200]}")
    return read_npz(path, (chosen,))[0][chosen]


def _csv(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream) if row]
    head = rows[0] if rows else []
    columns = list(range(len(head)))
    if not all(_is_number(cell) for cell in head):
        rows = rows[1:]
        means = [i for i, name in enumerate(head) if name.startswith("mean_")]
        columns = means or columns
    return np.array([[float(row[i]) for i in columns] for row in rows], dtype=np.float64)


def _parquet(path: Path) -> np.ndarray:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise more_packages("a .parquet file", "tables", error) from error
    table = parquet.read_table(path)
    means = [name for name in table.column_names if name.startswith("mean_")]
    return np.stack([table[name].to_numpy() for name in means or table.column_names], axis=1)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
