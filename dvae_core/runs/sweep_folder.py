"""A sweep's folder, as reports and callbacks see it."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from dvae_core.errors import RunFolderError
from dvae_core.files import small_text, write_atomically
from dvae_core.plugin.given import Sweep
from dvae_core.plugin.registry import Registry
from dvae_core.recipe.goal import Goal
from dvae_core.runs.comparison import compare_runs
from dvae_core.runs.comparison_table import Comparison, Row, Run
from dvae_core.runs.journal import read_journal


class SweepFolder(Sweep):
    """A sweep's folder, with what its runs have come to.

    Args:
        path: the folder.
        registry: the metrics that say which way is better.

    Raises:
        RunFolderError: it is no sweep's folder, or of a format that this version cannot read.
    """

    def __init__(self, path: str | Path, registry: Registry | None = None) -> None:
        self.path = Path(path)
        self.journal = read_journal(self.path / "journal.jsonl")
        self.comparison: Comparison | None = None
        with contextlib.suppress(RunFolderError):
            self.comparison = compare_runs([self.path], registry=registry)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @cached_property
    def table(self) -> dict[str, Any]:
        try:
            return tomllib.loads(small_text(self.path / "sweep.toml"))
        except (OSError, ValueError):
            return {}

    @property
    def title(self) -> str:
        return str(self.table.get("title") or self.name)

    @property
    def goal(self) -> tuple[str, str] | None:
        goal = self._goal
        return None if goal is None else (goal.direction, goal.name)

    @property
    def best_first(self) -> list[Row]:
        rows = [row for row in self.comparison.rows if row.finished] if self.comparison else []
        return sorted(rows, key=lambda row: self._rank(*row.runs))

    @property
    def best_run(self) -> Run | None:
        runs = [run for row in self.best_first for run in row.runs]
        best = min(runs, key=self._rank, default=None)
        return best if best is not None and self.goal and self._rank(best) < math.inf else None

    def _rank(self, *runs: Run) -> float:
        goal = self._goal
        if goal is None:
            return 0.0
        values = [run.metrics[goal.name] for run in runs if goal.name in run.metrics]
        return goal.cost(statistics.fmean(values)) if values else math.inf

    @property
    def _goal(self) -> Goal | None:
        return Goal.of(self.table.get("goal"))

    def remember(self, key: str, value: Any) -> None:
        memory = self._memory() | {key: value}
        write_atomically(self.path / "memory.json", json.dumps(memory).encode())

    def recall(self, key: str, default: Any = None) -> Any:
        return self._memory().get(key, default)

    def _memory(self) -> dict[str, Any]:
        try:
            memory = json.loads(small_text(self.path / "memory.json"))
        except (OSError, ValueError):
            return {}
        return memory if isinstance(memory, dict) else {}
