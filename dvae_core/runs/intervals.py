"""95 % intervals: of a share, and of a mean over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

CONFIDENCE = 0.95


def share_interval(hits: ArrayLike, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of a share, by Wilson's score (JASA 22, 1927).

    It has a width where a bootstrap has none: 0 of 100 is 0 to 3.7 %. The n tries must be
    independent.

    Args:
        hits: int [...], how many of the tries were one; any shape.
        n: how many tries there were, 1 or more.

    Returns:
        Low and high ends [...].
    """
    import numpy as np
    from scipy import stats

    counts, places = np.unique(np.asarray(hits, dtype=int), return_inverse=True)
    found = [stats.binomtest(int(k), n).proportion_ci(CONFIDENCE, "wilson") for k in counts]
    ends = np.array([(each.low, each.high) for each in found]).reshape(-1, 2)
    low, high = np.moveaxis(ends[places.reshape(np.shape(hits))], -1, 0)
    return low, high


def mean_margin(values: Sequence[float]) -> float | None:
    """Half of the interval of a mean, by Student's t.

    None where there is nothing to estimate it from: a single value, or values that all agree. That
    five of five are 1.00 does not make it 1.00 ± 0.00.
    """
    n = len(values)
    if n < 2 or min(values) == max(values):
        return None
    from scipy import stats

    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return quantile * statistics.stdev(values) / math.sqrt(n)
