"""Small charts as SVG, which need no script and print well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 260, 130
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 18
"""Room for the axes' figures."""


@dataclass(frozen=True)
class Curve:
    """Values over the epochs."""

    name: str
    epochs: Sequence[int]
    values: Sequence[float]


def chart(title: str, curves: Sequence[Curve]) -> str:
    """A figure of one or two curves over the epochs, the second dashed; empty for none."""
    if not curves:
        return ""
    epochs = [epoch for curve in curves for epoch in curve.epochs]
    values = [value for curve in curves for value in curve.values]
    first, last, low, high = min(epochs), max(epochs), min(values), max(values)

    def x(epoch: float) -> float:
        share = (epoch - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    lines = "".join(_line(curve, x, y, number) for number, curve in enumerate(curves))
    names = [f"{curve.name} {curve.values[-1]:.4g}" for curve in curves]
    figures = "".join(
        f'<text x="{LEFT - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in sorted({low, high})
    )
    figures += "".join(
        f'<text x="{x(epoch):.1f}" y="{HEIGHT - 4}" text-anchor="middle">{epoch}</text>'
        for epoch in sorted({first, last})
    )
    floor = HEIGHT - BOTTOM
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b> {escape(", ".join(names))}'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)} over the epochs">'
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>{lines}{figures}</svg>'
        "</figure>"
    )


def _line(
    curve: Curve, x: Callable[[float], float], y: Callable[[float], float], number: int
) -> str:
    points = " ".join(
        f"{x(epoch):.1f},{y(value):.1f}"
        for epoch, value in zip(curve.epochs, curve.values, strict=True)
    )
    end = f'cx="{x(curve.epochs[-1]):.1f}" cy="{y(curve.values[-1]):.1f}"'
    return f'<polyline class="curve-{number}" points="{points}"/><circle {end} r="2.5"/>'
