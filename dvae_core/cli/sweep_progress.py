"""Progress of a sweep on stderr: a live display on a terminal, a plain line a run in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from dvae_core.sweep import watch as watching
from dvae_core.sweep.watch import SweepWatch


class Lines(SweepWatch):
    """A plain line for each run that ends."""

    def started(self, folder: Path, progress: watching.Progress, at_once: int | None) -> None:
        runs = f"{progress.runs} runs, {progress.epochs:,} epochs"
        many = f", {at_once} at once" if at_once else ""
        done = f", {progress.ended} done already" if progress.ended else ""
        self.say(f"{folder}: {runs}{many}{done}")

    def ended(self, name: str, status: str, detail: str, progress: watching.Progress) -> None:
        self.say(f"{name}: {status}: {detail} ({summary(progress)})")

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Display(Lines):
    """Bars for runs and epochs, the best run and the time left, below the lines of ended runs."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bars = Progress(
            TextColumn("{task.description:<7}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=self.console,
            transient=True,
        )
        self.runs = self.bars.add_task("runs", total=None, note="starting")
        self.epochs = self.bars.add_task("epochs", total=None, note="")

    def stage(self, text: str) -> None:
        self.bars.update(self.runs, note=text)

    def progressed(self, progress: watching.Progress) -> None:
        best = best_so_far(progress) or ""
        self.bars.update(self.runs, total=progress.runs, completed=progress.ended, note=best)
        left = time_left(progress) or ""
        self.bars.update(
            self.epochs, total=progress.epochs, completed=progress.epochs_done, note=left
        )

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)


@contextmanager
def watch() -> Iterator[Lines]:
    """What suits stderr."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    display = Display()
    with display.bars:
        yield display


def summary(progress: watching.Progress) -> str:
    """How far a sweep is, in a few words.

    >>> summary(watching.Progress(runs=9, ended=3, failed=1, seconds_left=90.0))
    '3 of 9 runs, 1 failed, about 1:30 left'
    """
    parts = [f"{progress.ended} of {progress.runs} runs"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    best, left = best_so_far(progress), time_left(progress)
    return ", ".join([*parts, *(part for part in (best, left) if part)])


def best_so_far(progress: watching.Progress) -> str | None:
    if progress.best is None or progress.goal is None:
        return None
    name, value = progress.best
    return f"best {progress.goal.name} {value:.4g} by {name}"


def time_left(progress: watching.Progress) -> str | None:
    if progress.seconds_left is None or progress.ended == progress.runs:
        return None
    return f"about {duration(progress.seconds_left)} left"


def duration(seconds: float) -> str:
    """
    >>> duration(75), duration(7322)
    ('1:15', '2:02:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
