"""Bundles of locks: one right answer, steps that can be checked, a split that cannot leak, prompts as trained on."""

import itertools
import random
import warnings
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from evolve_llm_operators.crossover import aggregate
from evolve_llm_operators.mutation import refine, sample
from evolve_llm_problems import locks
from evolve_llm_problems.locks import (
    LAZINESS,
    TURN,
    Lock,
    chain,
    claims,
    faultless,
    grader,
    guesses,
    held_out,
)
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.grading.base import Grade, Grader
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems

LOCK = Lock((5, 0, 3), 7)
digit = st.integers(0, 9)
any_lock = st.builds(Lock, st.tuples(digit, digit, digit), digit)


def test_the_story_of_one_lock() -> None:
    assert locks.question([LOCK]) == "a5037;"
    assert LOCK.turns(5) == (7, 8, 0)  # 2+5, 8+0, 7+3 with the last digit kept
    assert chain([LOCK], [5]) == "a5780."
    assert chain([LOCK], [LOCK.key()]) == "a9527A"


@given(any_lock)
def test_exactly_one_key_opens_a_lock(lock: Lock) -> None:
    assert sorted(TURN) == list(range(10))
    assert [key for key in range(10) if lock.opens(key)] == [lock.key()]


@given(st.lists(any_lock, min_size=1, max_size=6), st.data())
def test_chains_are_read_and_checked(bundle: list[Lock], data: Any) -> None:
    keys = data.draw(st.lists(digit, min_size=len(bundle), max_size=len(bundle)))
    text, asked = chain(bundle, keys), locks.question(bundle)
    assert locks.read_question(asked) == bundle
    assert guesses(text) == "".join(map(str, keys))
    assert faultless(asked, text)
    assert claims(text) == sum(lock.opens(key) for lock, key in zip(bundle, keys, strict=True))
    place = data.draw(st.integers(0, len(text) - 1))
    if place % 6 != 1:  # another guess would need other steps as well, so it cannot stay faultless either
        assert not faultless(asked, text[:place] + "x" + text[place + 1 :])


@given(st.text(max_size=60) | st.text("abc019!.;", max_size=40))
def test_hostile_chains_have_no_answer_or_one_of_digits(text: str) -> None:
    answer = guesses(text)
    assert answer is None or (len(answer) * 6 == len(text) and answer.isdecimal())


@pytest.mark.parametrize(
    "text", ["", "a5780", "b5780.", "a5780Aa5780A", "a5780!", "a5780B", "a5780..", "a٣780."]
)
def test_malformed_chains_have_no_answer(text: str) -> None:
    assert guesses(text) is None


def test_the_split_is_disjoint_and_an_eighth() -> None:
    wheels = list(itertools.product(range(10), repeat=3))
    assert 100 <= sum(map(held_out, wheels)) <= 150
    rng = random.Random(0)
    assert all(held_out(lock.wheels) for lock in locks.draw(rng, 6))
    assert not any(held_out(lock.wheels) for lock in locks.draw(rng, 6, "train"))


def test_the_hint_is_right_as_often_as_said() -> None:
    rng = random.Random(1)
    drawn = [lock for _ in range(400) for lock in locks.draw(rng, 6)]
    lazy = sum(lock.key() == lock.wheels[0] for lock in drawn) / len(drawn)
    assert abs(lazy - LAZINESS) < 0.04
    others = Counter((lock.key() - lock.wheels[0]) % 10 for lock in drawn)
    assert set(others) == set(range(10))


def test_problems_are_the_same_for_any_size_and_never_repeat() -> None:
    few, many = list(locks.load(size=5, seed=3)), list(locks.load(size=200, seed=3))
    assert many[:5] == few
    assert len({problem.question for problem in many}) == len({problem.id for problem in many}) == 200
    assert [problem.metadata["locks"] for problem in few] == [1, 2, 3, 4, 1]
    for problem in many:
        bundle = locks.read_question(problem.question)
        assert problem.reference == "".join(str(lock.key()) for lock in bundle)
        assert all(held_out(lock.wheels) for lock in bundle)


def test_it_plugs_in() -> None:
    drawn = load_problems("locks?locks=2&size=3&seed=9")
    assert [problem.metadata["locks"] for problem in drawn] == [2, 2, 2]
    for number in (2, "2"):  # --set problems.locks=2 is a number
        assert load_problems("locks?size=3&seed=9", options={"locks": number}) == drawn
    assert isinstance(grader, Grader)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("locks:hard", "takes no argument, got 'hard'"),
        ("locks?size=0", "size must be at least 1"),
        ("locks?locks=0", "numbers from 1 to 6"),
        ("locks?locks=7", "numbers from 1 to 6"),
        ("locks?locks=many", "numbers from 1 to 6"),
        ("locks?split=test", "split"),
        ("locks?locks=1&size=2000", "not 2000 different bundles"),
    ],
)
def test_a_bad_spec_says_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_problems(spec)


def test_a_difficulty_the_fly_was_not_trained_on_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="bundles of 1 to 4 locks, not of 5"):
        list(locks.load(size=1, locks="5"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(locks.load(size=4, locks="1,4"))


@pytest.mark.parametrize(
    ("answer", "grade", "rule", "score"),
    [
        ("59", Grade.CORRECT, "keys", 1.0),
        (" 59 ", Grade.CORRECT, "keys", 1.0),
        ("58", Grade.INCORRECT, "keys", 0.5),
        ("5", Grade.INCORRECT, "not-keys", 0.0),
        ("5９", Grade.INCORRECT, "not-keys", 0.0),
        ("", Grade.INCORRECT, "not-keys", 0.0),
    ],
)
def test_grades(answer: str, grade: Grade, rule: str, score: float) -> None:
    verdict = grader.quick(answer, "59")
    assert (verdict.grade, verdict.rule, verdict.score) == (grade, rule, score)
    assert grader.grade(answer, "59") == verdict


@pytest.mark.parametrize("reference", [None, 59, "", "five", "1234567"])
def test_a_bad_reference_is_not_the_answers_fault(reference: Any) -> None:
    assert grader.quick("59", reference).grade is Grade.UNGRADED


def test_prompts_are_the_strings_the_fly_was_trained_on() -> None:
    problem = next(locks.load(size=1, locks="1", seed=2))
    question = problem.question
    one: Any = SimpleNamespace(text="a5780.")
    two: Any = SimpleNamespace(text="a8123A")

    def text(prompt: Any) -> str:
        (message,) = prompt.messages
        assert message.role == "user"
        return str(message.content)

    assert text(sample(problem)) == f"<{question}>"
    assert text(refine(problem, [one])) == f"<a5780.|{question}>"
    assert text(aggregate(problem, [one])) == text(refine(problem, [one]))
    assert text(aggregate(problem, [one, two])) == f"<a5780.|a8123A|{question}>"


def test_laziness_is_the_share_of_locks_whose_key_is_their_first_wheel() -> None:
    def share(laziness: float) -> float:
        questions = [one.question for one in locks.load(size=400, laziness=laziness)]
        found = [lock for question in questions for lock in locks.read_question(question)]
        return sum(lock.key() == lock.wheels[0] for lock in found) / len(found)

    assert share(0.0) == 0
    assert share(1.0) == 1
    assert abs(share(0.5) - 0.5) < 0.06


def test_another_laziness_makes_other_problems_with_other_ids() -> None:
    usual, harder = list(locks.load(size=8)), list(locks.load(size=8, laziness=0.5))
    assert not {one.id for one in usual} & {one.id for one in harder}
    with pytest.raises(UserError, match="laziness must be between 0 and 1, got 2"):
        locks.load(laziness=2)
