"""What the study's own report does not hold: arms, differences in speed and by part, ancestors, and the checks.

    python experiments/selection_schemes/described.py                              # results/study.csv.gz
    python experiments/selection_schemes/described.py --rows results/pilot.csv.gz  # with the variance between seeds

Prints Markdown. Nothing here is tested: p-values and their correction are the report's.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rows import BASELINE, RESULTS, Key, Row, by_problem, read

from evolve_llm.analysis.stats import bootstrap_interval, standard_deviation

OUTCOMES = ("majority", "pass@N", "distinct", "ancestors")


Difference = tuple[float, tuple[float, float] | None]
"""A mean and its 95 % interval."""


def differences(rows: Sequence[Row], outcome: str, resamples: int = 9999) -> dict[Key, Difference]:
    """Each arm less uniform choice at the same K, paired by problem."""
    values = by_problem(rows, outcome)
    found = {}
    for key, each in values.items():
        if key[1] != BASELINE:
            base = values[key[0], BASELINE]
            paired = [each[name] - base[name] for name in base]
            found[key] = (math.fsum(paired) / len(paired), bootstrap_interval(paired, resamples=resamples))
    return found


def components(rows: Sequence[Row], key: Key, outcome: str = "pass@1") -> tuple[float, float] | None:
    """Variance of an arm's difference to uniform: between problems, and between seeds within a problem.

    One-way analysis of variance with problems as groups; the first may come out below 0 and is then 0. Says whether
    a second seed or another problem buys more. None for a single seed.
    """
    cells: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in rows:
        if one["K"] == key[0] and one["scheme"] in (BASELINE, key[1]):
            cells[one["problem"]][one["seed"]][one["scheme"]] = one[outcome]
    groups = [[both[key[1]] - both[BASELINE] for both in seeds.values()] for seeds in cells.values()]
    seeds = min(map(len, groups))
    if seeds < 2:
        return None
    within = math.fsum(standard_deviation(group) ** 2 for group in groups) / len(groups)
    means = [math.fsum(group) / len(group) for group in groups]
    return max(0.0, standard_deviation(means) ** 2 - within / seeds), within


def unequal_starts(rows: Sequence[Row]) -> tuple[int, int]:
    """How many of all (problem, seed) have more than one generation 0 over the arms, of how many: 0 is wanted."""
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in rows:
        found[one["problem"], one["seed"]].add(one["first"])
    return sum(len(digests) > 1 for digests in found.values()), len(found)


def arms(rows: Sequence[Row]) -> str:
    """Every arm's curve of pass@1 and the state of its last population."""
    keys = list(dict.fromkeys((one["K"], one["scheme"]) for one in rows))
    last = len(rows[0]["by generation"])
    lines = [["K", "scheme", "gen 0", *map(str, range(1, last)), *OUTCOMES]]
    for key in keys:
        own = [one for one in rows if (one["K"], one["scheme"]) == key]
        curve = [
            math.fsum(column) / len(own)
            for column in zip(*(one["by generation"] for one in own), strict=True)
        ]
        means = [math.fsum(one[name] for one in own) / len(own) for name in OUTCOMES]
        lines.append([str(key[0]), key[1], *(f"{value:.3f}" for value in [*curve, *means])])
    return _table(lines)


def contrasts(rows: Sequence[Row]) -> str:
    """Differences to uniform in points: the outcomes of the design, then pass@1 by number of locks and by seed."""
    parts = {name: differences(rows, name) for name in ("pass@1", "majority", "speed")}
    for name in ("locks", "seed"):
        levels = sorted({one[name] for one in rows})
        for level in levels if len(levels) > 1 else []:
            part = [one for one in rows if one[name] == level]
            parts[f"{name} {level}"] = differences(part, "pass@1", 999)
    lines = [["K", "scheme", *parts]]
    lines += [
        [str(key[0]), key[1], *(_points(part[key]) for part in parts.values())] for key in parts["pass@1"]
    ]
    return _table(lines)


def _points(found: Difference) -> str:
    mean, interval = found
    ends = "" if interval is None else f" ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"
    return f"{100 * mean:+.1f}{ends}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(lines[0])
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def checks(rows: Sequence[Row]) -> str:
    """Equal beginnings, lost chains, and the variance of differences where there are several seeds."""
    unequal, starts = unequal_starts(rows)
    failed, cut = (sum(one[name] for one in rows) for name in ("failed", "truncated"))
    keys = dict.fromkeys((one["K"], one["scheme"]) for one in rows if one["scheme"] != BASELINE)
    parts = {key: found for key in keys if (found := components(rows, key)) is not None}
    lines = [
        f"Generation 0 was not the same in all arms in {unequal} of {starts} cases; {failed} chains failed, {cut} "
        "were cut.",
        *(
            f"{name}, K={k}: variance {problems:.3f} between problems, {seeds:.3f} between seeds"
            for (k, name), (problems, seeds) in parts.items()
        ),
    ]
    return "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, default=RESULTS / "study.csv.gz")
    given = read(parser.parse_args().rows)
    print("\n\n".join((arms(given), contrasts(given), checks(given))))
