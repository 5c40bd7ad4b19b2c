"""Reading and writing the files of a run folder: all of a file, or nothing of it."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dvae_core.errors import RunFolderError

LARGEST = 10_000_000
"""Bytes of a file that is read whole, at most, where nothing else is said."""
LARGEST_ROWS = 200_000_000
"""Bytes of a file that grows by a line at a time."""

AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""How files are opened that may be pipes, which would let the program wait for ever."""


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path leads, through whatever links, to a place in a folder."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def open_inside(file: Path, folder: Path) -> io.BufferedReader:
    """Open a file of a folder that nobody vouches for.

    Raises:
        OSError: it cannot be read; or is a pipe, a device or a link that leads out of the folder.
    """
    if not is_inside(file, folder):
        raise OSError(errno.EACCES, "leads out of its folder", str(file))
    descriptor = os.open(file, os.O_RDONLY | AT_ONCE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(file))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_inside(file: Path, folder: Path, at_most: int = LARGEST) -> bytes:
    """What is in a file of a folder that nobody vouches for.

    Raises:
        OSError: as `open_inside`, or there is more of it than `at_most` bytes.
    """
    with open_inside(file, folder) as stream:
        data = stream.read(at_most + 1)
    if len(data) > at_most:
        raise OSError(errno.EFBIG, f"larger than {at_most:,} bytes", str(file))
    return data


def small_text(file: Path, folder: Path | None = None) -> str:
    """The text of a file that a stranger may have made, as `read_inside`.

    Args:
        folder: where it must lie; where it stands, if left out.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8.
    """
    return read_inside(file, folder or file.parent).decode()


def cache_folder() -> Path:
    """Where files are kept that can be had again: DVAE_CACHE, or the user's cache folder."""
    chosen = os.environ.get("DVAE_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("dvae")


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
        RunFolderError: they cannot be written, or the file is a link, a pipe or a device.
    """
    text = "".join(json.dumps(row) + "\n" for row in rows)
    try:
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise OSError(errno.EINVAL, "is no regular file")
        with file.open("ab") as stream:
            before = stream.tell()
            try:
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                os.truncate(file, before)  # no half of a line, on which the next would go on
                raise
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
    try:
        lock = acquired(folder / ".lock")
    except Timeout as error:
        raise RunFolderError(f"{folder}: {refusal}; wait for it, or end it") from error
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def acquired(file: Path, patience: float = 0) -> FileLock:
    """A lock that this process holds now; one that locks nobody out where there are no locks.

    Raises:
        Timeout: another process has held it for as long as `patience`, in seconds.
        OSError: it cannot be had.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        if not isinstance(error, NotImplementedError) and error.errno not in NO_LOCKS:
            raise
        text = "this file system has no locks; see to it that no other process uses the folder"
        warnings.warn(f"{file.parent}: {text}", stacklevel=3)
    return lock


def write_out(file: Path, data: bytes) -> None:
    """Write a file that a user has named: into what a link points to, or into a device or pipe.

    Raises:
        RunFolderError: it cannot be written, or is a folder.
    """
    try:
        file = Path(os.path.realpath(file)) if file.is_symlink() else file
        if file.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not file.exists() or file.is_file():
            write_atomically(file, data)
            return
        with file.open("wb") as stream:
            stream.write(data)
    except OSError as error:
        raise unwritable(file, error) from error


def make_folder(folder: Path, *, parents: bool = False, inside: Path | None = None) -> None:
    """Make a folder where there is none.

    Raises:
        RunFolderError: it cannot be made, or is a link that leads out of the folder `inside`.
    """
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    if inside is not None and not is_inside(folder, inside):
        raise RunFolderError(f"{folder}: leads out of the run's folder, and nothing is written")


def unwritable(path: Path, error: Exception) -> RunFolderError:
    """What to say where `path` cannot be written."""
    if isinstance(error, RunFolderError):
        return error
    reason = getattr(error, "strerror", None) or error
    return RunFolderError(
        f"{path}: cannot be written: {reason}; free some space, or choose another --out"
    )


def nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest of the folders that it would lie in, that there is."""
    return next(there for there in (path, *path.absolute().parents) if there.exists())


def check_space(out: Path, needed: int) -> None:
    """Raise RunFolderError where the disk below `out` has fewer than `needed` bytes free."""
    free = shutil.disk_usage(nearest_folder(out)).free
    if free < needed:
        raise RunFolderError(
            f"{out}: the run needs about {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are "
            "free; free some space, or choose another --out"
        )
