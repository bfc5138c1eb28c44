"""Finish operators: who gives the answer."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from evolve_llm_operators.finish import (
    best,
    final_aggregate,
    majority,
    random_member,
    two_best,
    weighted_majority,
)
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Candidate, Problem, UserError, evolve
from evolve_llm.analysis.attempts import further_attempts
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import fitness_class
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.declarations import Finishing, declaration
from evolve_llm.scheme.operator import Final
from evolve_llm.testing import Behaviour, Ledger, contents, populations, run_directory

PROBLEM = Problem("p", "What is 2 + 2?", "boxed", "exact", "4")


def voter(slot: int, answer: str | None, *values: float, weights: tuple[float, ...] = (1.0,)) -> Candidate:
    one = Candidate("p", 0, slot, "sample", f"chain {slot}", answer, answer)
    if values:
        one.fitness = fitness_class(weights)()
        one.fitness.assign(values)
    return one


@pytest.mark.parametrize(
    "finish", [random_member, majority, two_best, weighted_majority, best, final_aggregate]
)
@given(population=populations(), seed=st.integers(0, 99))
def test_the_answer_is_a_member_and_drawn_from_the_seed_alone(
    finish: object, population: list[Candidate], seed: int
) -> None:
    before = list(population)
    found = []
    for _ in range(2):
        with rng_scope(seed):
            answer = finish(PROBLEM, population)  # type: ignore[operator]
        found.append(answer.parents if isinstance(answer, Final) else (answer,))
    assert found[0] == found[1]
    assert all(any(one is member for member in population) for one in found[0])
    assert population == before


@given(population=populations(), seed=st.integers(0, 99))
def test_weighted_majority_has_the_most_fitness_behind_it(population: list[Candidate], seed: int) -> None:
    with rng_scope(seed):
        winner = weighted_majority(PROBLEM, population)
    voters = [one for one in population if one.answer_class is not None]
    lowest = min([0.0, *(one.fitness.wvalues[0] for one in voters)])
    totals: dict[str, float] = {}
    for one in voters:
        assert one.answer_class is not None
        totals[one.answer_class] = totals.get(one.answer_class, 0.0) + one.fitness.wvalues[0] - lowest
    if totals and max(totals.values()) > 0:
        assert winner.answer_class is not None
        assert math.isclose(totals[winner.answer_class], max(totals.values()))
    elif voters:
        counts = Counter(one.answer_class for one in voters)
        assert counts[winner.answer_class] == max(counts.values())


def test_weight_beats_number_and_number_decides_where_nothing_weighs() -> None:
    population = [voter(0, "4", 0.9), voter(1, "5", 0.3), voter(2, "5", 0.3), voter(3, None, 1.0)]
    with rng_scope(0):
        assert weighted_majority(PROBLEM, population).answer == "4"
        assert majority(PROBLEM, population).answer == "5"
        assert (
            weighted_majority(PROBLEM, [voter(0, "4", 0), voter(1, "5", 0), voter(2, "5", 0)]).answer == "5"
        )


def test_a_minimised_objective_weighs_more_when_it_is_less() -> None:
    population = [
        voter(0, "4", 10, weights=(-1.0,)),
        voter(1, "5", 90, weights=(-1.0,)),
        voter(2, "5", 80, weights=(-1.0,)),
    ]
    with rng_scope(0):
        assert weighted_majority(PROBLEM, population).answer == "4"


def test_equal_weights_in_another_order_still_tie() -> None:
    values = [0.1, 0.2, 0.3]
    population = [voter(i, "4", value) for i, value in enumerate(values)]
    population += [voter(3 + i, "5", value) for i, value in enumerate(reversed(values))]
    won = Counter()  # type: Counter[str | None]
    for seed in range(400):
        with rng_scope(seed):
            won[weighted_majority(PROBLEM, population).answer] += 1
    assert min(won["4"], won["5"]) > 150


@pytest.mark.parametrize("finish", [best, majority, weighted_majority])
def test_ties_favour_nobody(finish: object) -> None:
    population = [voter(0, "4", 0.5), voter(1, "5", 0.5), voter(2, "6", 0.5)]
    counts: Counter[str] = Counter()
    for seed in range(900):
        with rng_scope(seed):
            counts[finish(PROBLEM, population).uid] += 1  # type: ignore[operator]
    assert len(counts) == 3
    assert min(counts.values()) > 230


@given(population=populations(), k=st.integers(1, 6), seed=st.integers(0, 99))
def test_final_aggregate_shows_different_members_in_its_order(
    population: list[Candidate], k: int, seed: int
) -> None:
    for one in population:
        one.text = f"the chain of {one.uid}."
    with rng_scope(seed):
        final = final_aggregate(PROBLEM, population, parents=k)
    assert len({one.uid for one in final.parents}) == len(final.parents) == min(k, len(population))
    text = final.prompt.messages[-1].content
    places = [text.index(one.text) for one in final.parents]
    assert places == sorted(places)
    assert not any(one.text in text for one in population if one not in final.parents)


def test_final_aggregate_makes_one_more_call_whose_chain_answers() -> None:
    model = Ledger(Scripted(Behaviour()))
    with run_directory() as out:
        run = evolve([PROBLEM], "smoke", model, out=out, finish={"operator": "final_aggregate", "parents": 2})
        (result,) = run.results()
        assert model.calls == 4 * 3 + 1
        assert result.uid == "2.4"
        last = [row for row in contents(out)["candidates"] if row[1:3] == (2, 4)]
        assert len(last) == 1
    with run_directory() as out, pytest.raises(UserError, match=r"got 9; set finish\.parents"):
        evolve([PROBLEM], "smoke", model, out=out, finish={"operator": "final_aggregate", "parents": 9})


def test_two_best_hands_in_the_two_largest_classes() -> None:
    """The first as majority draws it; the second is the largest of the others, the earliest where they tie."""
    population = [voter(i, answer) for i, answer in enumerate(["7", "5", "4", "4", None, "5", "4", "6"])]
    with rng_scope(0):
        first = two_best(PROBLEM, population)
    assert first.answer == "4"
    assert [one.uid for one in further_attempts(population, first.answer_class, 2)] == ["0.1"]
    assert [one.answer for one in further_attempts(population, "4", 4)] == ["5", "7", "6"]
    assert [one.answer for one in further_attempts(population, "5", 2)] == ["4"]
    assert further_attempts([voter(0, "4"), voter(1, None)], "4", 2) == []
    assert declaration(Finishing, two_best).attempts == 2
    assert declaration(Finishing, majority).attempts == 1


@given(population=populations(), seed=st.integers(0, 99))
def test_attempts_are_different_classes_of_which_none_left_out_is_larger(
    population: list[Candidate], seed: int
) -> None:
    with rng_scope(seed):
        first = two_best(PROBLEM, population)
    found = further_attempts(population, first.answer_class, 2)
    counts = Counter(one.answer_class for one in population if one.answer_class is not None)
    assert len(found) == min(1, max(0, len(counts) - 1))
    for second in found:
        assert second.answer_class != first.answer_class
        assert counts[second.answer_class] == sorted(counts.values())[-2]
