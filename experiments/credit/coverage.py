"""How often the intervals of credit by asking hold the truth, in a world where the truth is known.

Each problem has a chance c from Beta(2, 2). A parent is right with probability c, and K = 2. A child is right with
probability c where a right parent stands last, .8 c where one stands first before a wrong one, and .05 without one. So
problems differ in how many right parents their children have and in what these are worth, as they do in a run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import integrate, stats

from evolve_llm.analysis.asking import REPLAYS, Mean, Replayed, Shown, drawn, estimate, wanted

TIMES, CHILDREN, REPEATS, BORN = 1000, 240, 6, 40


def value(chance: float, parents: tuple[bool, ...], shown: Shown) -> float:
    """The probability of a right child."""
    good = [parents[place] for place in shown]
    return 0.05 if not any(good) else chance if good[-1] else 0.8 * chance


def average(of: Callable[[float], float]) -> float:
    """The mean of a function of c over problems."""
    found, _ = integrate.quad(lambda c: of(c) * stats.beta.pdf(c, 2, 2), 0, 1)
    return float(found)


def truths() -> dict[str, float]:
    """What is estimated: per right parent of the run, and per child with one right parent."""
    one, both = (lambda c: 2 * c * (1 - c)), (lambda c: c * c)
    parents = average(lambda c: one(c) + 2 * both(c))
    return {
        "without": average(lambda c: one(c) * (0.9 * c - 0.05)) / parents,
        "shapley": average(lambda c: one(c) * (0.95 * c - 0.05) + both(c) * (c - 0.05)) / parents,
        "order": average(lambda c: one(c) * 0.2 * c) / average(one),
    }


def once(problems: int, random: np.random.Generator) -> dict[str, Mean]:
    """One run, one sample of its children, and what is estimated from it."""
    chances = random.beta(2, 2, size=problems)
    run = [
        (n, tuple(bool(good) for good in random.random(2) < chances[n])) for n in range(problems) for _ in range(BORN)
    ]  # fmt: skip
    strata = [("x", 2, sum(parents)) for _, parents in run]
    children = []
    for n, parents in (run[place] for place in drawn(strata, CHILDREN, int(random.integers(2**31)))):
        values = {
            shown: float(random.binomial(REPEATS, value(chances[n], parents, shown))) / REPEATS
            for shown in wanted(parents, REPLAYS)
        }
        children.append(Replayed(f"p{n}", "x", True, parents, values))
    (section,) = estimate(children, Counter(strata), REPLAYS).sections
    found = {
        "without": section.without[-1].right,
        "shapley": section.values[-1].right,
        "order": section.moved[-1].difference,
    }
    return {name: mean for name, mean in found.items() if mean is not None}


def main() -> None:
    """Simulate, print, write."""
    known, rows = truths(), []
    for problems in (20, 60, 360):
        random = np.random.default_rng(problems)
        covered: Counter[str] = Counter()
        sums, width = dict.fromkeys(known, 0.0), dict.fromkeys(known, 0.0)
        for _ in range(TIMES):
            for name, mean in once(problems, random).items():
                low, high = mean.interval or (0.0, 0.0)
                covered[name] += low <= known[name] <= high
                sums[name] += mean.value
                width[name] += high - low
        for name, truth in known.items():
            rows.append(
                {"problems": problems, "of": name, "truth": round(truth, 4), "mean": round(sums[name] / TIMES, 4),
                 "covered": covered[name] / TIMES, "width": round(width[name] / TIMES, 3)}
            )  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    said = {"times": TIMES, "children": CHILDREN, "repeats": REPEATS, "nominal": 0.95, "rows": rows}
    (Path(__file__).parent / "results" / "coverage.json").write_text(
        json.dumps(said, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
