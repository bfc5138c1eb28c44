"""DeltaPenalty for fitnesses that measure a population: DEAP's formula, and the model is not asked in vain."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deap import tools
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Candidate, OperatorError, Problem, UserError, delta_penalty, evolve
from evolve_llm.nouns.candidate import fitness_class
from evolve_llm.scheme.decorators import evaluation
from evolve_llm.testing import run_directory

PROBLEM = Problem("p", "What is 2 + 2?", "boxed", "exact", "4")
NUMBER = st.integers(-50, 50).map(float)
PAIR = st.tuples(NUMBER, NUMBER)


@given(
    weights=st.lists(st.sampled_from([1.0, -1.0]), min_size=2, max_size=2),
    delta=NUMBER | PAIR,
    far=st.none() | NUMBER | PAIR,
    valid=st.lists(st.booleans(), max_size=6),
)
def test_it_gives_what_deap_gives(weights: list[float], delta: Any, far: Any, valid: list[bool]) -> None:
    people = [Candidate("p", 0, slot, "made") for slot in range(len(valid))]
    for one in people:
        one.fitness = fitness_class(weights)()
    feasible = {one.uid for one, ok in zip(people, valid, strict=True) if ok}
    distance = None if far is None else lambda one: far
    asked: list[str] = []

    @evaluation(weights=weights, oracle=False)
    async def own(problem: Problem, candidates: Any, ask: Any) -> Any:
        asked.extend(one.uid for one in candidates)
        return [(float(one.slot), 1.0) for one in candidates]

    theirs = tools.DeltaPenalty(lambda one: one.uid in feasible, delta, distance)(
        lambda one: (float(one.slot), 1.0)
    )
    ours = delta_penalty(lambda one: one.uid in feasible, delta, distance)(own)
    assert asyncio.run(ours(PROBLEM, people, None)) == [theirs(one) for one in people]
    assert set(asked) == feasible


@pytest.mark.parametrize("decorated", [True, False], ids=["decorate", "evaluate="])
def test_a_run_keeps_the_weights_and_penalises(decorated: bool) -> None:
    from evolve_llm_operators.fitness import length

    penalty = delta_penalty(lambda one: one.slot % 2 == 0, 1e6, lambda one: one.slot)
    options: dict[str, Any] = (
        {"evaluate": "length", "customize": lambda box: box.decorate("evaluate", penalty)}
        if decorated
        else {"evaluate": penalty(length)}
    )
    with run_directory() as out:
        run = evolve([PROBLEM], "smoke", "scripted", out=out, select="tournament", **options)
        for one in run.population("p"):
            (value,) = one.fitness.values
            assert one.fitness.weights == (-1.0,)
            assert value == 1e6 + one.slot if one.slot % 2 else value < 1e5


@pytest.mark.parametrize("delta", [float("nan"), float("inf"), (), (1.0, float("-inf"))])
def test_a_delta_that_is_no_number_is_refused_at_once(delta: Any) -> None:
    with pytest.raises(UserError, match="delta_penalty: delta must be a finite number"):
        delta_penalty(lambda one: True, delta)


@pytest.mark.parametrize(
    ("penalty", "said"),
    [
        (delta_penalty(lambda one: False, (1.0, 2.0)), "delta has 2 values and the fitness 1"),
        (
            delta_penalty(lambda one: False, 1.0, lambda one: (1.0, 2.0)),
            "a distance has 2 values and the fitness 1",
        ),
        (delta_penalty(lambda one: one.no_such_field, 1.0), "no_such_field"),
    ],
)
def test_what_does_not_fit_the_fitness_says_so(penalty: Any, said: str) -> None:
    from evolve_llm_operators.fitness import length

    with run_directory() as out, pytest.raises((UserError, OperatorError), match=said):
        evolve([PROBLEM], "smoke", "scripted", out=out, evaluate=penalty(length))
