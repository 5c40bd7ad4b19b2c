"""Small pictures of means and their intervals, which need no script and print well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dvae_core.runs.comparison_table import Estimate

WIDTH, HEIGHT, EDGE = 96, 10, 3
MOST_DOTS = 30
"""Single runs that are drawn."""


@dataclass(frozen=True)
class Scale:
    """What the pictures of one metric have in common, so that they can be compared."""

    low: float
    high: float

    @classmethod
    def of(cls, metrics: Iterable[Estimate | None]) -> Scale:
        """Wide enough for all runs and intervals of some metrics."""
        ends = [
            end
            for estimate in metrics
            if estimate is not None
            for end in (
                *estimate.values,
                estimate.mean - (estimate.margin or 0.0),
                estimate.mean + (estimate.margin or 0.0),
            )
        ]
        return cls(min(ends, default=0.0), max(ends, default=0.0))

    def picture(self, estimate: Estimate | None) -> str:
        """The mean as a bar, its interval as a line and each run as a dot, as SVG."""
        if estimate is None or self.low == self.high:
            return ""
        middle, mean = HEIGHT / 2, self._x(estimate.mean)
        dots = "".join(
            f'<circle cx="{self._x(value):.1f}" cy="{middle:g}" r="1.6"/>'
            for value in estimate.values[:MOST_DOTS]
            if len(estimate.values) > 1
        )
        margin = estimate.margin or 0.0
        ends = (self._x(estimate.mean - margin), self._x(estimate.mean + margin))
        line = f'<path d="M{ends[0]:.1f} {middle:g}H{ends[1]:.1f}M{mean:.1f} 1V{HEIGHT - 1}"/>'
        return (
            f'<svg class="interval" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">'
            f"{dots}{line}</svg>"
        )

    def _x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return EDGE + share * (WIDTH - 2 * EDGE)
