"""What someone who watches a sweep is told while it goes on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from dvae_core.recipe.goal import Goal


@dataclass
class Progress:
    """How far a sweep is."""

    runs: int = 0
    """All runs of the plan."""
    ended: int = 0
    """Those finished or failed."""
    failed: int = 0
    epochs: int = 0
    """Those of all runs of the plan."""
    epochs_done: int = 0
    seconds_left: float | None = None
    """At the pace of this session; None before an epoch has ended in it."""
    goal: Goal | None = None
    """What makes a run the best."""
    best: tuple[str, float] | None = None
    """The finished run that is best by the goal, and its value."""


class SweepWatch:
    """Tells nobody, but for warnings. Subclass it to show progress."""

    def started(self, folder: Path, progress: Progress, at_once: int | None) -> None:
        """The first runs are about to start, so many at a time if that is known."""

    def progressed(self, progress: Progress) -> None:
        """Some time later."""

    def ended(self, name: str, status: str, detail: str, progress: Progress) -> None:
        """A run is finished or has failed; the detail is how long it took, or why."""

    def stage(self, text: str) -> None:
        """Something starts that may take a while, such as drawing figures."""

    def warn(self, text: str) -> None:
        """Something went wrong that does not end the sweep."""
        warnings.warn(text, stacklevel=2)
