"""What a metric keeps beside its numbers: arrays and tables, in the run folder's evaluation/."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from dvae_core.files import make_folder, open_inside, write_atomically

READABLE = 10_000
"""Arrays of more numbers than this stand in the npz file alone."""
RESERVED = ("file", "allow_pickle")
"""Names that NumPy's files of arrays have no room for."""
LARGEST = 100_000_000
"""Bytes that the arrays of a file unpack to, at most."""


def check_details(details: Any) -> None:
    """Raise TypeError where `save_details` could not keep what a metric gave, naming the key."""
    if not isinstance(details, dict):
        raise TypeError(f"details gave {type(details).__name__}, not a dict")
    for key, value in details.items():
        if not isinstance(key, str) or key in RESERVED:
            raise TypeError(f"details: {key!r} cannot be the name of what is kept")
        try:
            if isinstance(value, np.ndarray) and value.dtype.hasobject:
                raise TypeError("it holds objects")
            if _is_readable(value):
                json.dumps({key: _plain(value)}, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            kind = type(value).__name__
            raise TypeError(f'details: "{key}" is {kind}, which cannot be kept') from error


def save_details(run: Path, epoch: int, name: str, details: dict[str, Any]) -> None:
    """Write `epoch-0010-<name>.npz` with all arrays, and `.json` with all that one might read.

    A number that is not finite is null in JSON.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    if not details:
        return
    folder = run / "evaluation"
    make_folder(folder, inside=run)  # without arrays too
    stem = f"epoch-{epoch:04d}-{name}"
    arrays = {key: value for key, value in details.items() if isinstance(value, np.ndarray)}
    if arrays:
        save_arrays(folder / f"{stem}.npz", run, arrays)
    readable = {key: _plain(value) for key, value in details.items() if _is_readable(value)}
    text = json.dumps({"epoch": epoch, **readable}, indent=2, ensure_ascii=False)
    write_atomically(folder / f"{stem}.json", text.encode())


def _is_readable(value: Any) -> bool:
    """Whether it stands in the JSON file."""
    return not isinstance(value, np.ndarray) or value.size <= READABLE


def save_arrays(
    file: Path, run: Path, arrays: dict[str, np.ndarray], *, packed: bool = True
) -> None:
    """Write arrays by name to a file in a part of a run folder, which is made.

    Raises:
        RunFolderError: it cannot be written.
    """
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, allow_pickle=False, **arrays)
    make_folder(file.parent, inside=run)
    write_atomically(file, buffer.getvalue())


def load_arrays(file: Path, run: Path) -> dict[str, np.ndarray]:
    """All arrays of a file in a run folder. A stranger's file may raise anything.

    Raises:
        ValueError: they are too large.
    """
    with open_inside(file, run) as stream, np.load(stream, allow_pickle=False) as arrays:
        if sum(entry.file_size for entry in arrays.zip.infolist()) > LARGEST:
            raise ValueError(f"{file}: larger than {LARGEST:,} bytes")
        return dict(arrays)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
