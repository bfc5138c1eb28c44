"""Which interval that may be looked at after every problem is the narrowest, for differences of two schemes?

    python experiments/sequential_bounds/bounds.py

Prints the tables of README.md and writes results/bounds.json. A few minutes on one core.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from kinds import KINDS
from scipy import stats

from evolve_llm.analysis.sequential import capital

RESULTS = Path(__file__).parent / "results" / "bounds.json"
SIZES, STUDIES, MOST = (20, 60, 360), 500, 1440
Array = np.ndarray
Bound = Callable[[Array, Array, float], Array]
"""From values in [0, 1], (rows, problems), a mean for each row and alpha: whether the mean is, after so many
problems, too small to be true, at half of alpha. The other side is the same of 1 - values."""


def mixture(values: Array, means: Array, alpha: float) -> Array:
    """Ours."""
    return capital(values, means[:, None]) >= 2 / alpha


def predictable(most: float, planned: int | None = None) -> Bound:
    """Waudby-Smith and Ramdas 2024, equation 26: the stake follows the variance seen so far, up to most / mean.

    ``planned`` is their choice for an interval at one number of problems; at every look it is valid as well.
    """

    def bound(values: Array, means: Array, alpha: float) -> Array:
        count, variance, _ = _so_far(values)
        spent = count * np.log1p(count) if planned is None else planned
        stakes = np.minimum(np.sqrt(2 * np.log(2 / alpha) / (variance * spent)), most / means[:, None])
        return np.cumsum(np.log1p(stakes * (values - means[:, None])), axis=1) >= math.log(2 / alpha)

    return bound


def empirical_bernstein(values: Array, means: Array, alpha: float) -> Array:
    """Waudby-Smith and Ramdas 2024, theorem 2, in closed form."""
    count, variance, mean = _so_far(values)
    stakes = np.minimum(np.sqrt(2 * np.log(2 / alpha) / (variance * count * np.log1p(count))), 0.5)
    paid = np.log(2 / alpha) + np.cumsum((values - mean) ** 2 * (-np.log1p(-stakes) - stakes), axis=1)
    return (np.cumsum(stakes * values, axis=1) - paid) / np.cumsum(stakes, axis=1) >= means[:, None]


def normal_mixture(values: Array, means: Array, alpha: float) -> Array:
    """Robbins's bound for any distribution on [0, 1], which knows no variance; narrowest near 100 problems."""
    count = np.arange(1, values.shape[1] + 1)
    best = 100 / 4 / (2 * math.log(1 / alpha) + math.log(1 + 2 * math.log(1 / alpha)))
    width = np.sqrt((count / 4 + best) * np.log((count / 4 + best) / (best * alpha**2))) / count
    return np.cumsum(values, axis=1) / count - width >= means[:, None]


BOUNDS: dict[str, Bound] = {
    "mixture (ours)": mixture,
    "predictable, up to .5": predictable(0.5),
    "predictable, up to .9": predictable(0.9),
    "predictable, planned for 360": predictable(0.75, 360),
    "empirical Bernstein": empirical_bernstein,
    "normal mixture": normal_mixture,
}


def _so_far(values: Array) -> tuple[Array, Array, Array]:
    """Number of the problem, and variance and mean as known before it."""
    count = np.arange(1, values.shape[1] + 1)
    mean = (0.5 + np.cumsum(values, axis=1)) / (count + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2, axis=1)) / (count + 1)
    start = np.ones((len(values), 1))
    return count, np.hstack([start / 4, variance[:, :-1]]), np.hstack([start / 2, mean[:, :-1]])


def lower(bound: Bound, values: Array, alpha: float = 0.05) -> Array:
    """The lower end after all problems, of each row, cut with all before it."""
    out, held = np.zeros(len(values)), np.ones(len(values))
    for _ in range(12):
        middle = (out + held) / 2
        fell = bound(values, middle, alpha).any(axis=1)
        out, held = np.where(fell, middle, out), np.where(fell, held, middle)
    return out


def widths() -> dict[str, dict[str, list[float]]]:
    """Mean width on the scale of [-1, 1], by kind, bound and number of problems."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, kind in KINDS.items():
        values = kind(np.random.default_rng(1), STUDIES, SIZES[-1], 1.0)
        found[name] = {"Student's t, one look": [_t(values[:, :size]) for size in SIZES]}
        for title, bound in BOUNDS.items():
            scaled = (values + 1) / 2
            found[name][title] = [
                float(np.mean(2 * (1 - lower(bound, scaled[:, :n]) - lower(bound, 1 - scaled[:, :n]))))
                for n in SIZES
            ]
    return found


def _t(values: Array) -> float:
    n = values.shape[1]
    return float(2 * stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1).mean() / math.sqrt(n))


def settling(studies: int = 1000) -> dict[str, dict[str, list[float]]]:
    """By kind and strength, for each bound: the share of studies that ever were wrong about the mean, the share that
    was settled by 360 problems, and the mean number of problems paid for, of ``MOST`` at most; looks at every problem.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name, kind in KINDS.items():
        for strength in (0.0, 0.5, 1.0, 2.0):
            truth = float(kind(np.random.default_rng(7), 20, 100_000, strength).mean())
            values = (kind(np.random.default_rng(2), studies, MOST, strength) + 1) / 2
            row = found.setdefault(f"{name}, {100 * truth:+.1f} points", {})
            for title, bound in BOUNDS.items():
                left, settled = (
                    np.minimum(
                        _first(bound(values, np.full(studies, mean), 0.05)),
                        _first(bound(1 - values, np.full(studies, 1 - mean), 0.05)),
                    )
                    for mean in ((truth + 1) / 2, 0.5)
                )
                paid = np.minimum(settled, MOST).mean()
                row[title] = [
                    float(np.mean(left <= MOST)),
                    float(np.mean(settled <= SIZES[-1])),
                    float(paid),
                ]
    return found


def _first(out: Array) -> Array:
    return np.where(out.any(axis=1), out.argmax(axis=1) + 1, out.shape[1] + 1)


def main() -> None:
    """Print both tables and keep their figures."""
    results = {"widths": widths(), "settling": settling()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print("| data | bound | 20 | 60 | 360 |\n|---|---|---|---|---|")
    for name, rows in results["widths"].items():
        for title, row in rows.items():
            print(f"| {name} | {title} | {' | '.join(f'{one:.3f}' for one in row)} |")
    print("\n| data | bound | ever wrong | settled by 360 | problems paid |\n|---|---|---|---|---|")
    for name, rows in results["settling"].items():
        for title, (wrong, settled, paid) in rows.items():
            print(f"| {name} | {title} | {100 * wrong:.1f} % | {100 * settled:.0f} % | {paid:.0f} |")


if __name__ == "__main__":
    main()
