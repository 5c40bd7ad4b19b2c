"""Small charts as SVG, which need no script and print well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 260, 130
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 18
"""Room for the axes' numbers."""


@dataclass(frozen=True)
class Curve:
    """Values over the epochs."""

    name: str
    epochs: Sequence[int]
    values: Sequence[float]

    @classmethod
    def of(cls, name: str, rows: Sequence[Mapping[str, Any]], key: str) -> Curve:
        """What the rows of metrics.jsonl say under a key, where that is a finite number."""
        told = {
            row["epoch"]: row[key]
            for row in rows
            if isinstance(row.get(key), int | float) and math.isfinite(row[key])
        }
        return cls(name, list(told), list(told.values()))


def chart(title: str, curves: Sequence[Curve], *, key: Mapping[str, int] | None = None) -> str:
    """A figure of curves over the epochs; empty for none.

    Args:
        curves: one to three, the second dashed, the third dotted.
        key: instead any number of curves, each with the look of this number, which a legend
            outside tells.
    """
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

    looks = [f"curve-{n}" for n in range(len(curves))]
    names = ", ".join(f"{curve.name} {curve.values[-1]:.4g}" for curve in curves)
    if key is not None:
        looks, names = [f"key-{key[curve.name]}" for curve in curves], ""
    lines = "".join(_line(curve, x, y, look) for curve, look in zip(curves, looks, strict=True))
    numbers = "".join(
        f'<text x="{LEFT - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in sorted({low, high})
    )
    numbers += "".join(
        f'<text x="{x(epoch):.1f}" y="{HEIGHT - 4}" text-anchor="middle">{epoch}</text>'
        for epoch in sorted({first, last})
    )
    floor = HEIGHT - BOTTOM
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b> {escape(names)}'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)} over the epochs">'
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>{lines}{numbers}</svg>'
        "</figure>"
    )


def _line(curve: Curve, x: Callable[[float], float], y: Callable[[float], float], look: str) -> str:
    points = " ".join(
        f"{x(epoch):.1f},{y(value):.1f}"
        for epoch, value in zip(curve.epochs, curve.values, strict=True)
    )
    end = f'cx="{x(curve.epochs[-1]):.1f}" cy="{y(curve.values[-1]):.1f}"'
    told = escape(f"{curve.name} {curve.values[-1]:.4g}")
    return (
        f'<g class="{look}"><title>{told}</title><polyline points="{points}"/>'
        f'<circle {end} r="2.5"/></g>'
    )
