"""Schedules: weights over training time."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from dvae_core import Schedule, hookimpl


class Constant(Schedule):
    """The same weight all the time."""

    name = "constant"
    example = {"weight": 1.0}

    weight: float
    """The weight."""

    def value(self, t: float) -> float:
        return self.weight


class Sigmoid(Schedule):
    """Falls (or rises) once, smoothly: start + (end - start) / (1 + exp(-slope (t - midpoint)))."""

    name = "sigmoid"
    example = {"start": 20.0, "end": 0.01, "midpoint": 4000, "slope": 0.1}

    start: float
    """The weight long before the midpoint."""
    end: float
    """The weight long after the midpoint."""
    midpoint: float = Field(ge=0)
    """The time when half the way is done."""
    slope: float = Field(gt=0)
    """How sudden the change is: nine tenths of it take 5.9 / slope."""

    def value(self, t: float) -> float:
        # Written with tanh, the logistic function does not overflow.
        done = 0.5 * (1 + math.tanh(0.5 * self.slope * (t - self.midpoint)))
        return self.start + (self.end - self.start) * done

    def settles_at(self) -> float:
        """When 99 % of the way is done."""
        return self.midpoint + math.log(99) / self.slope


class CosineDecay(Schedule):
    """A decaying wave that touches `low` in each trough and stays there after the last.

    (cos(pi t / halfperiod) + 1) (high / 2) (1 + decay / halfperiod)^-t + low.
    """

    name = "cosine_decay"
    example = {"high": 10.0, "low": 3.0, "halfperiod": 3000, "decay": 0.7, "troughs": 2}

    high: float
    """How far the wave starts above `low`."""
    low: float = 0.0
    """The weight in the troughs and at the end."""
    halfperiod: float = Field(gt=0)
    """The time from a crest to the next trough."""
    decay: float = Field(default=0.0, ge=0)
    """How much the crests shrink: about exp(-decay) in each half-period."""
    troughs: int = Field(default=1, ge=1)
    """The trough from which on the weight stays at `low`."""

    def value(self, t: float) -> float:
        if t > self.settles_at():
            return self.low
        wave = math.cos(math.pi * t / self.halfperiod) + 1
        shrunk = math.exp(-t * math.log1p(self.decay / self.halfperiod))
        return wave * self.high / 2 * shrunk + self.low

    def settles_at(self) -> float:
        return self.halfperiod * (2 * self.troughs - 1)


class Linear(Schedule):
    """A straight line from `start` to `end`, then `end`."""

    name = "linear"
    example = {"start": 20.0, "end": 0.01, "length": 4000}

    start: float
    """The weight at first."""
    end: float
    """The weight from `length` on."""
    length: float = Field(gt=0)
    """How long the way takes."""

    def value(self, t: float) -> float:
        return self.start + (self.end - self.start) * min(t / self.length, 1.0)

    def settles_at(self) -> float:
        return self.length


class Piecewise(Schedule):
    """Straight lines through given points; before the first and after the last, their weights."""

    name = "piecewise"
    example = {"points": [[0, 20.0], [3000, 20.0], [4000, 0.01]]}

    points: tuple[tuple[float, float], ...] = Field(min_length=1)
    """[time, weight] pairs with growing times."""

    @model_validator(mode="after")
    def _growing(self) -> Piecewise:
        times = [t for t, _ in self.points]
        if times != sorted(set(times)) or times[0] < 0:
            raise ValueError("the times of points must grow from 0 on")
        return self

    def value(self, t: float) -> float:
        before = [p for p in self.points if p[0] <= t]
        after = [p for p in self.points if p[0] > t]
        if not before or not after:
            return (before or after)[-1 if before else 0][1]
        (t0, w0), (t1, w1) = before[-1], after[0]
        return w0 + (w1 - w0) * (t - t0) / (t1 - t0)

    def settles_at(self) -> float:
        return self.points[-1][0]


class Cyclical(Schedule):
    """Rises from `start` to `end` again and again, holding `end` for the rest of each cycle.

    Fu et al., "Cyclical Annealing Schedule" (arXiv:1903.10145). Stays at `end` after the last
    rise.
    """

    name = "cyclical"
    example = {"period": 2000, "cycles": 4}

    start: float = 0.0
    """The weight at the beginning of each cycle."""
    end: float = 1.0
    """The weight after each rise."""
    period: float = Field(gt=0)
    """The length of a cycle."""
    cycles: int = Field(default=4, ge=1)
    """How many cycles."""
    rising: float = Field(default=0.5, gt=0, le=1)
    """The share of a cycle that the rise takes."""

    def value(self, t: float) -> float:
        if t >= self.settles_at():
            return self.end
        within = t % self.period / self.period
        return self.start + (self.end - self.start) * min(within / self.rising, 1.0)

    def settles_at(self) -> float:
        return self.period * (self.cycles - 1 + self.rising)


@hookimpl
def register_schedules() -> list[type[Schedule]]:
    return [Constant, Sigmoid, CosineDecay, Linear, Piecewise, Cyclical]
