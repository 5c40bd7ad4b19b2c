"""Weights over training time: a number, or a schedule read against the run's timeline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dvae_core.errors import DvaeError
from dvae_core.plugin.kinds import Schedule

Weight = float | Schedule


@dataclass(frozen=True)
class Timeline:
    """How long a run is.

    >>> Timeline(steps_per_epoch=100, epochs=3).total
    300
    """

    steps_per_epoch: int
    epochs: int

    @property
    def total(self) -> int:
        """Steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    def time(self, unit: str, step: int) -> float:
        """The time of a step (the first is 0) in a schedule's unit."""
        if unit == "epoch":
            return step / self.steps_per_epoch
        if unit == "run":
            return min(1.0, step / max(self.total - 1, 1))
        return float(step)

    def value(self, weight: Weight, step: int) -> float:
        """The weight at a step.

        Raises:
            DvaeError: the schedule raised, or gave no finite number.
        """
        if not isinstance(weight, Schedule):
            return weight
        t = self.time(weight.unit, step)
        try:
            value = float(weight.value(t))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DvaeError(f'schedule "{weight.name}" failed at t = {t:g}: {reason}') from error
        if not math.isfinite(value):
            raise DvaeError(f'schedule "{weight.name}" gave {value} at t = {t:g} ({weight.unit}s)')
        return value

    def values(self, weights: Mapping[str, Weight], step: int) -> dict[str, float]:
        """Several weights at a step, by name."""
        return {name: self.value(weight, step) for name, weight in weights.items()}

    def unsettled(self, weight: Weight) -> str | None:
        """Why the run is too short for a schedule, or None if it is long enough."""
        if not isinstance(weight, Schedule) or weight.allow_unfinished:
            return None
        settles = weight.settles_at()
        length = {"step": self.total, "epoch": self.epochs, "run": 1}[weight.unit]
        if settles is None or settles <= length:
            return None
        unit = "of the run" if weight.unit == "run" else f"{weight.unit}s"
        when = f"at {settles:g} {unit}" if math.isfinite(settles) else "never"
        return (
            f'schedule "{weight.name}" settles {when} and the run has {length:,}; train longer, '
            "change the schedule, or write allow_unfinished = true beside it"
        )
