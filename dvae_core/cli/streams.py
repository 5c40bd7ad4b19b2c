"""Standard streams that may be gone: a closed terminal, a pipe that nobody reads, a full disk."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from dvae_core.errors import printable

UNWRAPPED = 10_000
"""Columns in a pipe: a row a line, good to grep."""


class Quiet:
    """A text stream that falls silent when it cannot be written to; for talk, which may be lost."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare() -> None:
    """Make sure that there are three standard streams, and that talk ends no work.

    A closed one would lend its number to the next file that is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if not isinstance(sys.stderr, Quiet):
        sys.stderr = Quiet(sys.stderr)


def show(path: Path) -> None:
    """Print a path: as it is for programs, in letters that are harmless for people."""
    print(printable(str(path)) if sys.stdout.isatty() else path)


def leave_unread() -> None:
    """Nobody reads stdout any more: let Python find nothing left to write when it exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
