"""What someone who watches a run is told while it goes on."""

from __future__ import annotations

import warnings

from dvae_core.recipe.timeline import Timeline
from dvae_core.runs.folder import RunFolder


class Watch:
    """Tells nobody, but for warnings. Subclass it to show progress."""

    def stage(self, text: str) -> None:
        """Something starts that may take a while, such as loading data."""

    def started(self, run: RunFolder, timeline: Timeline, step: int) -> None:
        """Training starts, or goes on, at a step."""

    def stepped(self, step: int, means: dict[str, float]) -> None:
        """Some steps later: steps finished, and the epoch's means so far."""

    def epoch_finished(self, row: dict[str, float]) -> None:
        """An epoch's row of metrics is on disk."""

    def warn(self, text: str) -> None:
        """Something went wrong that does not end the run."""
        warnings.warn(text, stacklevel=2)


class Silence(Watch):
    """Tells nobody anything."""

    def warn(self, text: str) -> None:
        pass
