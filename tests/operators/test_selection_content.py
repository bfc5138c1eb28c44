"""Selection by answers."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest
from evolve_llm_operators.content import assorted, diverse
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import assert_uniform, groups_of, population, state

from evolve_llm.nouns.errors import OperatorError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.testing import seeds

both = pytest.mark.parametrize("select", [diverse, assorted])
answers = st.lists(st.sampled_from(("4", "5", "6", None)), min_size=1, max_size=9)


@both
@given(given_answers=answers, data=st.data(), seed=seeds(), outer=st.integers(0, 99))
def test_different_members_from_the_seed_alone_and_nothing_changed(
    select: object, given_answers: list[str | None], data: st.DataObject, seed: int, outer: int
) -> None:
    members = population(answers=given_answers)
    sizes = data.draw(st.lists(st.integers(0, len(members)), max_size=5))
    before = [state(one) for one in members]
    random.seed(outer)
    outside = random.getstate()
    groups = groups_of(select, members, sizes, seed)  # type: ignore[arg-type]
    assert random.getstate() == outside
    assert [len(group) for group in groups] == sizes
    assert all(len({id(one) for one in group}) == len(group) for group in groups)
    assert [state(one) for one in members] == before
    random.seed(outer + 1)
    again = groups_of(select, members, sizes, seed)  # type: ignore[arg-type]
    assert [[one.slot for one in group] for group in again] == [
        [one.slot for one in group] for group in groups
    ]


@both
def test_without_differing_answers_it_is_uniform(select: object) -> None:
    for same in (["4"] * 5, [None] * 5):
        members = population(answers=same)
        draws = (
            tuple(one.slot for one in groups_of(select, members, [2], seed)[0])  # type: ignore[arg-type]
            for seed in range(3000)
        )
        assert_uniform(draws, outcomes=20)


@both
def test_more_parents_than_members_are_an_error(select: object) -> None:
    members = population(answers=["4", "5"])
    with pytest.raises(OperatorError, match="asked for 3 of 2"):
        groups_of(select, members, [3], 0)  # type: ignore[arg-type]
    with (
        rng_scope(0),
        pytest.raises(ValueError, match="3 different parents were asked for, but there are only 2"),
    ):
        select(members, 3)  # type: ignore[operator]


@given(given_answers=answers, data=st.data(), seed=seeds())
def test_diverse_parents_differ_as_far_as_answers_do(
    given_answers: list[str | None], data: st.DataObject, seed: int
) -> None:
    members = population(answers=given_answers)
    k = data.draw(st.integers(1, len(members)))
    chosen = Counter(one.answer_class for one in groups_of(diverse, members, [k], seed)[0])
    there = Counter(given_answers)
    silent, answered = chosen.pop(None, 0), there.total() - there.pop(None, 0)
    assert silent == max(0, k - answered)  # no answer is the last resort
    full = [answer for answer in there if chosen[answer] < there[answer]]  # has members left
    for answer in there:
        assert all(chosen[answer] <= chosen[other] + 1 for other in full)


def test_diverse_draws_classes_uniformly_and_then_members() -> None:
    members = population(answers=["4", "4", "4", "5", "6", "6"])
    draws = [groups_of(diverse, members, [1], seed)[0][0] for seed in range(3000)]
    assert_uniform((one.answer_class for one in draws), outcomes=3)
    assert_uniform((one.slot for one in draws if one.answer_class == "4"), outcomes=3)


def test_diverse_parents_stand_in_random_order() -> None:
    members = population(answers=["4", "4", "5", None])
    draws = (
        tuple(str(one.answer_class) for one in groups_of(diverse, members, [4], seed)[0])
        for seed in range(2400)
    )
    assert_uniform(draws, outcomes=12)


def test_assorted_is_uniform_over_the_subsets_with_a_minority_answer() -> None:
    members = population(answers=["4", "4", "4", "5", None, "6"])
    allowed = {frozenset(s) for s in combinations(range(6), 3) if {3, 5} & set(s)}
    draws = [
        frozenset(one.slot for one in groups_of(assorted, members, [3], seed)[0]) for seed in range(4000)
    ]
    assert set(draws) == allowed
    assert_uniform(draws, outcomes=len(allowed))


def test_of_classes_tied_for_largest_one_is_drawn() -> None:
    members = population(answers=["4", "4", "5", "5"])
    draws = (groups_of(assorted, members, [1], seed)[0][0].slot for seed in range(2000))
    assert_uniform(draws, outcomes=4)


@given(given_answers=answers, data=st.data(), seed=seeds())
def test_assorted_holds_an_answer_outside_some_largest_class(
    given_answers: list[str | None], data: st.DataObject, seed: int
) -> None:
    members = population(answers=given_answers)
    k = data.draw(st.integers(1, len(members)))
    votes = Counter(answer for answer in given_answers if answer is not None)
    if len(votes) < 2:
        return
    largest = [answer for answer in votes if votes[answer] == max(votes.values())]
    chosen = {one.answer_class for one in groups_of(assorted, members, [k], seed)[0]} - {None}
    assert any(chosen - {answer} for answer in largest)


def test_assorted_counts_exactly_in_a_population_too_large_for_floats() -> None:
    members = population(answers=["4"] * 1999 + ["5"])
    group = groups_of(assorted, members, [900], 1)[0]
    assert any(one.answer_class == "5" for one in group)
