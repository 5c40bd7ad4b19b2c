"""Progress on stderr: a live display on a terminal, a plain line an epoch in a pipe."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dvae_core.cli.console import PlainConsole
from dvae_core.cli.epoch_text import epoch_line, epoch_table, evaluation_hint, next_step
from dvae_core.errors import printable
from dvae_core.recipe.timeline import Timeline
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.watch import Watch
from dvae_core.training.ranks.torchrun import Process

WONDER_AFTER = 2.0
"""Seconds."""

L = TypeVar("L")


class Speaker:
    """Says things on stderr, a line each."""

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)


class ConsoleSpeaker(Speaker):
    """The same above a live display."""

    def __init__(self) -> None:
        super().__init__()
        self.console = PlainConsole(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)


class Lines(Speaker, Watch):
    """A plain line for each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs = 0
        self.goal = ""
        self.chosen: Sequence[str] = ()
        self.last: dict[str, Any] | None = None

    def started(self, run: RunFolder, timeline: Timeline, step: int) -> None:
        self.epochs = timeline.epochs
        where = f" from step {step:,}" if step else ""
        self.say(
            f"{run.path}: {timeline.epochs} epochs of {timeline.steps_per_epoch:,} steps "
            f"on {run.info['device']}{where}"
        )

    def epoch_finished(self, row: dict[str, Any]) -> None:
        self.say(epoch_line(row, self.epochs, self.goal, self.chosen))
        self.last = row

    def finished(self, run: RunFolder) -> None:
        """The run is over: all of its last epoch, and what comes next."""
        if self.last is not None:
            self.say(f"\n{epoch_table(self.last)}\n")
        images = run.info.get("train_images")
        if images and (hint := evaluation_hint(run.metrics(), images)):
            self.say(hint)
        self.say(next_step(run.path))


class Patience(Lines):
    """Silent at first, and a plain line a stage from the time when somebody may wonder."""

    def __init__(self) -> None:
        super().__init__()
        self.late = False
        self.text = ""
        self.timer = threading.Timer(WONDER_AFTER, self._wake)
        self.timer.daemon = True

    def stage(self, text: str) -> None:
        self.text = text
        if self.late:
            self.say(f"{text} ...")

    def _wake(self) -> None:
        self.late = True
        if self.text:
            self.stage(self.text)


class Display(ConsoleSpeaker, Lines):
    """A progress bar over the whole run, with the epochs' lines scrolling by above it."""

    def __init__(self) -> None:
        super().__init__()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[means]}", style="dim"),
            console=self.console,
            transient=True,
        )
        self.task = self.bars.add_task("starting", total=None, means="")
        self.steps_per_epoch = 1

    def stage(self, text: str) -> None:
        self.bars.update(self.task, description=text)

    def started(self, run: RunFolder, timeline: Timeline, step: int) -> None:
        super().started(run, timeline, step)
        self.steps_per_epoch = timeline.steps_per_epoch
        self.bars.update(self.task, total=timeline.total, completed=step, description="training")

    def stepped(self, step: int, means: dict[str, float]) -> None:
        epoch = (step - 1) // self.steps_per_epoch + 1
        shown = f"loss {means['train/loss']:.2f}"
        description = f"epoch {epoch}/{self.epochs}"
        self.bars.update(self.task, completed=step, description=description, means=shown)


@contextmanager
def suited(lines: Callable[[], L], display: Callable[[], L]) -> Iterator[L]:
    """What suits stderr: lines, or on a terminal a display with its `bars`."""
    live = sys.stderr.isatty() and not Process.here().rank
    chosen = display() if live else lines()
    with getattr(chosen, "bars", nullcontext()):
        yield chosen


def watch() -> AbstractContextManager[Lines]:
    """Progress of a run."""
    return suited(Lines, Display)


@contextmanager
def patience() -> Iterator[Lines]:
    """For verbs that are often done before anyone wonders."""
    watcher = Patience()
    watcher.timer.start()
    try:
        yield watcher
    finally:
        watcher.timer.cancel()
