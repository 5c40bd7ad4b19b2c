"""Reading and writing the files of a run folder: all of a file, or nothing of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dvae_core.errors import RunFolderError

LARGEST_TEXT = 10_000_000
"""Characters of a text that is read whole, at most."""


def write_atomically(file: Path, data: bytes) -> None:
    """Write to a temporary name, sync, rename, sync the folder: all of it or nothing.

    Raises:
        RunFolderError: the disk is full or read-only, the folder is gone, ...
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(file, error) from error
        raise


def append_lines(file: Path, rows: Iterable[Any]) -> None:
    """Add rows as lines of JSON, on disk before this returns.

    Raises:
        RunFolderError: they cannot be written.
    """
    text = "".join(json.dumps(row) + "\n" for row in rows)
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise unwritable(file, error) from error


NO_LOCKS = {getattr(errno, name, None) for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP")}
"""What a file system says that has no locks."""


@contextlib.contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Keep other processes out of a folder. A killed process leaves no lock.

    Where the file system has no locks, nobody is kept out, with a warning.

    Raises:
        RunFolderError: another process holds it, with `refusal`; or the lock cannot be had.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(f"{folder}: {refusal}; wait for it, or end it") from error
    except (OSError, NotImplementedError) as error:
        if not isinstance(error, NotImplementedError) and error.errno not in NO_LOCKS:
            raise unwritable(folder, error) from error
        text = "this file system has no locks; see to it that no other process uses the folder"
        warnings.warn(f"{folder}: {text}", stacklevel=3)
    try:
        yield
    finally:
        lock.release()


def write_out(file: Path, data: bytes) -> None:
    """Write a file that a user has named: into what a link points to, or into a device or pipe.

    Raises:
        RunFolderError: it cannot be written, or is a folder.
    """
    try:
        file = file.resolve() if file.is_symlink() else file
        if not file.exists() or file.is_file():
            write_atomically(file, data)
            return
        with file.open("wb") as stream:
            stream.write(data)
    except OSError as error:
        raise unwritable(file, error) from error


def make_folder(folder: Path, *, parents: bool = False) -> None:
    """Make a folder where there is none.

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(path: Path, error: Exception) -> RunFolderError:
    """What to say where `path` cannot be written."""
    if isinstance(error, RunFolderError):
        return error
    reason = getattr(error, "strerror", None) or error
    return RunFolderError(
        f"{path}: cannot be written: {reason}; free some space, or choose another --out"
    )


def small_text(file: Path) -> str:
    """The text of a file that a stranger may have made.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8, or too large.
    """
    with file.open(encoding="utf-8") as stream:
        text = stream.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise ValueError(f"{file} is too large")
    return text
