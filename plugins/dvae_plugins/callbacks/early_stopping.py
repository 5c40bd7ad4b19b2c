"""Ends a run that gets no better."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import Field, PrivateAttr, field_validator

from dvae_core import Callback, Goal, RecipeError, Run


class EarlyStopping(Callback):
    """Ends the run when a metric has not become better for a while."""

    name = "early_stopping"
    example = {"goal": "lowest train/loss"}

    goal: str
    """What is to become better, such as "highest val/knn_accuracy"."""
    patience: int = Field(default=5, ge=1)
    """After how many epochs with the metric, none of them better, the run ends."""
    min_delta: float = Field(default=0.0, ge=0.0)
    """What is better by no more than this is no better."""
    restore_best: bool = False
    """End with the weights of the best epoch; `train.keep_best` must have the same goal."""

    _best: float | None = PrivateAttr(default=None)
    _waited: int = PrivateAttr(default=0)
    _epoch: int = PrivateAttr(default=0)
    _missed: bool = PrivateAttr(default=False)

    @field_validator("goal")
    @classmethod
    def _fair(cls, text: str) -> str:
        goal = Goal.of(text)
        if goal is None:
            raise ValueError('write "highest" or "lowest" and a metric: "lowest val/kl"')
        if goal.by_test and not goal.forced:
            raise ValueError(
                "what test images have stopped has figures there that are too good: "
                f'say "{goal.direction} val/{goal.name}", or "{goal} forced"'
            )
        return text

    def check(self, recipe: dict[str, Any] | None = None) -> None:
        kept = (recipe or {}).get("train", {}).get("keep_best")
        if recipe is not None and self.restore_best and Goal.of(kept) != Goal.of(self.goal):
            raise RecipeError(
                f'callback "{self.name}": restore_best needs train.keep_best = "{self.goal}"'
            )

    def run_started(self, run: Run) -> None:
        if not run.metrics():  # what it knows is of another run
            self._best, self._waited, self._epoch = None, 0, 0
        if self._waited >= self.patience:  # it has stopped the run once, which now goes on
            self._waited = 0

    def epoch_finished(self, run: Run, metrics: dict[str, float], figures: Any) -> None:
        goal = Goal.of(self.goal)
        assert goal is not None
        if metrics["epoch"] <= self._epoch:  # told of it before
            return
        self._epoch = int(metrics["epoch"])
        value = metrics.get(goal.key)
        if value is None:
            if not self._missed:
                text = f'early_stopping: epoch {self._epoch} has no "{goal.key}"'
                warnings.warn(text, stacklevel=2)
            self._missed = True
            return
        if self._best is None or goal.cost(value) < goal.cost(self._best) - self.min_delta:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            text = f"{goal.key} was best at {self._best:g}, {self.patience} epochs ago"
            run.stop(text, restore_best=self.restore_best)

    def state(self) -> dict[str, Any]:
        return {"best": self._best, "waited": self._waited, "epoch": self._epoch}

    def restore(self, state: dict[str, Any]) -> None:
        self._best, self._waited, self._epoch = state["best"], state["waited"], state["epoch"]
