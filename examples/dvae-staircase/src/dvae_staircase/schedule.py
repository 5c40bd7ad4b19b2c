"""The schedule `staircase`."""

from dvae_core import Schedule
from pydantic import Field


class Staircase(Schedule):
    """Goes from `start` to `end` in equal steps, and stays there."""

    name = "staircase"
    example = {"start": 20.0, "end": 0.0, "steps": 4, "length": 4000}

    start: float
    """The weight on the first step."""
    end: float
    """The weight on the last step."""
    steps: int = Field(default=4, ge=2)
    """How many steps, the first and the last included."""
    length: float = Field(gt=0)
    """The time when the last step is reached."""

    def value(self, t: float) -> float:
        climbed = min(int(t / self.length * (self.steps - 1)), self.steps - 1)
        return self.start + (self.end - self.start) * climbed / (self.steps - 1)

    def settles_at(self) -> float:
        return self.length
