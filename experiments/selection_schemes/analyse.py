"""What `run.py` wrote, as paired differences to uniform choice, with intervals clustered by problem.

    python experiments/selection_schemes/analyse.py                     # results/study.csv.gz
    python experiments/selection_schemes/analyse.py --rows results/pilot.csv.gz   # any other

Writes ``NAME_analysis.json`` beside the rows and, for the study, the two pictures (which need matplotlib) and the
results in README.md and docs/selection_study.md.
The unit is the problem: its value is the mean over run seeds, and differences are taken problem by problem.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from schemes import BASELINE, NULL
from tables import fill, markdown, story

from evolve_llm.analysis.stats import (
    bootstrap_interval,
    detectable_difference,
    holm,
    mean_interval,
    problems_needed,
    sign_flip_test,
    standard_deviation,
)

RESULTS = Path(__file__).parent / "results"
OUTCOMES = ("pass@1", "majority", "speed", "pass@N", "distinct", "ancestors")
"""The first is the primary outcome, the second is tested too, the rest describe (DESIGN.md)."""
TARGET, ALPHA = 0.02, 0.05
_ALT = "Differences to uniform choice with their intervals: pass@1 and majority of the last generation"
PAGES = {
    Path(__file__).parent
    / "README.md": f"![{_ALT}](results/forest.png)\n\n![pass@1 by generation](results/curves.png)",
    Path(__file__).parents[2] / "docs" / "selection_study.md": f"![{_ALT}](img/selection_study.png)",
}
"""Where the study's results are put, and the pictures there."""

Row = dict[str, Any]
Key = tuple[int, str]
"""K and the scheme's name."""


def read(path: Path) -> list[Row]:
    """The lines of a table of ``run.py``, with numbers as numbers."""
    with gzip.open(path, "rt", newline="") as file:
        return [_line(one) for one in csv.DictReader(file)]


def _line(one: Mapping[str, str]) -> Row:
    by_generation = [float(value) for value in one["pass@1 by generation"].split()]
    found: Row = {name: int(one[name]) for name in ("K", "seed", "block", "locks", "failed", "truncated")}
    found |= {name: float(one[name]) for name in ("majority", "pass@N", "distinct", "ancestors")}
    return found | {
        "scheme": one["scheme"],
        "problem": one["problem"],
        "first": one["first"],
        "by generation": by_generation,
        "pass@1": by_generation[-1],
        "speed": math.fsum(by_generation[1:]) / max(1, len(by_generation) - 1),
    }


def by_problem(rows: Sequence[Row], outcome: str) -> dict[Key, dict[str, float]]:
    """Each arm's value on each problem, the mean over run seeds.

    Raises ValueError unless every arm of a K has the same problems under the same seeds.
    """
    found: dict[Key, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in rows:
        found[one["K"], one["scheme"]][one["problem"]][one["seed"]] = one[outcome]
    shapes = {
        key: {name: sorted(values) for name, values in problems.items()} for key, problems in found.items()
    }
    for key, shape in shapes.items():
        if shape != shapes[key[0], BASELINE]:
            raise ValueError(
                f"K={key[0]}, {key[1]}: other problems or seeds than {BASELINE}: nothing to pair"
            )
    return {
        key: {name: math.fsum(values.values()) / len(values) for name, values in problems.items()}
        for key, problems in found.items()
    }


def contrast(base: Mapping[str, float], other: Mapping[str, float], resamples: int) -> Row:
    """The mean paired difference with its interval, p-value, and what would have been found."""
    found = [other[name] - base[name] for name in base]
    spread, n = standard_deviation(found), len(found)
    return {
        "problems": n,
        "baseline": math.fsum(base.values()) / n,
        "value": math.fsum(other.values()) / n,
        "difference": math.fsum(found) / n,
        "interval": bootstrap_interval(found, resamples=resamples),
        "p": sign_flip_test(found, resamples=resamples),
        "spread": spread,
        "detectable": detectable_difference(spread, n),
        "problems for 2 points": problems_needed(spread, TARGET),
    }


def contrasts(rows: Sequence[Row], outcome: str, resamples: int = 9999) -> dict[Key, Row]:
    """All schemes against uniform at the same K, Holm's correction over the schemes of that K.

    The null contrast is not corrected and does not count: it is a check, not a question. ``detectable (Holm)``
    is at the level of Holm's first step, the strictest.
    """
    values = by_problem(rows, outcome)
    found = {
        key: contrast(values[key[0], BASELINE], each, resamples)
        for key, each in values.items()
        if key[1] != BASELINE
    }
    for k in {key[0] for key in found}:
        family = [key for key in found if key[0] == k and key[1] != NULL]
        for key, p in zip(family, holm([found[key]["p"] for key in family]), strict=True):
            found[key]["p (Holm)"] = p
            found[key]["detectable (Holm)"] = detectable_difference(
                found[key]["spread"], found[key]["problems"], alpha=ALPHA / len(family)
            )
    return found


def components(rows: Sequence[Row], key: Key, outcome: str = "pass@1") -> Row | None:
    """Variance of an arm's difference to uniform: between problems, and between seeds within a problem.

    One-way analysis of variance with problems as groups; ``between`` may come out below 0 and is then 0. Says
    whether a second seed or another problem buys more. None for a single seed.
    """
    cells: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in rows:
        if one["K"] == key[0] and one["scheme"] in (BASELINE, key[1]):
            cells[one["problem"]][one["seed"]][one["scheme"]] = one[outcome]
    groups = [
        [both[key[1]] - both[BASELINE] for both in seeds.values() if len(both) == 2]
        for seeds in cells.values()
    ]
    seeds = min(map(len, groups))
    if seeds < 2:
        return None
    within = math.fsum(standard_deviation(group) ** 2 for group in groups) / len(groups)
    means = [math.fsum(group) / len(group) for group in groups]
    between = max(0.0, standard_deviation(means) ** 2 - within / seeds)
    return {"between problems": between, "between seeds": within, "seeds": seeds}


def unequal_starts(rows: Sequence[Row]) -> tuple[int, int]:
    """How many of all (problem, seed) have more than one generation 0 over the arms, of how many: 0 is wanted."""
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in rows:
        found[one["problem"], one["seed"]].add(one["first"])
    return sum(len(digests) > 1 for digests in found.values()), len(found)


def curves(rows: Sequence[Row]) -> dict[Key, list[float]]:
    """Mean pass@1 by generation. Every problem has as many seeds, so the plain mean is the mean over problems."""
    found: dict[Key, list[list[float]]] = defaultdict(list)
    for one in rows:
        found[one["K"], one["scheme"]].append(one["by generation"])
    return {
        key: [math.fsum(column) / len(column) for column in zip(*each, strict=True)]
        for key, each in found.items()
    }


def analysis(rows: Sequence[Row], resamples: int = 9999) -> Row:
    """Everything that is reported, as plain data: lists of records, arms in the order of the rows."""
    keys = list(dict.fromkeys((one["K"], one["scheme"]) for one in rows))

    def record(key: Key, **rest: Any) -> Row:
        return {"K": key[0], "scheme": key[1], **rest}

    values = {outcome: by_problem(rows, outcome) for outcome in OUTCOMES}
    slices = {f"{n} lock{'s' * (n > 1)}": [one for one in rows if one["locks"] == n] for n in (1, 2, 3, 4)}
    seeds = sorted({one["seed"] for one in rows})
    if len(seeds) > 1:
        slices |= {f"seed {n}": [one for one in rows if one["seed"] == n] for n in seeds}
    parts = {name: contrasts(part, "pass@1", 999) for name, part in slices.items() if part}
    unequal, starts = unequal_starts(rows)
    by_generation = curves(rows)
    return {
        "problems": len({one["problem"] for one in rows}),
        "unequal generations 0": [unequal, starts],
        "failed": sum(one["failed"] for one in rows),
        "truncated": sum(one["truncated"] for one in rows),
        "arms": [
            record(
                key,
                **{name: math.fsum(each[key].values()) / len(each[key]) for name, each in values.items()},
                interval=mean_interval(list(values["pass@1"][key].values())),
                **{"by generation": by_generation[key]},
            )
            for key in keys
        ],
        "contrasts": {
            outcome: [record(key, **one) for key, one in contrasts(rows, outcome, resamples).items()]
            for outcome in OUTCOMES
        },
        "variance": [
            record(key, **found)
            for key in keys
            if key[1] != BASELINE and (found := components(rows, key)) is not None
        ],
        "exploratory": {
            name: [
                record(key, difference=one["difference"], interval=one["interval"])
                for key, one in part.items()
            ]
            for name, part in parts.items()
        },
    }


def main() -> None:
    """Rows to numbers and pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, default=RESULTS / "study.csv.gz")
    rows_file: Path = parser.parse_args().rows
    stem = rows_file.name.removesuffix(".csv.gz")
    settings = json.loads((rows_file.parent / f"{stem}.json").read_text())
    found = {"settings": settings, **analysis(read(rows_file))}
    (rows_file.parent / f"{stem}_analysis.json").write_text(json.dumps(found, indent=1) + "\n")
    told, shown = story(found), markdown(found)
    print(f"{told}\n\n{shown}")
    if stem == "study":
        from pictures import draw

        draw(found, rows_file.parent)
        for page, picture in PAGES.items():
            fill(page, f"{told}\n\n{picture}\n\n{shown}")


if __name__ == "__main__":
    main()
