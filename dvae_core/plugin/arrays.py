"""Arrays from an npz file that nobody vouches for; large ones stay in the file."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

LARGEST_ARRAY = 64 * 2**30
"""Bytes of an array, at most."""
UNPACKED_FREELY = 2**30
LARGEST_RATIO = 200
"""An array may unpack to so many bytes, or to so many times the file, before it is a bomb."""
MAPPED_FROM = 2**28
"""From so many bytes on, arrays of uint8 or float32 stay in a file where they lie as they are."""


def read_npz(path: Path, names: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of these names, and the names of all that are there.

    Sizes are checked before memory is taken, and checksums of all that is returned.

    Raises:
        OSError, ValueError, zipfile.BadZipFile, ...: it is no npz file, or damaged, or a bomb.
    """
    with path.open("rb") as stream, _opened(stream) as file:
        archive: Any = file.zip
        entries = {e.filename.removesuffix(".npy"): e for e in archive.infolist()}
        arrays = {}
        for name in names:
            if name in file.files:
                _check_size(archive, entries[name], os.fstat(stream.fileno()).st_size)
                mapped = _mapped(path, stream, archive, entries[name])
                arrays[name] = file[name] if mapped is None else mapped
        return arrays, file.files


def _opened(stream: BinaryIO) -> Any:
    import numpy as np

    if not zipfile.is_zipfile(stream):  # NumPy would call it a pickle, and advise to trust it
        raise ValueError("not an npz file")
    stream.seek(0)
    return np.load(stream, allow_pickle=False)


def _check_size(archive: Any, entry: zipfile.ZipInfo, packed: int) -> None:
    """Raise ValueError where an array claims more than the file holds."""
    with archive.open(entry) as member:
        shape, _, dtype = _header(member)
        held = entry.file_size - member.tell()
    if math.prod(shape) * dtype.itemsize > held:
        raise ValueError(f"{entry.filename} claims to be {list(shape)} {dtype} and is not")
    if entry.file_size > min(LARGEST_ARRAY, max(UNPACKED_FREELY, LARGEST_RATIO * packed)):
        raise ValueError(
            f"{entry.filename} unpacks to {entry.file_size:,} bytes, over the limit for a "
            f"file of {packed:,}"
        )


def _mapped(
    path: Path, stream: BinaryIO, archive: Any, entry: zipfile.ZipInfo
) -> np.ndarray | None:
    """An array that stays in the file, if it is large and lies there as it is."""
    import numpy as np

    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < MAPPED_FROM:
        return None
    with archive.open(entry) as member:
        shape, fortran, dtype = _header(member)
        start = member.tell()
        if dtype not in (np.uint8, np.float32) or fortran:
            return None
        while member.read(2**20):  # to its end, where the checksum is compared
            pass
    # The member begins behind its own header, a name and an extra field (APPNOTE.TXT, 4.3.7).
    stream.seek(entry.header_offset + 26)
    lengths = [int.from_bytes(stream.read(2), "little") for _ in range(2)]
    start += entry.header_offset + 30 + sum(lengths)
    # Copy-on-write: the array can be written to, as torch wants it, and the file stays as it is.
    return np.memmap(path, dtype, "c", start, shape)


def _header(member: Any) -> Any:
    """The shape, whether it is in Fortran's order, and the dtype of an npy file."""
    import numpy as np

    if np.lib.format.read_magic(member) == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
