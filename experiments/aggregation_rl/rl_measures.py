"""What a run says, and how arms are compared: by problem, by generation, and at equal tokens."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from evolve_llm import Run
from evolve_llm.analysis.stats import ratio_interval

COLLAPSED = 0.03  # entropy of standard replies, in nats a token
NAMES = ("pass@1", "pass@N", "majority", "distinct")


def progress(run: Run) -> tuple[list[list[float]], list[float]]:
    """The share of right members by problem and generation, and the tokens up to each generation.

    Tokens are of prompts and replies together, for the mean problem.
    """
    shares, spent = [], []
    for _, stored in run.populations(texts=False):
        shares.append(
            [statistics.fmean(one.verdicts[some.uid].correct for some in one.members) for one in stored]
        )
        spent.append(
            [sum(some.prompt_tokens + some.completion_tokens for some in one.members) for one in stored]
        )
    total, tokens = 0.0, []
    for generation in zip(*spent, strict=True):
        total += statistics.fmean(generation)
        tokens.append(total)
    return shares, tokens


def ends(run: Run) -> list[float]:
    """The share of right members in the last generation, by problem."""
    return [generations[-1] for generations in progress(run)[0]]


def at_tokens(run: Run, budget: float) -> list[float]:
    """The share of right members by problem where the mean problem has had ``budget`` tokens.

    Between two generations a straight line is drawn; before the first and after the last their own values are taken.
    """
    shares, tokens = progress(run)
    return [_at(tokens, generations, budget) for generations in shares]


def _at(tokens: Sequence[float], values: Sequence[float], budget: float) -> float:
    for place in range(1, len(tokens)):
        if budget < tokens[place]:
            part = max(0.0, budget - tokens[place - 1]) / (tokens[place] - tokens[place - 1])
            return values[place - 1] + part * (values[place] - values[place - 1])
    return values[-1]


def curve(run: Run) -> dict[str, list[float]]:
    """By generation."""
    rows = [row.plain() for row in run.generations()]
    found = {name: [round(float(row[name]), 4) for row in rows] for name in NAMES if name in rows[0]}
    return {**found, "tokens": [round(one) for one in progress(run)[1]]}


def difference(arm: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The paired difference of two arms, each given by training seed and problem; seeds are averaged first."""
    means = [[statistics.fmean(seeds) for seeds in zip(*some, strict=True)] for some in (arm, other)]
    by_problem = [a - b for a, b in zip(*means, strict=True)]
    interval = ratio_interval([(one, 1.0) for one in by_problem], bounds=(-1.0, 1.0))
    seeds = [
        statistics.fmean(some) - statistics.fmean(other[min(place, len(other) - 1)])
        for place, some in enumerate(arm)
    ]
    return {
        "mean": round(statistics.fmean(by_problem), 4),
        "interval": interval and [round(one, 4) for one in interval],
        "seeds": [round(one, 4) for one in seeds],
    }


def judged(found: dict[str, Any], wanted: int) -> str:
    """Whether a difference lies on the wanted side of 0."""
    low, high = found["interval"] or (-1.0, 1.0)
    if low > 0 or high < 0:
        return "holds" if (low > 0) == (wanted > 0) else "does not hold"
    return "open"


def training(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first and the last ten steps of a training."""
    found: dict[str, Any] = {"seconds": round(sum(line["seconds"] for line in lines))}
    for part, some in (("first", lines[:10]), ("last", lines[-10:])):
        for name in ("reward", "entropy", "zero_variance", "kl"):
            for kind in ("/standard", "/aggregation", ""):
                values = [line[name + kind] for line in some if line.get(name + kind) is not None]
                if values:
                    found[f"{name}{kind}/{part}"] = round(statistics.fmean(values), 4)
    found["collapsed"] = found.get("entropy/standard/last", 1.0) < COLLAPSED
    return found


def reading(run: Run) -> dict[str, list[float]]:
    """Children of prompts with one right candidate: the share that is right, by its place from first to last."""
    right: dict[int, list[bool]] = {}
    for _, stored in run.populations(texts=False):
        for before, after in itertools.pairwise(stored):
            good = {one.uid for one in before.members if before.verdicts[one.uid].correct}
            for child in after.members:
                places = [place for place, parent in enumerate(child.parents) if parent in good]
                if len(places) == 1:
                    right.setdefault(places[0], []).append(after.verdicts[child.uid].correct)
    some = [right[place] for place in sorted(right)]
    return {
        "right": [round(statistics.fmean(one), 3) for one in some],
        "children": [len(one) for one in some],
    }
