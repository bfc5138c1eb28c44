"""Finish operators: who gives the answer. Signature ``(problem, population) -> Candidate | Final``.

The engine hands them the live members only.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.decorators import finishing
from evolve_llm.scheme.operator import Final
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.templates import Templates
from evolve_llm_operators.crossover import AGGREGATE


@finishing()
def random_member(problem: Problem, population: Sequence[Candidate]) -> Candidate:  # noqa: ARG001
    """Any member: its expected accuracy is pass@1. Source: RSA, arXiv 2509.26626."""
    return random.choice(population)


@finishing()
def majority(problem: Problem, population: Sequence[Candidate]) -> Candidate:  # noqa: ARG001
    """A member of the largest class of equivalent answers; if several are largest, one is drawn at random.

    Chains without an answer do not vote unless nobody has one. Source: arXiv 2203.11171.
    """
    counts = Counter(one.answer_class for one in population if one.answer_class is not None)
    if not counts:
        return random.choice(population)
    top = max(counts.values())
    winner = random.choice(sorted(answer for answer, votes in counts.items() if votes == top))
    return random.choice([one for one in population if one.answer_class == winner])


@finishing(attempts=2)
def two_best(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    """Two attempts, the two largest classes of equivalent answers: the first as ``majority`` draws it.

    The machine adds the second, the largest of the other classes (see ``finishing``); a problem is solved when
    either is right. Source: how ARC-AGI is scored, arXiv 2505.11831.
    """
    return majority(problem, population)


@finishing(needs_fitness=True)
def weighted_majority(problem: Problem, population: Sequence[Candidate]) -> Candidate:
    """A member of the class of equivalent answers with the largest sum of fitness; ties as in ``majority``.

    A vote weighs its fitness, the mean over objectives, each turned so that more is better; where one is
    negative (a minimised objective is), all are raised until the least is 0. Where nobody's vote weighs
    anything, this is ``majority``. Source: weighted self-consistency, arXiv 2203.11171.
    """
    voters = [one for one in population if one.answer_class is not None]
    weights = {id(one): _mean(one) for one in voters if one.fitness.valid}
    lowest = min([0.0, *weights.values()])
    votes: dict[str, list[float]] = {}
    for one in voters:
        votes.setdefault(one.answer_class or "", []).append(weights.get(id(one), lowest) - lowest)
    # fsum is exact whatever the order, so classes of equal weight tie
    totals = {answer: math.fsum(parts) for answer, parts in votes.items()}
    top = max(totals.values(), default=0.0)
    if top <= 0:
        return majority(problem, population)
    winner = random.choice(sorted(answer for answer, total in totals.items() if total == top))
    return random.choice([one for one in voters if one.answer_class == winner])


@finishing(needs_fitness=True)
def best(problem: Problem, population: Sequence[Candidate]) -> Candidate:  # noqa: ARG001
    """The fittest member, ties broken at random; several objectives are compared one after the other."""
    shuffled = random.sample(list(population), len(population))
    return max(shuffled, key=lambda one: one.fitness)


def _enough_parents(preset: Preset, *, parents: int = 4) -> None:
    if not 1 <= parents <= preset.population:
        raise ValueError(
            f"parents must be in 1 ... population ({preset.population}), got {parents}; set finish.parents"
        )


@finishing(calls=1, requires=_enough_parents)
def final_aggregate(
    problem: Problem,
    population: Sequence[Candidate],
    *,
    parents: int = 4,
    templates: Templates = AGGREGATE,
) -> Final:
    """One last aggregation of ``parents`` different members, drawn uniformly: its chain is the answer.

    Fewer live members than that: all of them. Source: the final step of RSA as a single answer,
    arXiv 2509.26626; compare universal self-consistency, arXiv 2311.17311.
    """
    chosen = random.sample(list(population), min(parents, len(population)))
    return Final(
        tuple(chosen), templates.render(problem, "aggregate", candidates=[one.text for one in chosen])
    )


def _mean(one: Candidate) -> float:
    return math.fsum(one.fitness.wvalues) / len(one.fitness.wvalues)
