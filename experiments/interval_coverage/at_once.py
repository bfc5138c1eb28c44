"""What evolve_llm.analysis computes for one list of differences, for thousands of simulated ones at once.

``tests/experiments/test_interval_coverage.py`` holds each against the function that users call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from evolve_llm.analysis.sequential import GRID, capital

Values = np.ndarray
TOGETHER = 50
"""So many simulated studies share their resamples; the next ones get new ones, so that their noise averages out."""
RESAMPLES = 1999


def bootstrap(rng: np.random.Generator, values: Values, *, resamples: int = RESAMPLES) -> Values:
    """``bootstrap_interval`` of every row: (rows, 2). Rows whose values are all equal get NaN: no interval is given."""
    rows, n = values.shape
    reach = math.sqrt(n / (n - 1)) * float(stats.t.ppf(0.975, n - 1))
    tails = 100 * float(stats.norm.cdf(-reach)), 100 * float(stats.norm.cdf(reach))
    found = np.empty((rows, 2))
    for first in range(0, rows, TOGETHER):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
        found[first : first + TOGETHER] = np.percentile(
            weights @ values[first : first + TOGETHER].T, tails, axis=0
        ).T
    found[np.ptp(values, axis=1) < 1e-12] = np.nan
    return found


def sign_flips(
    rng: np.random.Generator,
    values: Values,
    looks: Sequence[int] | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Values:
    """Two-sided p of ``sign_flip_test`` for every row after so many problems as each look says: (rows, looks)."""
    looks = [values.shape[1]] if looks is None else list(looks)
    starts = [0, *looks[:-1]]
    found = np.empty((len(values), len(looks)))
    for first in range(0, len(values), TOGETHER):
        some = values[first : first + TOGETHER]
        signs = rng.choice(np.array([-1.0, 1.0]), size=(resamples, looks[-1]))
        flipped = observed = np.zeros(())
        for place, (start, end) in enumerate(zip(starts, looks, strict=True)):
            flipped = flipped + some[:, start:end] @ signs[:, start:end].T
            observed = observed + some[:, start:end].sum(axis=1)
            more = (flipped >= observed[:, None] - 1e-9).sum(axis=1)
            less = (flipped <= observed[:, None] + 1e-9).sum(axis=1)
            found[first : first + TOGETHER, place] = (np.minimum(more, less) + 1) / (resamples + 1)
    return np.minimum(1.0, 2 * found)


def excluded(values: Values, mean: float, *, alpha: float = 0.05) -> tuple[Values, Values]:
    """After how many problems the interval of ``running_sequence`` lies above ``mean``, and below it, in every row.

    Number of problems + 1 where it never does. The capital of a gambler is monotone in the mean that is tried, so the
    one grid point that decides is enough; values and mean lie in [-1, 1].
    """
    scaled, (above, below) = (values + 1) / 2, _deciding(mean)
    return _first(capital(scaled, above) >= 2 / alpha), _first(capital(1 - scaled, 1 - below) >= 2 / alpha)


def excluded_by_one_stake(
    values: Values, mean: float, *, alpha: float = 0.05, most: float = 0.5, planned: int | None = None
) -> tuple[Values, Values]:
    """The same with one stake for each value, from the variance of those before it, of ``most`` / mean at most.

    Waudby-Smith and Ramdas 2024, equation 26. ``planned`` gives stakes for so many problems instead of any number,
    as the source has them for intervals of a fixed size; they are valid at every look too, and best near that number.
    """
    scaled, (above, below) = (values + 1) / 2, _deciding(mean)
    count = np.arange(1, values.shape[1] + 1)
    means = (0.5 + np.cumsum(scaled, axis=1)) / (count + 1)
    variance = (0.25 + np.cumsum((scaled - means) ** 2, axis=1)) / (count + 1)
    before = np.concatenate([np.full((len(values), 1), 0.25), variance[:, :-1]], axis=1)
    spent = count * np.log1p(count) if planned is None else planned
    stakes = np.sqrt(2 * np.log(2 / alpha) / (before * spent))
    up = np.log1p(np.minimum(stakes, most / above) * (scaled - above))
    down = np.log1p(-np.minimum(stakes, most / (1 - below)) * (scaled - below))
    won = math.log(2 / alpha)
    return _first(np.cumsum(up, axis=1) >= won), _first(np.cumsum(down, axis=1) >= won)


def _deciding(mean: float) -> tuple[float, float]:
    """The points of the grid, in [0, 1], that are the last to fall before the interval lies above or below the mean."""
    middle = (mean + 1) / 2
    return math.floor(round(middle * GRID + 1, 9)) / GRID, math.ceil(round(middle * GRID - 1, 9)) / GRID


def _first(won: Values) -> Values:
    return np.where(won.any(axis=1), won.argmax(axis=1) + 1, won.shape[1] + 1)


def at_looks(problems: Values, every: int) -> Values:
    """The look at which something that came after so many problems is first seen."""
    return np.ceil(problems / every).astype(int) * every


def holm_rejects(p_values: Values, alpha: float = 0.05) -> Values:
    """Whether Holm rejects, for p-values along the last axis."""
    order = np.argsort(p_values, axis=-1)
    tests = p_values.shape[-1]
    low = np.take_along_axis(p_values, order, axis=-1) * (tests - np.arange(tests)) < alpha
    rejected = np.empty_like(low)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(low, axis=-1), axis=-1)
    return rejected
