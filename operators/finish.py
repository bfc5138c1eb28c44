"""Finish operators: who gives the answer. Signature ``(problem, population) -> Candidate``."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from evolve_llm.candidate import Candidate
from evolve_llm.operator import finishing
from evolve_llm.problem import Problem


@finishing()
def random_member(problem: Problem, population: Sequence[Candidate]) -> Candidate:  # noqa: ARG001
    """Any member: its expected accuracy is pass@1. Source: RSA, arXiv 2509.26626."""
    return random.choice(population)


@finishing()
def majority(problem: Problem, population: Sequence[Candidate]) -> Candidate:  # noqa: ARG001
    """A member of the largest class of equivalent answers; classes tied for it are drawn from at random.

    Chains without an answer do not vote unless nobody has one. Source: arXiv 2203.11171.
    """
    counts = Counter(one.answer_class for one in population if one.answer_class is not None)
    if not counts:
        return random.choice(population)
    top = max(counts.values())
    winner = random.choice(sorted(answer for answer, votes in counts.items() if votes == top))
    return random.choice([one for one in population if one.answer_class == winner])


@finishing(needs_fitness=True)
def best(problem: Problem, population: Sequence[Candidate]) -> Candidate:  # noqa: ARG001
    """The fittest member, ties broken at random."""
    shuffled = random.sample(list(population), len(population))
    return max(shuffled, key=lambda one: one.fitness)
