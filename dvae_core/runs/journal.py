"""The journal of a sweep: a line for each variant planned, session begun, and run ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dvae_core.errors import RunFolderError
from dvae_core.files import LARGEST_ROWS, append_lines, read_inside, unwritable

FORMAT = 1
"""Of the sweep folder; a later program reads it or refuses it in words."""
ENDED = ("finished", "failed")
PAIRS = (("variant", "recipe"), ("run", "status"))
"""A line with the first has the second."""


class Journal:
    """journal.jsonl, read once and then only added to. One process at a time writes it.

    A line that a kill cut off is dropped: what it told is found out again.

    Raises:
        RunFolderError: it cannot be read, or is of another format.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.variants: dict[str, str] = {}
        """The digest of each variant's recipe."""
        self.runs: dict[str, str] = {}
        """How each run ended: finished or failed. One that is tried again is not among them."""
        self.epochs: dict[str, int] = {}
        """How many epochs each of them has."""
        self.errors: dict[str, str] = {}
        """Why the failed ones did."""
        self._read()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add lines, on disk before this returns.

        Raises:
            RunFolderError: they cannot be written.
        """
        rows = list(rows)
        append_lines(self.file, rows)
        for row in rows:
            self._note(row)

    def _read(self) -> None:
        if not self.file.exists():
            return
        lines = _whole_lines(self.file)
        try:
            if len(lines) < self.file.stat().st_size:
                os.truncate(self.file, len(lines))
        except OSError as error:
            raise unwritable(self.file, error) from error
        for row in _rows(self.file, lines):
            self._note(row)

    def _note(self, row: dict[str, Any]) -> None:
        if "variant" in row:
            self.variants[row["variant"]] = row["recipe"]
        if "run" in row:
            name, status = row["run"], row["status"]
            self.runs.pop(name, None)
            self.errors.pop(name, None)
            if status in ENDED:
                self.runs[name] = status
                self.epochs[name] = row.get("epochs", 0)
            if status == "failed":
                self.errors[name] = row.get("error") or "no reason is known"


def read_journal(file: Path) -> list[dict[str, Any]]:
    """The rows of a journal, which another process may be writing.

    Raises:
        RunFolderError: it cannot be read, or is of another format.
    """
    return list(_rows(file, _whole_lines(file)))


def _whole_lines(file: Path) -> bytes:
    try:
        data = read_inside(file, file.parent, LARGEST_ROWS)
    except OSError as error:
        raise RunFolderError(f"{file}: cannot be read: {error.strerror}") from error
    return data[: data.rfind(b"\n") + 1]


def _rows(file: Path, lines: bytes) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RunFolderError(f"{file}:{number}: damaged: {error}") from error
        told = [key for pair in PAIRS if isinstance(row, dict) and pair[0] in row for key in pair]
        texts = [*told, *(key for key in ("error", "host") if isinstance(row, dict) and key in row)]
        if (
            not isinstance(row, dict)
            or not all(isinstance(row.get(key), str) for key in texts)
            or not all(type(row.get(key, 0)) in (int, float) for key in ("seconds", "epochs"))
            or not isinstance(row.get("set", []), list)
        ):
            raise RunFolderError(f"{file}:{number}: damaged: not a line of a journal")
        if row.get("format", FORMAT) != FORMAT:
            raise RunFolderError(
                f"{file}: sweep format {row['format']!r}, and this version reads {FORMAT}"
            )
        yield row
