"""What may stand in a row of metrics.jsonl."""

from __future__ import annotations

from typing import Any

LARGEST_NUMBER = 1e100
"""In a row, above all that float32 can hold: sums and squares of such are finite."""


def is_row(row: Any) -> bool:
    """Whether this is an epoch's row: finite numbers alone, as the loop writes them."""
    return (
        isinstance(row, dict)
        and type(row.get("epoch")) is int
        and row["epoch"] >= 0
        and all(type(v) in (int, float) and abs(v) < LARGEST_NUMBER for v in row.values())
    )
