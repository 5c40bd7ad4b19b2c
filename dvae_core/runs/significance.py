"""Tests: whether two rows of a comparison can be told apart."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

NO_SPREAD = 1e-12
"""Differences that vary by less than this share of themselves do so by rounding alone."""


def p_value(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """p of the null hypothesis that two rows of runs have the same mean, two-sided.

    Runs of one seed start alike and see the same batches. Where two seeds or more are shared, this
    is the paired t-test over these; elsewhere Welch's t-test (Biometrika 34, 1947). None where a
    row has a single run, or the spread is none, and there is no test.

    Args:
        one: a metric by seed.
        other: the same of another row.
    """
    shared = sorted(one.keys() & other.keys())
    if len(shared) >= 2:
        differences = [one[seed] - other[seed] for seed in shared]
        if statistics.stdev(differences) <= NO_SPREAD * max(map(abs, differences)):
            return None
        from scipy import stats

        return float(stats.ttest_1samp(differences, 0.0).pvalue)
    values = [list(row.values()) for row in (one, other)]
    if min(map(len, values)) < 2 or not any(map(statistics.stdev, values)):
        return None
    from scipy import stats

    means, spreads = [map(of, values) for of in (statistics.fmean, statistics.stdev)]
    (mean, spread, n), (mean_2, spread_2, n_2) = zip(means, spreads, map(len, values), strict=True)
    welch = stats.ttest_ind_from_stats(mean, spread, n, mean_2, spread_2, n_2, equal_var=False)
    return float(welch.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values, in their order, corrected for their number (Holm, Scand. J. Statist. 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
