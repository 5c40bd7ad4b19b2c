"""Progress of a sweep on stderr: a live display on a terminal, a plain line a run in a pipe."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from rich import progress as bars

from dvae_core.cli.progress import ConsoleSpeaker, Speaker, suited
from dvae_core.sweep.watch import Progress, SweepWatch


class Lines(Speaker, SweepWatch):
    """A plain line for each run that ends."""

    def started(self, folder: Path, progress: Progress, at_once: int | None) -> None:
        runs = f"{progress.runs} runs, {progress.epochs:,} epochs"
        many = f", {at_once} at once" if at_once else ""
        done = f", {progress.ended} done already" if progress.ended else ""
        self.say(f"{folder}: {runs}{many}{done}")

    def ended(self, name: str, status: str, detail: str, progress: Progress) -> None:
        self.say(f"{name}: {status}: {detail} ({summary(progress)})")


class Display(ConsoleSpeaker, Lines):
    """Bars for runs and epochs, the best run and the time left, below the lines of ended runs."""

    def __init__(self) -> None:
        super().__init__()
        self.bars = bars.Progress(
            bars.TextColumn("{task.description:<7}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[note]}", style="dim"),
            console=self.console,
            transient=True,
        )
        self.runs = self.bars.add_task("runs", total=None, note="starting")
        self.epochs = self.bars.add_task("epochs", total=None, note="")

    def stage(self, text: str) -> None:
        self.bars.update(self.runs, note=text)

    def progressed(self, progress: Progress) -> None:
        best = best_so_far(progress) or ""
        self.bars.update(self.runs, total=progress.runs, completed=progress.ended, note=best)
        left = time_left(progress) or ""
        self.bars.update(
            self.epochs, total=progress.epochs, completed=progress.epochs_done, note=left
        )


def watch() -> AbstractContextManager[Lines]:
    """Progress of a sweep."""
    return suited(Lines, Display)


def summary(progress: Progress) -> str:
    """How far a sweep is, in a few words.

    >>> summary(Progress(runs=9, ended=3, failed=1, seconds_left=90.0))
    '3 of 9 runs, 1 failed, about 1:30 left'
    """
    parts = [f"{progress.ended} of {progress.runs} runs"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    best, left = best_so_far(progress), time_left(progress)
    return ", ".join([*parts, *(part for part in (best, left) if part)])


def best_so_far(progress: Progress) -> str | None:
    if progress.best is None or progress.goal is None:
        return None
    name, value = progress.best
    return f"best {progress.goal.name} {value:.4g} by {name}"


def time_left(progress: Progress) -> str | None:
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
