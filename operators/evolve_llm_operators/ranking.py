"""Who is fitter: candidates from best to worst, ties in an order drawn at random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from deap import tools

from evolve_llm.nouns.candidate import Candidate


def ranked(candidates: Sequence[Candidate], *, pareto: bool = False) -> list[Candidate]:
    """The candidates from best to worst. Ties are shuffled; those that have no fitness (they failed) come last.

    Several objectives are compared one after the other, as DEAP compares fitnesses; with ``pareto`` by
    nondominated front, and within a front by crowding distance (NSGA-II, DEAP's selNSGA2).
    """
    shuffled = random.sample(list(candidates), len(candidates))
    valid = [one for one in shuffled if one.fitness.valid]
    rest = sorted((one for one in shuffled if not one.fitness.valid), key=lambda one: one.failed)
    if not pareto:
        return [*sorted(valid, key=lambda one: one.fitness.wvalues, reverse=True), *rest]
    return [*(_by_fronts(valid) if valid else ()), *rest]


def _by_fronts(valid: list[Candidate]) -> list[Candidate]:
    ordered: list[Candidate] = []
    for front in tools.sortNondominated(valid, len(valid)):
        distances = _crowding(front)
        ordered += [front[i] for i in sorted(range(len(front)), key=lambda i: distances[i], reverse=True)]
    return ordered


def _crowding(front: Sequence[Candidate]) -> list[float]:
    """NSGA-II's crowding distance, without leaving an attribute on the candidates' fitness as DEAP's does.

    Candidates that are equal in every objective share one distance, so that none is favoured by its place.
    """
    points = sorted({one.fitness.wvalues for one in front})
    distance = dict.fromkeys(points, 0.0)
    for objective in range(len(points[0])):
        along = sorted(points, key=lambda point: (point[objective], point))
        span = along[-1][objective] - along[0][objective]
        if span == 0:
            continue
        distance[along[0]] = distance[along[-1]] = float("inf")
        for before, point, after in zip(along, along[1:], along[2:], strict=False):
            distance[point] += (after[objective] - before[objective]) / span
    return [distance[one.fitness.wvalues] for one in front]
