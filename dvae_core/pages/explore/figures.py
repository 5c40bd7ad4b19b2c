"""What a run measured, epoch by epoch, and what each figure means in its component's own words."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Any

from dvae_core.plugin.kinds import Metric
from dvae_core.runs.comparison import CORE_DIRECTIONS
from dvae_core.runs.rows import SPLITS

CORE_EXPLAINS = {
    "reconstruction": "the loss of the images that come back, summed over an image's pixels, "
    "averaged over the images",
    "kl": "how far the posteriors lie from the prior, as the recipe's KL term measures it, summed "
    "over the dimensions, averaged over the images",
}


def figures(rows: Sequence[dict[str, Any]], metrics: Sequence[Metric]) -> dict[str, Any]:
    """The measured figures of all epochs.

    Args:
        rows: of metrics.jsonl.
        metrics: those of the recipe, as far as they are installed.

    Returns:
        `names`, `epochs`, `rows` of values by both, and by name what it `means` and whether
        "higher" or "lower" is `better`; "" where nobody says.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row if key.startswith(SPLITS)))
    explains: dict[str, str] = dict(CORE_EXPLAINS)
    better: dict[str, str] = dict(CORE_DIRECTIONS)
    for metric in metrics:
        explains |= metric.explains
        better |= metric.directions
    plain = [key.partition("/")[2] for key in keys]
    return {
        "names": [key.removeprefix("test/") for key in keys],
        "epochs": [row["epoch"] for row in rows],
        "rows": [[number(row.get(key)) for key in keys] for row in rows],
        "means": [_first(explains, name) for name in plain],
        "better": [_first(better, name) for name in plain],
    }


def number(value: Any) -> float | None:
    """Six digits of a finite number; None for anything else."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def _first(known: dict[str, str], name: str) -> str:
    return next((text for key, text in known.items() if fnmatch.fnmatchcase(name, key)), "")
