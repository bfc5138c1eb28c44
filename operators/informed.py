"""Informed selection: parents by fitness, through DEAP's selectors.

Signature ``(individuals, k) -> list`` as in DEAP, drawing from the global ``random`` that the machine has
seeded for the draw.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from deap import tools

from evolve_llm.candidate import Candidate
from evolve_llm.operator import selection


@selection(blind=False, needs_fitness=True, distinct=False)
def tournament(individuals: Sequence[Candidate], k: int, *, tournsize: int = 3) -> list[Candidate]:
    """The best of ``tournsize`` random members, k times (DEAP's selTournament).

    Source: Goldberg and Deb, Foundations of Genetic Algorithms, 1991.
    """
    if tournsize < 1:
        raise ValueError(f"tournsize must be at least 1, got {tournsize}")
    return list(tools.selTournament(individuals, k, tournsize))


@selection(blind=False, needs_fitness=True)
def best(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    """The k fittest members, ties in random order (DEAP's selBest is stable, which favours low slots)."""
    shuffled = random.sample(list(individuals), len(individuals))
    return list(tools.selBest(shuffled, k))
