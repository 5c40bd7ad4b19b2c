"""Logs a run to Trackio: a store on this machine, or a Space of the Hugging Face hub."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import Callback
from dvae_plugins.extras import package

if TYPE_CHECKING:
    from dvae_core import Run


class Trackio(Callback):
    """Trackio: scalars and figures of each epoch, with the recipe as the configuration.

    metrics.jsonl stays the source of truth; this is a copy. It goes to Trackio's own folder, which
    the variable TRACKIO_DIR moves and `trackio show` shows, or to a Space. A run that goes on is
    the same run there.
    """

    name = "trackio"

    project: str = Field(default="dvae", min_length=1)
    """The project that runs are filed under."""
    space: str | None = None
    """A Space of the hub, user/name, to log to in place of this machine."""

    _run: Any = None
    _known: frozenset[int] = frozenset()

    def check(self) -> None:
        self._package()

    def run_started(self, run: Run) -> None:
        trackio = self._package()
        goes_on = run.recall("trackio_name")
        with _quiet():
            self._run = trackio.init(
                project=self.project,
                name=goes_on or run.name,
                group=run.sweep,
                config={**run.recipe_table, "folder": str(run.path)},
                resume="allow" if goes_on else "never",
                space_id=self.space,
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
        run.remember("trackio_name", self._run.name)
        if goes_on and self.space is None:
            # What an earlier process logged is trained again to the same bits.
            logged = trackio.SQLiteStorage.get_logs(self.project, goes_on)
            self._known = frozenset(row["step"] for row in logged)

    def epoch_finished(self, run: Run, metrics: dict[str, float], figures: dict[str, Path]) -> None:
        step = int(metrics["step"])
        if self._run is None or step in self._known:
            return
        row: dict[str, Any] = {
            key: value for key, value in metrics.items() if key != "step" and math.isfinite(value)
        }
        for name, path in figures.items():
            row[f"figures/{name}"] = self._package().Image(str(path))
        with _quiet():
            self._run.log(row, step=step)

    def run_finished(self, run: Run, status: str) -> None:
        if self._run is not None:
            with _quiet():
                self._package().finish()

    def _package(self) -> Any:
        return package("trackio", "trackio", "the trackio callback")


def _quiet() -> contextlib.AbstractContextManager[Any]:
    """Trackio talks on stdout, which is for data; what goes wrong it says by warnings."""
    return contextlib.redirect_stdout(io.StringIO())
