"""Which schemes rank the same on both flies: ``python experiments/selection_schemes/ranks.py``.

Reads ``results/study.csv.gz`` and ``results/hard.csv.gz``, writes ``results/ranks.json`` and prints a table. The order
is that of the differences to uniform choice; Spearman's correlation over the arms has a percentile bootstrap interval
over problems, drawn anew on each fly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from rows import BASELINE, NULL, RESULTS, Key, Row, by_problem, read

Floats = NDArray[np.float64]
RESAMPLES = 2000


def differences(rows: list[Row], outcome: str) -> dict[Key, Floats]:
    """For each arm but the null one, its difference to uniform on each problem, the problems in one order."""
    values = by_problem(rows, outcome)
    return {
        key: np.array([each[name] - values[key[0], BASELINE][name] for name in sorted(each)])
        for key, each in values.items()
        if key[1] not in (BASELINE, NULL)
    }


def spearman(easy: Mapping[Key, Floats], hard: Mapping[Key, Floats]) -> list[float]:
    """[correlation, low, high] over the arms that both have."""
    arms = [key for key in easy if key in hard]
    one, two = (np.stack([each[key] for key in arms], axis=1) for each in (easy, hard))
    rng = np.random.default_rng(0)
    drawn = [
        _order(*(each[rng.integers(len(each), size=len(each))].mean(axis=0) for each in (one, two)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [round(float(x), 3) for x in (_order(one.mean(axis=0), two.mean(axis=0)), low, high)]


def _order(one: Floats, two: Floats) -> float:
    return float(stats.spearmanr(one, two).statistic)


def compared(easy_rows: list[Row], hard_rows: list[Row], outcome: str) -> dict[str, Any]:
    """Each arm's difference and rank on both flies, and how far the orders agree."""
    easy, hard = differences(easy_rows, outcome), differences(hard_rows, outcome)
    arms = [key for key in easy if key in hard]
    places = [
        stats.rankdata([-each[key].mean() for key in arms]).astype(int).tolist() for each in (easy, hard)
    ]
    return {
        "arms": [
            {
                "K": key[0],
                "scheme": key[1],
                "fly": round(100 * float(easy[key].mean()), 1),
                "fly-hard": round(100 * float(hard[key].mean()), 1),
                "ranks": [places[0][place], places[1][place]],
            }
            for place, key in enumerate(arms)
        ],
        "spearman": {
            "all": spearman(easy, hard),
            **{
                f"K={k}": spearman(*({a: x for a, x in each.items() if a[0] == k} for each in (easy, hard)))
                for k in sorted({key[0] for key in arms})
            },
        },
    }


def main() -> None:
    easy, hard = (read(RESULTS / f"{name}.csv.gz") for name in ("study", "hard"))
    said = {outcome: compared(easy, hard, outcome) for outcome in ("pass@1", "majority", "speed")}
    (RESULTS / "ranks.json").write_text(json.dumps(said, indent=1) + "\n")
    for outcome, found in said.items():
        print(f"{outcome}: {found['spearman']}\n\n| K | scheme | fly | rank | fly-hard | rank |")
        print("|---|---|---|---|---|---|")
        for one in found["arms"]:
            first, second = one["ranks"]
            print(
                f"| {one['K']} | {one['scheme']} | {one['fly']:+.1f} | {first} | {one['fly-hard']:+.1f} | {second} |"
            )


if __name__ == "__main__":
    main()
