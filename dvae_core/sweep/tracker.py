"""What a sweep's files say about each run, carried over into its journal."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from dvae_core.errors import DvaeError
from dvae_core.files import LARGEST_ROWS, read_inside
from dvae_core.recipe.goal import Goal
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.journal import ENDED, Journal
from dvae_core.runs.rows import is_row
from dvae_core.sweep.jobs import Record
from dvae_core.sweep.watch import Progress, SweepWatch

LOOK = 0.2
"""Seconds between looks at the files."""


class Tracker:
    """Knows which runs are done, and how far the others are.

    Args:
        goal: what makes a run the best so far.
    """

    def __init__(
        self, folder: Path, journal: Journal, session: str, goal: Goal | None, watch: SweepWatch
    ) -> None:
        self.folder = folder
        self.journal = journal
        self.session = session
        self.watch = watch
        self.progress = Progress(goal=goal)
        self.running: set[str] = set()
        """Runs of this session that are being trained."""
        self.refusal: str | None = None
        """Why a worker did not take a job."""
        self.values: dict[str, float] = {}
        """The goal's metric of finished runs, by name."""
        self._epochs_of: dict[str, int] = {}
        self._epochs_done: dict[str, int] = {}
        self._counted: set[str] = set()
        self._seen: dict[str, int] = {}
        self._warned: set[str] = set()
        self._corrected: set[str] = set()
        self._looked = 0.0
        self._began: float | None = None
        self._before = 0
        """Epochs that were done before."""

    @property
    def reached(self) -> tuple[int, int]:
        """Grows whenever something was achieved."""
        return self.progress.ended, self.progress.epochs_done

    def plan(self, name: str, epochs: int) -> None:
        """Take a run into the plan, or correct how many epochs it has."""
        self.progress.epochs += epochs - self._epochs_of.get(name, 0)
        new = name not in self._epochs_of
        self._epochs_of[name] = epochs
        if not new:
            return
        self.progress.runs += 1
        if self.done(name):
            self._count(name)
        else:
            self._set_epochs(name, epochs_in(self.folder / name))
        self._before += self._epochs_done[name]

    def done(self, name: str) -> bool:
        """Whether a run of the plan needs no more work."""
        status = self.journal.runs.get(name)
        if status == "finished":
            return self.journal.epochs[name] >= self._epochs_of[name]
        return status == "failed"

    def refuse(self, name: str, reason: str) -> None:
        """A run of the plan cannot be begun."""
        row = {"run": name, "status": "failed", "seconds": 0.0, "host": platform.node()}
        self.journal.add([row | {"epochs": 0, "error": reason}])
        self._count(name)
        self.watch.ended(name, "failed", reason, self.progress)

    def look(self, *, now: bool = False) -> None:
        """Read what has changed in the files since the last time."""
        if not now and time.monotonic() - self._looked < LOOK:
            return
        self.running = set()
        ended: list[tuple[Record, Path]] = []
        with os.scandir(self.folder / "jobs") as entries:
            files = [entry for entry in entries if entry.name.endswith(".json")]
        for entry in sorted(files, key=lambda entry: entry.stat().st_mtime_ns):
            record = Record.read(Path(entry.path))
            if record is None:
                continue
            if record.status in ENDED:
                ended.append((record, Path(entry.path)))
            elif record.session == self.session:
                self._follow(record)
        if ended:
            # The journal first: what is in neither would be trained again.
            self.journal.add(self._row(record) for record, _ in ended)
        for record, file in ended:
            self._end(record, file)
        self._estimate()
        self._looked = time.monotonic()
        self.watch.progressed(self.progress)

    def _follow(self, record: Record) -> None:
        if record.status == "refused":
            self.refusal = record.error
        elif record.status == "running":
            self.running.add(record.name)
            self._correct(record.name)
            file = self.folder / record.name / "metrics.jsonl"
            size = file.stat().st_size if file.exists() else 0
            if self._seen.get(record.name) != size:
                self._seen[record.name] = size
                self._set_epochs(record.name, epochs_in(self.folder / record.name))

    def _correct(self, name: str) -> None:
        """Some runs know how many epochs they have when they have seen their data."""
        planned = self._epochs_of.get(name)
        if planned is not None and name not in self._corrected:
            with contextlib.suppress(DvaeError):  # it may not have begun
                self.plan(name, max(RunFolder.open(self.folder / name).epochs, planned))
                self._corrected.add(name)

    def _row(self, record: Record) -> dict[str, Any]:
        """What the journal says of a run that has ended."""
        epochs = epochs_in(self.folder / record.name)
        if record.status == "finished" and epochs < self._epochs_of.get(record.name, 0):
            # A run that was stopped early is as long as it was to be.
            epochs = _length(self.folder / record.name, epochs)
        row = {
            "run": record.name,
            "status": record.status,
            "seconds": record.seconds,
            "host": record.host,
            "epochs": epochs,
        }
        return row | ({} if record.error is None else {"error": record.error})

    def _end(self, record: Record, file: Path) -> None:
        name = record.name
        self._correct(name)
        self._seen.pop(name, None)
        for left in (file, file.with_suffix(".lock")):
            left.unlink(missing_ok=True)
        for text in record.warnings:
            if text not in self._warned:
                self._warned.add(text)
                self.watch.warn(f"{name}: {text}")
        # A launcher that took a worker for dead may have had the run done twice.
        if name in self._epochs_of and name not in self._counted and self.done(name):
            self._count(name)
            detail = record.error if record.error is not None else f"{record.seconds:.1f} s"
            self._estimate()
            self.watch.ended(name, record.status, detail, self.progress)

    def _count(self, name: str) -> None:
        """A run of the plan has ended."""
        self._counted.add(name)
        self.progress.ended += 1
        self._set_epochs(name, self._epochs_of[name])
        if self.journal.runs[name] == "failed":
            self.progress.failed += 1
            return
        goal, best = self.progress.goal, self.progress.best
        if goal is None:
            return
        value = _last_value(self.folder / name, goal.key)
        if value is None:
            self.watch.warn(f'{name}: has no metric "{goal.key}", which is the goal')
            return
        self.values[name] = value
        if goal.better(value, best[1] if best else None):
            self.progress.best = (name, value)

    def _set_epochs(self, name: str, done: int) -> None:
        self.progress.epochs_done += done - self._epochs_done.get(name, 0)
        self._epochs_done[name] = done

    def _estimate(self) -> None:
        progress, now = self.progress, time.monotonic()
        if self._began is None:
            self._began = now
        done = progress.epochs_done - self._before
        if done > 0:
            pace = (now - self._began) / done
            progress.seconds_left = pace * (progress.epochs - progress.epochs_done)


def epochs_in(run: Path) -> int:
    """The last epoch in metrics.jsonl: rows before it may be lost. Its line alone is parsed, for
    this is done often."""
    try:
        lines = read_inside(run / "metrics.jsonl", run, LARGEST_ROWS)
    except OSError:
        return 0
    *_, last = [b"", *lines[: lines.rfind(b"\n") + 1].splitlines()]
    try:
        row = json.loads(last)
    except (ValueError, RecursionError):
        row = None
    return row["epoch"] if is_row(row) else lines.count(b"\n")


def is_stopped(run: Path) -> bool:
    """Whether a run was stopped before all of its epochs were done."""
    return _length(run, 0) > 0


def _length(run: Path, rows: int) -> int:
    """Of how many epochs a run was, if it was stopped before they were all done."""
    try:
        stopped = RunFolder.open(run).stopped or {}
    except DvaeError:
        return rows
    return int(stopped.get("of", rows))


def values_by_epoch(run: Path, key: str) -> dict[int, float]:
    """A metric after each epoch so far."""
    try:
        return {row["epoch"]: row[key] for row in RunFolder.open(run).metrics() if key in row}
    except DvaeError:
        return {}


def _last_value(run: Path, key: str) -> float | None:
    try:
        value = RunFolder.open(run).metrics()[-1].get(key)
    except (DvaeError, IndexError):
        return None
    return float(value) if isinstance(value, int | float) else None
