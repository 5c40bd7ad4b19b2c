"""A goal, such as "highest test/knn_accuracy": what `train.keep_best` and a sweep's `goal` say."""

from __future__ import annotations

import re
from dataclasses import dataclass

PATTERN = r"^(highest|lowest) \S+$"


@dataclass(frozen=True)
class Goal:
    """Which metric, and which way is better.

    >>> goal = Goal.of("lowest test/kl")
    >>> goal.name, goal.better(1.0, than=2.0), goal.better(1.0, than=1.0), goal.better(1.0, None)
    ('kl', True, False, True)
    """

    direction: str
    """highest or lowest"""
    key: str
    """The metric's in a row of metrics.jsonl."""

    @classmethod
    def of(cls, text: object) -> Goal | None:
        """The goal that a text names; None where it names none."""
        return cls(*text.split()) if isinstance(text, str) and re.match(PATTERN, text) else None

    @property
    def name(self) -> str:
        """The metric's name in a comparison: `train/` stands before those of training alone."""
        return self.key.removeprefix("test/")

    def cost(self, value: float) -> float:
        """A number that is the lower, the better the value."""
        return -value if self.direction == "highest" else value

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another one, or the first."""
        return than is None or self.cost(value) < self.cost(than)

    def __str__(self) -> str:
        return f"{self.direction} {self.key}"
