"""Selection by answers."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from itertools import combinations

import pytest
from evolve_llm_operators.content import assorted, assorted_decaying, diverse
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import assert_uniform, groups_of, population, scheme, state

from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.testing import seeds

everlasting = partial(assorted_decaying, quota=1, decay=1)
both = pytest.mark.parametrize(
    "select", [diverse, assorted, everlasting], ids=["diverse", "assorted", "decaying"]
)
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
    given = {"generation": 1} if select is everlasting else {}
    with (
        rng_scope(0),
        pytest.raises(ValueError, match="3 different parents were asked for, but there are only 2"),
    ):
        select(members, 3, **given)  # type: ignore[operator]


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


# ---------------------------------------------------------------- a quota that decays


@given(
    given_answers=answers,
    data=st.data(),
    seed=seeds(),
    quota=st.sampled_from((0, 0.5, 1, 1.5, 3)),
    generation=st.integers(1, 4),
)
def test_a_decaying_quota_is_met_as_far_as_there_are_minority_answers(
    given_answers: list[str | None], data: st.DataObject, seed: int, quota: float, generation: int
) -> None:
    members = population(answers=given_answers)
    k = data.draw(st.integers(1, len(members)))
    select = partial(assorted_decaying, quota=quota, decay=0.5)
    votes = Counter(answer for answer in given_answers if answer is not None)
    largest = [answer for answer in votes if votes[answer] == max(votes.values())]
    minority = votes.total() - max(votes.values(), default=0)
    sure = min(int(quota * 0.5 ** (generation - 1)), minority, k)
    group = groups_of(select, members, [k], seed, generation)[0]
    held = [one.answer_class for one in group if one.answer_class is not None]
    assert not sure or max(sum(one != answer for one in held) for answer in largest) >= sure


def test_without_decay_it_draws_what_assorted_draws_and_at_no_quota_what_is_uniform() -> None:
    members = population(answers=["4", "4", "4", "5", None, "6"])
    allowed = {frozenset(s) for s in combinations(range(6), 3) if {3, 5} & set(s)}
    draws = [
        frozenset(one.slot for one in groups_of(everlasting, members, [3], seed, generation=7)[0])
        for seed in range(4000)
    ]
    assert_uniform(draws, outcomes=len(allowed))
    none = partial(assorted_decaying, quota=0)
    draws = [frozenset(one.slot for one in groups_of(none, members, [3], seed)[0]) for seed in range(4000)]
    assert_uniform(draws, outcomes=20)


def test_the_fraction_of_a_quota_is_the_chance_of_one_more() -> None:
    """One of twelve differs: a group of one holds it always in generation 1, and half the time for sure in 2."""
    members = population(answers=["4"] * 11 + ["5"])
    for generation, chance in ((1, 1.0), (2, 0.5), (3, 0.25)):
        held = sum(
            groups_of(assorted_decaying, members, [1], seed, generation)[0][0].answer_class == "5"
            for seed in range(3000)
        )
        assert held / 3000 == pytest.approx(chance + (1 - chance) / 12, abs=0.04)


@pytest.mark.parametrize("wrong", [{"quota": -1}, {"decay": 1.5}, {"decay": "fast"}])
def test_a_quota_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        scheme({"operator": "assorted_decaying", **wrong})
