"""metrics.jsonl: an epoch's figures a line, the source of truth about a run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvae_core.errors import RunFolderError
from dvae_core.files import LARGEST_ROWS, append_lines, read_inside, write_atomically

SPLITS = ("val/", "test/")
"""What stands before a figure that was measured on these images."""
LARGEST_NUMBER = 1e100
"""In a row, above all that float32 can hold: sums and squares of such are finite."""


class Rows:
    """The metrics.jsonl of a run folder, whole lines of which outlive whatever is killed."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "metrics.jsonl"

    def read(self) -> list[dict[str, Any]]:
        """The rows that can be read.

        Raises:
            RunFolderError: the file is there and cannot be read.
        """
        return self._parse()[0]

    def append(self, row: dict[str, Any]) -> None:
        """Add an epoch's row, on disk before this returns."""
        append_lines(self.file, [row])

    def replace_last(self, row: dict[str, Any]) -> None:
        """Put an epoch's row in the place of the last one."""
        self._write([*self.read()[:-1], row])

    def forget_after(self, epoch: int) -> list[str]:
        """Drop the rows of epochs after `epoch`, which a resume trains again.

        Returns:
            A line where some of the file could not be read; all of it is put aside first then.
        """
        rows, damaged = self._parse()
        warnings = []
        if damaged:
            names = (f"metrics.damaged-{number}.jsonl" for number in itertools.count(1))
            aside = next(file for file in map(self.file.with_name, names) if not file.exists())
            write_atomically(aside, self._content())
            warnings.append(
                f"{self.file}: damaged lines are left out ({damaged}); "
                f"the file as it was is {aside.name}"
            )
        self._write([row for row in rows if row["epoch"] <= epoch])
        return warnings

    def _write(self, rows: list[dict[str, Any]]) -> None:
        write_atomically(self.file, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def _parse(self) -> tuple[list[dict[str, Any]], int]:
        """The rows that can be read, and how many whole lines cannot."""
        rows, damaged = [], 0
        *lines, last = self._content().split(b"\n")
        for line in (*lines, last):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if is_row(row):
                rows.append(row)
            elif line is not last:  # which a kill has cut off, or is empty
                damaged += 1
        return rows, damaged

    def _content(self) -> bytes:
        try:
            return read_inside(self.file, self.file.parent, LARGEST_ROWS)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RunFolderError(f"{self.file}: cannot be read: {error.strerror}") from error


def measured_key(name: str, row: Mapping[str, Any]) -> str | None:
    """The key of a measured figure, named with or without its split; None if it is not there.

    >>> measured_key("kl", {"train/kl": 3.0, "val/kl": 3.1, "test/kl": 3.2})
    'val/kl'
    """
    asked = [name] if name.startswith(SPLITS) else [split + name for split in SPLITS]
    return next((key for key in asked if key in row), None)


def is_row(row: Any) -> bool:
    """Whether this is an epoch's row: finite numbers alone, as the loop writes them."""
    return (
        isinstance(row, dict)
        and type(row.get("epoch")) is int
        and row["epoch"] >= 0
        and all(type(v) in (int, float) and abs(v) < LARGEST_NUMBER for v in row.values())
    )
