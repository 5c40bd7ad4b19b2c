"""A goal, such as "highest val/knn_accuracy": what `train.keep_best` and a sweep's `goal` say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dvae_core.plugin.labelled_images import HOW_TO_VALIDATE

PATTERN = r"^(highest|lowest) \S+( forced)?$"


TOO_GOOD = "what is chosen by the test images has figures there that are too good"


@dataclass(frozen=True)
class Goal:
    """Which metric, and which way is better.

    >>> goal = Goal.of("lowest test/kl")
    >>> goal.name, goal.better(1.0, than=2.0), goal.better(1.0, than=1.0), goal.better(1.0, None)
    ('kl', True, False, True)

    What was chosen by its figures on the test images has figures there that are too good. So a goal
    on them is refused where there are validation images, and elsewhere warned of, unless it is
    forced: "lowest test/kl forced".
    """

    direction: str
    """highest or lowest"""
    key: str
    """The metric's in a row of metrics.jsonl."""
    forced: bool = False
    """Whether the test images may choose."""

    @classmethod
    def of(cls, text: object) -> Goal | None:
        """The goal that a text names; None where it names none."""
        if not isinstance(text, str) or not re.match(PATTERN, text):
            return None
        direction, key, *forced = text.split()
        return cls(direction, key, bool(forced))

    @property
    def by_test(self) -> bool:
        """Whether the test images choose."""
        return self.key.startswith("test/")

    def problem(self, validated: bool | None) -> str | None:
        """Why the goal cannot be followed; `validated` is whether there are validation images.

        Nothing is wrong with it where that is not known yet.
        """
        if self.key.startswith("val/") and validated is False:
            return f"{self.key}: there are no validation images; {HOW_TO_VALIDATE}"
        if self.by_test and validated and not self.forced:
            return f'{TOO_GOOD}: say "{self._by_validation}", or "{self} forced"'
        return None

    def warning(self, validated: bool | None) -> str | None:
        """What is wrong with a goal that is followed all the same."""
        if not self.by_test or self.forced or validated:
            return None
        return (
            f'"{self}": {TOO_GOOD}; {HOW_TO_VALIDATE}, for "{self._by_validation}" '
            f'("{self} forced" is silent)'
        )

    @property
    def _by_validation(self) -> str:
        return f"{self.direction} val/{self.name}"

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
