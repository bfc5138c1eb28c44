"""An interval that may be looked at after every problem, and still holds the truth as often as it says.

An ordinary 95 % interval may be read once. Whoever reads it after each problem and stops when it excludes 0 is wrong
far more often. A confidence sequence is an interval for every number of problems at once: with probability 1 - alpha
*all* of them hold the mean. That is paid for with width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evolve_llm.analysis.stats import Interval

if TYPE_CHECKING:
    import numpy as np

GRID = 1000
"""Means that are tried; the interval is widened by one step to each side, so that none between them is lost."""
MOST_STAKED = 0.5
"""Of what a gambler has, so much may be staked on one value at most: c of the source."""


def running_sequence(
    values: Sequence[float], *, alpha: float = 0.05, lower: float = -1.0, upper: float = 1.0
) -> list[Interval]:
    """The interval of the mean after each value, every one cut with those before it.

    The hedged capital process of Waudby-Smith and Ramdas (2024, J. R. Stat. Soc. B 86, section 4.4, with the
    predictable plug-in bets of equation 26): for each mean two gamblers bet against it, one on more and one on less,
    and a mean stays in while neither has won 1 / alpha. It holds whatever the distribution on [``lower``, ``upper``],
    as long as the values are independent draws of one population: here the differences of two schemes, problem by
    problem, in an order that does not depend on the results.

    Args:
        values: One for each problem, in the order in which they came.
        alpha: The probability with which any of the intervals may miss the mean.
        lower: The least that a value can be.
        upper: The most that a value can be.

    Returns:
        As many intervals as values; an empty list for none.

    Raises:
        ValueError: A value lies outside the bounds or is no number, or alpha does not lie between 0 and 1.
    """
    import numpy as np

    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if not lower < upper:
        raise ValueError(f"lower must be less than upper, got {lower} and {upper}")
    given = np.asarray(values, dtype=float)
    if given.size and not bool(np.all((given >= lower) & (given <= upper))):
        raise ValueError(f"every value must lie between {lower} and {upper}")
    scaled = (given - lower) / (upper - lower)
    means = np.linspace(0, 1, GRID + 1)
    stakes = _stakes(scaled, alpha)
    with np.errstate(divide="ignore"):
        most_up, most_down = MOST_STAKED / means, MOST_STAKED / (1 - means)
    up, down = np.zeros_like(means), np.zeros_like(means)
    out = np.zeros(means.shape, dtype=bool)
    found: list[Interval] = []
    low, high = 0.0, 1.0
    for value, stake in zip(scaled, stakes, strict=True):
        up += np.log1p(np.minimum(stake, most_up) * (value - means))
        down += np.log1p(-np.minimum(stake, most_down) * (value - means))
        out |= np.maximum(up, down) + np.log(0.5) >= -np.log(alpha)
        if (kept := means[~out]).size:
            low, high = max(low, float(kept[0]) - 1 / GRID), min(high, float(kept[-1]) + 1 / GRID)
        found.append((lower + low * (upper - lower), lower + high * (upper - lower)))
    return found


def confidence_sequence(
    values: Sequence[float], *, alpha: float = 0.05, lower: float = -1.0, upper: float = 1.0
) -> Interval | None:
    """The last interval of ``running_sequence``; None for no values."""
    found = running_sequence(values, alpha=alpha, lower=lower, upper=upper)
    return found[-1] if found else None


def _stakes(scaled: np.ndarray[Any, Any], alpha: float) -> np.ndarray[Any, Any]:
    """What is staked on each value, from those before it alone."""
    import numpy as np

    count = np.arange(1, scaled.size + 1)
    mean = (0.5 + np.cumsum(scaled)) / (count + 1)
    variance = (0.25 + np.cumsum((scaled - mean) ** 2)) / (count + 1)
    before = np.concatenate([[0.25], variance[:-1]]) if scaled.size else variance
    return np.asarray(np.sqrt(2 * np.log(2 / alpha) / (before * count * np.log1p(count))))
