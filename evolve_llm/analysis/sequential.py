"""An interval that may be looked at after every problem, and still holds the truth as often as it says.

An ordinary 95 % interval may be read once. Whoever reads it after each problem and stops when it excludes 0 is wrong
far more often. A confidence sequence is an interval for every number of problems at once: with probability 1 - alpha
*all* of them hold the mean. That is paid for with width.

What is held is the mean over the population of problems that the list is drawn from, not over the list itself. The
problems must come in an order that does not depend on their results; the order of a shuffled list will do, "the quick
ones first" will not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from evolve_llm.analysis.stats import Interval

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

GRID = 4096
"""Means that are tried, from end to end of the bounds. A bound of the interval is the last of them that is out."""
STAKES = 12
"""Points at which the mixture over stakes is computed: with 24 no width changes by a thousandth."""


def running_sequence(
    values: Sequence[float], *, alpha: float = 0.05, lower: float = -1.0, upper: float = 1.0
) -> list[Interval]:
    """The interval of the mean after each value; each lies within those before it.

    For each mean two gamblers bet against it, one on more and one on less, and the mean stays in while neither has
    ever had 2 / alpha times what he began with (Waudby-Smith and Ramdas 2024, J. R. Stat. Soc. B 86, sections 2 and
    4; ``capital`` says how they bet). It holds whatever the distribution on [``lower``, ``upper``], as long as
    the values are independent draws of one population: here the differences of two schemes, problem by problem. The
    same holds of all intervals at once, so cutting each with those before it costs nothing.

    Args:
        values: One for each problem, in the order in which they came.
        alpha: The probability with which any of the intervals may miss the mean.
        lower: The least that a value can be.
        upper: The most that a value can be.

    Returns:
        As many intervals as values; an empty list for none. Where every mean is out, as when the values drift, the
        last interval that held any is repeated.

    Raises:
        ValueError: A value lies outside the bounds or is no number, or alpha does not lie between 0 and 1.
    """
    scaled = _scaled(values, alpha, lower, upper)
    found: list[Interval] = []
    for low, high in zip(_outs(scaled, alpha).tolist(), _outs(1 - scaled, alpha).tolist(), strict=True):
        crossed = low + high > GRID
        found.append(found[-1] if crossed and found else _interval(low, high, lower, upper))
    return found


def confidence_sequence(
    values: Sequence[float], *, alpha: float = 0.05, lower: float = -1.0, upper: float = 1.0
) -> Interval | None:
    """The last interval of ``running_sequence``, sooner; None for no values."""
    scaled = _scaled(values, alpha, lower, upper)
    if not scaled.size:
        return None
    low, high = _out(scaled, alpha), _out(1 - scaled, alpha)
    if low + high > GRID:  # rare, and when it came to this must be known
        return running_sequence(values, alpha=alpha, lower=lower, upper=upper)[-1]
    return _interval(low, high, lower, upper)


def capital(scaled: Array, mean: float | Array) -> Array:
    """What the gambler who bets on more than ``mean`` has after each value, having begun with 1.

    He divides his money evenly over all shares g between 0 and 1, and of each part stakes the share g on every value:
    it becomes 1 + g * (value / mean - 1) times what it was. If the true mean is ``mean`` or less, nobody gains by
    that on average, so he ever has c with probability 1 / c at most (Ville). This is Cover's universal portfolio
    (1991, Math. Finance 1; for confidence sequences Orabona and Jun 2024, IEEE Trans. Inf. Theory 70) with an even
    prior: there is nothing to tune. experiments/sequential_bounds compares it with other bets and bounds.

    Args:
        scaled: Values in [0, 1] along the last axis.
        mean: In (0, 1]; an array is broadcast against ``scaled``.

    Returns:
        Of the shape of ``scaled``; infinite where it is too much for a float.
    """
    import numpy as np

    gains = scaled / mean - 1
    found = np.zeros(gains.shape)
    with np.errstate(over="ignore", under="ignore"):
        for share, weight in zip(*_shares(), strict=True):
            found += weight * np.cumprod(1 + share * gains, axis=-1)
    return found


@cache
def _shares() -> tuple[list[float], list[float]]:
    """Gauss and Legendre's points and weights on [0, 1]: themselves a fair division, whatever they approximate."""
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(STAKES)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()


def _scaled(values: Sequence[float], alpha: float, lower: float, upper: float) -> Array:
    import numpy as np

    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if not lower < upper:
        raise ValueError(f"lower must be less than upper, got {lower} and {upper}")
    given = np.asarray(values, dtype=float)
    if given.size and not bool(np.all((given >= lower) & (given <= upper))):
        raise ValueError(f"every value must lie between {lower} and {upper}")
    return np.asarray((given - lower) / (upper - lower))


def _interval(low: int, high: int, lower: float, upper: float) -> Interval:
    """From the last step of the grid that is out from below, and the last from above."""
    width = upper - lower
    return (lower + width * low / GRID, lower + width * (1 - high / GRID))


def _when(scaled: Array, step: int, alpha: float) -> int:
    """After how many values the mean at this step of the grid is too small to be true; one more than there are: never.

    The capital falls with the mean, so of two means the smaller one is out first.
    """
    if step == 0:
        return 0  # out before it begins, as a bound: no mean is less than the least
    won = capital(scaled, step / GRID) >= 2 / alpha
    return int(won.argmax()) + 1 if won.any() else int(scaled.size) + 1


def _out(scaled: Array, alpha: float) -> int:
    """The last step of the grid that is out after all values."""
    out, held = 0, GRID + 1
    while held - out > 1:
        middle = (out + held) // 2
        if _when(scaled, middle, alpha) <= scaled.size:
            out = middle
        else:
            held = middle
    return out


def _outs(scaled: Array, alpha: float) -> Array:
    """The last step of the grid that is out after each value."""
    import numpy as np

    count = int(scaled.size)
    found = np.zeros(count, dtype=int)
    pending = [(0, 0, GRID, _when(scaled, GRID, alpha) if count else 0)]
    while pending:  # between two steps that are out at one time, all are
        low, early, high, late = pending.pop()
        found[max(0, late - 1) :] = np.maximum(found[max(0, late - 1) :], high)
        if high - low > 1 and early < late:
            middle = (low + high) // 2
            when = _when(scaled, middle, alpha)
            pending += [(low, early, middle, when), (middle, when, high, late)]
    return found
