"""The runs of a sweep in its report: how each one ended, and what all of them were made with."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dvae_core.errors import DvaeError
from dvae_core.pages.sections import Html, provenance, table, value
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.sweep_folder import SweepFolder

MOST_RUNS = 200
"""Runs in the table; failed ones come first."""
ABOUT = ("device", "processor", "platform", "python", "git_commit")
"""Of run.json, what the table of provenance shows besides versions and components."""


class Ends:
    """How the runs of a sweep ended.

    Args:
        sweep: the sweep.
        file: where the report will lie.
    """

    def __init__(self, sweep: SweepFolder, file: Path) -> None:
        self._sweep, self._file = sweep, file
        self._infos: dict[str, dict[str, Any]] = {}
        for folder in sorted(found.parent for found in sweep.path.glob("*/run.json")):
            with contextlib.suppress(DvaeError):
                self._infos[folder.name] = RunFolder.open(folder).info
        self._ends = {row["run"]: row for row in sweep.journal if "run" in row}

    @cached_property
    def _statuses(self) -> dict[str, str]:
        """finished, failed, interrupted or running, by the run's name; failed ones first."""
        known = {name: str(info.get("status", "unknown")) for name, info in self._infos.items()}
        ended = {n: row["status"] for n, row in self._ends.items() if row["status"] != "retry"}
        statuses = known | ended
        return dict(sorted(statuses.items(), key=lambda item: (item[1] != "failed", item[0])))

    def summary(self) -> str:
        """How many runs ended in which way."""
        counts = Counter(self._statuses.values())
        order = sorted(counts, key=lambda status: (status != "finished", status))
        return f"{counts.total()} runs: " + ", ".join(f"{counts[s]} {s}" for s in order)

    def table(self) -> str:
        """A row a run, with a link to its own report or else its folder."""
        rows = []
        for name, status in list(self._statuses.items())[:MOST_RUNS]:
            end = self._ends.get(name, {})
            seconds = f"{end['seconds']:,.1f}" if "seconds" in end else ""
            link = Html(link_to(self._sweep.path / name, self._file))
            rows.append((link, status, seconds, value(end.get("host")), self._note(name)))
        if not rows:
            return "<p>No run has been started.</p>"
        left_out = len(self._statuses) - len(rows)
        more = f'<p class="quiet">{left_out} more runs are in journal.jsonl.</p>' * bool(left_out)
        return table("Runs", ("run", "status", "seconds", "host", "note"), rows) + more

    def provenance(self) -> str:
        """The sessions, and what the runs were made with."""
        sessions = [
            [value(row.get(k)) for k in ("time", "host", "launcher", "set")]
            for row in self._sweep.journal
            if "session" in row
        ]
        about = table("Sessions", ("started", "on", "launcher", "set"), sessions)
        return about + provenance(list(self._infos.values()), ABOUT)

    def _note(self, name: str) -> str:
        """Why a run failed, or why it is in no row of the comparison."""
        error = self._ends.get(name, {}).get("error")
        if error:
            return str(error)
        folder = f"{self._sweep.path / name}: "
        left_out = self._left_out.get(name, "")
        return left_out.removeprefix(folder)

    @cached_property
    def _left_out(self) -> dict[str, str]:
        lines = self._sweep.comparison.left_out if self._sweep.comparison else ()
        above = f"{self._sweep.path}{os.sep}"
        return {line.removeprefix(above).partition(": ")[0]: line for line in lines}


def link_to(run: Path, file: Path) -> str:
    """A link from a file to a run's own report, or to its folder where there is none."""
    target = run / "report.html"
    if not target.exists():
        target = run
    path = quote(Path(os.path.relpath(target, file.parent)).as_posix())
    return f'<a href="{escape(path)}{"" if target.suffix else "/"}">{escape(run.name)}</a>'
