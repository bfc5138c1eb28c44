"""What a difference is worth: intervals clustered by problem."""

from __future__ import annotations

import math
from collections.abc import Sequence

Interval = tuple[float, float]


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Confidence interval of the mean of one value in [0, 1] per problem.

    Problems are the unit: chains of one problem are not independent. Student's t over the problem means,
    cut to [0, 1]; where all problems agree, so that t would claim certainty, Wilson's score interval with
    one trial a problem instead. None for fewer than two problems.
    """
    from scipy import stats

    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    if spread < 1e-12:
        wilson = stats.binomtest(round(mean * n), n).proportion_ci(confidence, method="wilson")
        return (float(wilson.low), float(wilson.high))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * spread / math.sqrt(n)
    return (max(0.0, mean - half), min(1.0, mean + half))
