"""DEAP's DeltaPenalty for a fitness that measures a whole population at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.declarations import measures

Distance = Callable[[Candidate], float | Sequence[float]]


def delta_penalty(
    feasibility: Callable[[Candidate], bool],
    delta: float | Sequence[float],
    distance: Distance | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a fitness so that a candidate that breaks a constraint gets ``delta - weight * distance`` instead.

    The fitness is given the feasible candidates alone: no model is asked about the others, and a fitness such as
    ``agreement`` counts among the feasible ones. For ``evolve(evaluate=delta_penalty(…)(agreement))`` or
    ``toolbox.decorate("evaluate", delta_penalty(…))``.

    Args:
        feasibility: whether a candidate keeps the constraint.
        delta: the value of a candidate that does not, one for all objectives or one for each; worse than any value
            the fitness can give.
        distance: how far the candidate is from keeping it, at least 0; one number, or one for each objective.

    Raises:
        UserError: where ``delta`` is not finite; in a run, where ``delta`` or a distance has another number of values
            than the fitness.

    Source: DEAP's ``tools.DeltaPenalty``, whose arguments these are.
    """
    deltas = delta if isinstance(delta, Sequence) else (delta,)
    if not deltas or not all(math.isfinite(value) for value in deltas):
        raise UserError(
            f"delta_penalty: delta must be a finite number, or one for each objective, got {delta!r}"
        )

    def decorate(evaluate: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(evaluate)
        async def penalised(
            problem: Problem, candidates: Sequence[Candidate], ask: Any, **options: Any
        ) -> list[tuple[float, ...]]:
            feasible = [one for one in candidates if feasibility(one)]
            measured: Mapping[str, tuple[float, ...]] = {}
            if feasible:
                values = await evaluate(problem, feasible, ask, **options)
                measured = {one.uid: value for one, value in zip(feasible, values, strict=True)}
            weights = measures(functools.partial(evaluate, **options)).weights
            return [
                measured[one.uid] if one.uid in measured else _penalty(one, weights, delta, distance)
                for one in candidates
            ]

        return penalised

    return decorate


def _penalty(
    one: Candidate, weights: Sequence[float], delta: float | Sequence[float], distance: Distance | None
) -> tuple[float, ...]:
    far = 0.0 if distance is None else distance(one)
    each = zip(_spread(delta, weights, "delta"), weights, _spread(far, weights, "a distance"), strict=True)
    return tuple(value - weight * away for value, weight, away in each)


def _spread(given: float | Sequence[float], weights: Sequence[float], name: str) -> Sequence[float]:
    if not isinstance(given, Sequence):
        return [given] * len(weights)
    if len(given) != len(weights):
        raise UserError(
            f"delta_penalty: {name} has {len(given)} values and the fitness {len(weights)}: {given!r}"
        )
    return given
