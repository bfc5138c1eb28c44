"""What the study measures: one number a problem first, then means and intervals over problems. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from claims_verdicts import opened

from evolve_llm.analysis.health import answer_entropy
from evolve_llm.analysis.metrics import measure
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import bootstrap_interval, mean_interval
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.reader import StoredPopulation

Values = dict[str, list[float]]
"""Numbers of one problem by name: a list by generation, or by number of samples."""

SIZES = (16, 32, 64, 96, 160, 256)
"""Numbers of samples at which choosing among independent samples is measured."""


def right(members: Sequence[Candidate], verdicts: Mapping[str, Verdict]) -> list[float]:
    """1 for a correct chain, 0 for any other."""
    return [float(one.uid in verdicts and verdicts[one.uid].correct) for one in members]


def fittest(scores: Sequence[float], good: Sequence[float]) -> float:
    """Expected accuracy of a member with the highest score, ties broken by lot."""
    best = max(scores)
    tied = [value for score, value in zip(scores, good, strict=True) if score == best]
    return math.fsum(tied) / len(tied)


def worth(members: Sequence[Candidate], verdicts: Mapping[str, Verdict]) -> dict[str, float]:
    """What a population is worth by every way of choosing an answer from it, and how diverse it is.

    ``verdicts``: the chain that claims most open locks; ``rejection``: any that claims all, else any at all.
    """
    found = measure(members, verdicts)
    good = right(members, verdicts)
    claims = [opened(one.text) for one in members]
    complete = [float(one.answer is not None and all(own)) for one, own in zip(members, claims, strict=True)]
    return {
        "pass@1": math.fsum(good) / len(good),
        "pass@N": max(good),
        "majority": found.majority or 0.0,
        "verdicts": fittest([float(sum(own)) for own in claims], good),
        "rejection": fittest(complete, good),
        "distinct": float(found.distinct),
        "entropy": answer_entropy(members) or 0.0,
        "right claims": _share(good, complete),
    }


def _share(good: Sequence[float], complete: Sequence[float]) -> float:
    """Share of the chains that claim everything which are right; NaN where none claims it."""
    claimed = [value for value, whole in zip(good, complete, strict=True) if whole]
    return math.fsum(claimed) / len(claimed) if claimed else math.nan


def _tokens(members: Sequence[Candidate]) -> float:
    return float(sum(one.prompt_tokens + one.completion_tokens for one in members))


def by_generation(populations: Sequence[StoredPopulation]) -> Values:
    """``worth`` of each generation, and the tokens spent up to and including it."""
    rows = [worth(one.members, one.verdicts) for one in populations]
    spent, total = [], 0.0
    for one in populations:
        total += _tokens(one.members)
        spent.append(total)
    return {**{name: [row[name] for row in rows] for name in rows[0]}, "tokens": spent}


def by_samples(population: StoredPopulation, sizes: Iterable[int] = SIZES) -> Values:
    """``worth`` of the first m samples for each m, as far as there are so many.

    A sample's seed is its slot's, so the first m are the run of the same seed with a population of m.
    """
    members = population.members
    kept = [m for m in sizes if m <= len(members)]
    rows = [worth(members[:m], population.verdicts) for m in kept]
    found = {name: [row[name] for row in rows] for name in rows[0]}
    return {**found, "tokens": [_tokens(members[:m]) for m in kept], "samples": [float(m) for m in kept]}


def affordable(members: Sequence[Candidate], tokens: float) -> int:
    """How many of the samples, in order, a budget of tokens pays for; at least one."""
    spent, count = 0.0, 0
    for one in members:
        spent += one.prompt_tokens + one.completion_tokens
        if spent > tokens:
            break
        count += 1
    return max(1, count)


def reduced(run: Run, budget: Mapping[str, float] | None = None) -> dict[str, Values]:
    """The numbers of a run by problem.

    ``budget``: tokens a problem that a run of independent samples may spend for the entry ``equal tokens``.
    """
    found: dict[str, Values] = {}
    for problem, populations in run.populations():
        if len(populations) > 1:
            found[problem.id] = by_generation(populations)
            continue
        first = populations[0]
        found[problem.id] = by_samples(first)
        if budget is not None:
            count = affordable(first.members, budget[problem.id])
            row = worth(first.members[:count], first.verdicts)
            found[problem.id]["equal tokens"] = [float(count), *row.values()]
    return found


def over_seeds(runs: Sequence[Mapping[str, Values]]) -> dict[str, Values]:
    """Runs of one arm by problem, averaged over run seeds inside each problem."""
    found: dict[str, Values] = {}
    for problem in runs[0]:
        rows = [run[problem] for run in runs]
        found[problem] = {
            name: [_mean(column) for column in zip(*(row[name] for row in rows), strict=True)]
            for name in rows[0]
        }
    return found


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def mean(values: Sequence[float], *, share: bool = True) -> dict[str, Any]:
    """Mean of one value a problem with its 95 % interval; ``share``: the values lie in [0, 1]."""
    known = [value for value in values if not math.isnan(value)]
    interval = (mean_interval if share else bootstrap_interval)(known)
    return {"mean": _mean(known), "interval": interval and list(interval), "problems": len(known)}


def difference(values: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
    """``values - others``, problem by problem: mean and 95 % interval."""
    return mean([a - b for a, b in zip(values, others, strict=True)], share=False)


def sizes_of(problems: Sequence[Problem]) -> dict[str, int]:
    """Number of locks by problem."""
    return {one.id: int(one.metadata["locks"]) for one in problems}
