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


def share_interval(hits: ArrayLike, n: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of a share, by Wilson's score (JASA 22, 1927).

    It has a width where a bootstrap has none: 0 of 100 is 0 to 3.7 %. The n tries must be
    independent.

    Args:
        hits: [...], how many of the tries were one; any shape.
        n: how many tries there were, 1 or more, for all or [...].

    Returns:
        Low and high ends [...].
    """
    import numpy as np
    from scipy import special  # stats takes a second to load

    n = np.asarray(n)
    k, z2 = np.asarray(hits, dtype=float), special.ndtri((1 + CONFIDENCE) / 2) ** 2
    half = np.sqrt(z2 * (k * (n - k) / n + z2 / 4))
    low, high = ((k + z2 / 2 + side) / (n + z2) for side in (-half, half))
    return np.maximum(low, 0), np.minimum(high, 1)  # but for rounding they are within


def mean_margin(values: Sequence[float]) -> float | None:
    """Half of the interval of a mean, by Student's t.

    None where there is nothing to estimate it from: a single value, or values that all agree. That
    five of five are 1.00 does not make it 1.00 ± 0.00.
    """
    n = len(values)
    if n < 2 or min(values) == max(values):
        return None
    from scipy import special

    quantile = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return quantile * statistics.stdev(values) / math.sqrt(n)
