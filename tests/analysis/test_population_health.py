"""Each number of population health: its value on populations counted by hand, its bounds on all others."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import generation, member, run_of

from evolve_llm.analysis.health import (
    answer_entropy,
    class_share,
    effective_parents,
    population_health,
    repeated_parents,
    selection_intensity,
    takeover_time,
    winning_class,
)
from evolve_llm.nouns.candidate import fitness_class

LETTERS = st.text("abcd-!", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("answers", "bits"),
    [
        ("aaaa", 0.0),
        ("aabb", 1.0),
        ("abcd", 2.0),
        ("aaab", 0.8112781),
        ("ab--!", 1.0),
        ("--!!", None),
        ("a", 0.0),
    ],
)
def test_answer_entropy(answers: str, bits: float | None) -> None:
    assert answer_entropy(generation(0, answers).members) == (bits if bits is None else pytest.approx(bits))


@given(answers=LETTERS)
def test_entropy_lies_between_agreement_and_all_different(answers: str) -> None:
    members = generation(0, answers).members
    entropy, classes = answer_entropy(members), {one for one in answers if one not in "-!"}
    assert (entropy is None) == (not classes)
    if entropy is not None:
        assert 0 <= entropy <= math.log2(len(classes)) + 1e-9
        assert (entropy < 1e-9) == (len(classes) == 1)


def test_a_winner_is_a_plurality_and_a_tie_has_none() -> None:
    assert winning_class(generation(0, "aab-!").members) == "a"
    assert winning_class(generation(0, "aabb").members) is None
    assert winning_class(generation(0, "--!").members) is None
    assert class_share(generation(0, "aab-!").members, "a") == 0.5  # the failed one has no say
    assert class_share(generation(0, "!!").members, "a") is None


def test_takeover_is_the_first_generation_in_which_the_final_winner_holds_enough() -> None:
    history = [generation(i, one).members for i, one in enumerate(["abbb", "aabb", "aaab", "aaaa", "aaaa"])]
    assert takeover_time(history) == 3
    assert takeover_time(history, 0.5) == 1
    assert takeover_time(history, 0.75) == 2
    assert takeover_time(history[:3]) is None
    assert takeover_time([]) is None
    assert takeover_time([generation(0, "aaaa").members, generation(1, "aabb").members]) is None


def test_effective_parents() -> None:
    balanced = [member(f"1.{i}", parents=f"0.{i} 0.{(i + 1) % 4}") for i in range(4)]
    assert effective_parents(balanced) == pytest.approx(4)
    assert effective_parents([member("1.0", parents="0.2 0.2 0.2")]) == 1
    assert effective_parents([member("1.0", parents="0.0 0.0 0.0 0.1")]) == pytest.approx(
        1 / (0.75**2 + 0.25**2)
    )
    assert effective_parents([member("0.0")]) is None


def test_effective_parents_of_uniform_choice_are_what_the_formula_says() -> None:
    rng, n, k = random.Random(1), 16, 4
    found = []
    for _ in range(300):
        groups = [" ".join(f"0.{one}" for one in rng.sample(range(n), k)) for _ in range(n)]
        found.append(
            effective_parents([member(f"1.{slot}", parents=group) for slot, group in enumerate(groups)])
        )
    assert sum(one or 0 for one in found) / 300 == pytest.approx(n * k / (k + 1 - k / n), rel=0.03)


def test_repeated_parents() -> None:
    children = [
        member("1.0", parents="0.0 0.1"),
        member("1.1", parents="0.1 0.1"),
        member("1.2", parents="0.3"),
    ]
    assert repeated_parents(children) == 0.5
    assert repeated_parents(children[2:]) is None


def test_selection_intensity() -> None:
    before = generation(0, "abcd", fitness=[0.0, 1.0, 2.0, 3.0])
    spread = math.sqrt(1.25)
    best = [member("1.0", parents="0.3"), member("1.1", parents="0.3")]
    assert selection_intensity(best, before) == pytest.approx(1.5 / spread)
    everyone = [member("1.0", parents="0.0 0.1 0.2 0.3")]
    assert selection_intensity(everyone, before) == pytest.approx(0)
    assert selection_intensity(best, generation(0, "abcd")) is None
    assert selection_intensity(best, generation(0, "abcd", fitness=[1.0] * 4)) is None
    assert selection_intensity([member("1.0")], before) is None


def test_a_fitness_to_be_minimised_is_turned_round() -> None:
    before = generation(0, "abcd", fitness=[0.0, 1.0, 2.0, 3.0])
    for one in before.members:
        one.fitness = fitness_class((-1.0,))()
    chosen = [member("1.0", parents="0.0")]
    assert (selection_intensity(chosen, before) or 0) > 1


@pytest.mark.parametrize(
    ("before", "after", "minority", "lost"),
    [
        ("abbb", "bbbb", True, True),
        ("abbb", "abbb", True, False),
        ("aabb", "bbbb", True, True),
        ("aaab", "bbbb", False, False),  # that was no minority
        ("bbbb", "bbbb", False, False),
        ("abbb", "!!!!", True, False),  # nothing is graded: not known to be lost
    ],
)
def test_a_minority_is_lost_when_nobody_is_right_any_more(
    before: str, after: str, minority: bool, lost: bool
) -> None:
    found = population_health([generation(0, before, "a"), generation(1, after, "a")], [], ended=True)[1]
    assert (found.minority, found.lost) == (minority, lost)


def test_without_a_reference_no_minority_is_lost() -> None:
    found = population_health([generation(0, "abbb"), generation(1, "bbbb")], [], ended=True)[1]
    assert (found.minority, found.lost) == (False, False)


@given(history=st.lists(LETTERS, min_size=1, max_size=5), ended=st.booleans())
def test_any_history_has_a_health(history: list[str], ended: bool) -> None:
    populations = [generation(i, one, "a") for i, one in enumerate(history)]
    found = population_health(populations, [], ended=ended)
    assert len(found) == len(history)
    assert ended or all(one.winner_share is None for one in found)
    assert all(one.minority or not one.lost for one in found)


def test_the_last_chain_of_a_finish_operator_is_no_child() -> None:
    born = [member("1.0", parents="0.0 0.0"), member("1.4", parents="1.0 1.1")]
    found = population_health([generation(0, "abcd"), generation(1, "abcd")], born, ended=True)[1]
    assert found.repeated_parents == 1
    assert found.effective_parents == 1


def test_a_run_reports_its_health(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", select="tournament", evaluate="agreement")
    rows = run.plain()["generations"]
    assert rows[0]["effective_parents"] is None
    assert rows[0]["selection_intensity"] is None
    for row in rows[1:]:
        assert 1 <= row["effective_parents"] <= 6
        assert row["repeated_parents"] == 0
        assert 0 <= row["entropy"] <= math.log2(6)
        assert 0 <= row["lost_minorities"] <= row["minorities"] <= 6
    assert max(row["selection_intensity"] or 0 for row in rows[1:]) > 0.2
    assert [row["taken_over"] for row in rows] == sorted(row["taken_over"] for row in rows)
    assert all(row["taken_over"] <= row["half_taken_over"] <= 6 for row in rows)
    assert rows[0]["cached_share"] == 0


def test_fitness_is_taken_as_it_was_when_parents_were_chosen(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", evaluate="agreement", select="tournament", replace="plus", problems=3)
    changed = 0
    for _, populations in run.populations(texts=False):
        for one, following in pairwise(populations):
            assert set(one.fitness) == {each.uid for each in one.members}
            changed += any(
                one.fitness[uid] != following.fitness.get(uid, one.fitness[uid]) for uid in one.fitness
            )
        for one in populations[-1].members:
            assert one.fitness.values == tuple(populations[-1].fitness[one.uid])
    assert changed  # a survivor's agreement is not what it was
