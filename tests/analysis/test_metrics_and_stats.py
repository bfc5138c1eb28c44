"""Metrics against brute force; intervals against simulation."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Candidate, Grade, Verdict
from evolve_llm.analysis.metrics import GenerationMetrics, mean, measure
from evolve_llm.analysis.stats import mean_interval
from evolve_llm.nouns.candidate import Status
from evolve_llm.testing import populations


def graded(population: list[Candidate], grades: dict[str | None, Grade]) -> dict[str, Verdict]:
    return {one.uid: Verdict(grades[one.answer], "test") for one in population if not one.failed}


GRADES = st.fixed_dictionaries(
    {answer: st.sampled_from((Grade.CORRECT, Grade.INCORRECT)) for answer in (None, "4", "5", "6")}
)


@settings(max_examples=200)
@given(population=populations(failed=True, max_size=7), grades=GRADES)
def test_metrics_are_what_counting_gives(
    population: list[Candidate], grades: dict[str | None, Grade]
) -> None:
    grades[None] = Grade.INCORRECT
    found = measure(population, graded(population, grades))
    live = [one for one in population if not one.failed]
    right = [grades[one.answer] is Grade.CORRECT for one in live]
    assert found.size == len(population)
    assert found.failed == len(population) - len(live)
    assert found.truncated == sum(one.status is Status.TRUNCATED for one in population)
    assert found.distinct == len({one.answer for one in live} - {None})
    assert found.ungraded == 0
    if not live:
        assert (found.pass_1, found.pass_n, found.majority) == (None, None, None)
        return
    assert found.pass_1 == pytest.approx(sum(right) / len(right))
    assert found.pass_n == float(any(right))
    assert found.majority == pytest.approx(brute_majority(live, grades))


def brute_majority(live: list[Candidate], grades: dict[str | None, Grade]) -> float:
    """Break the tie in every way there is, by giving one more vote to one of the winners in turn."""
    votes = [one.answer for one in live if one.answer is not None]
    if not votes:
        return 0.0
    outcomes = [
        grades[extra] is Grade.CORRECT
        for extra in sorted(set(votes))
        if all(votes.count(extra) >= votes.count(other) for other in votes)
    ]
    return sum(outcomes) / len(outcomes)


def test_the_ungraded_are_counted_and_never_read_as_wrong() -> None:
    population = [
        Candidate("p", 0, slot, "sample", answer=a, answer_class=a) for slot, a in enumerate("4556")
    ]
    grades: dict[str | None, Grade] = {"4": Grade.CORRECT, "5": Grade.UNGRADED, "6": Grade.INCORRECT}
    found = measure(population, graded(population, grades))
    assert (found.pass_1, found.pass_n, found.ungraded) == (0.5, 1.0, 2)
    nothing = measure(population, graded(population, dict.fromkeys(grades, Grade.UNGRADED)))
    assert (nothing.pass_1, nothing.pass_n, nothing.majority, nothing.ungraded) == (None, None, None, 4)


def test_rates_of_a_generation_are_means_over_problems_and_not_over_chains() -> None:
    rows = GenerationMetrics(0)
    for answers in ("4", "5555"):
        population = [Candidate("p", 0, i, "sample", answer=a, answer_class=a) for i, a in enumerate(answers)]
        rows.add(measure(population, graded(population, {"4": Grade.CORRECT, "5": Grade.INCORRECT})))
    assert rows.plain()["pass@1"] == 0.5
    assert rows.plain()["candidates"] == 5
    assert GenerationMetrics(0).plain()["pass@1"] is None
    assert mean([]) is None


@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_an_interval_holds_its_mean_and_stays_in_range(values: list[float]) -> None:
    found = mean_interval(values)
    assert found is not None
    low, high = found
    assert 0.0 <= low <= math.fsum(values) / len(values) + 1e-9
    assert math.fsum(values) / len(values) - 1e-9 <= high <= 1.0


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_problem_is_no_sample(values: list[float]) -> None:
    assert mean_interval(values) is None


@pytest.mark.parametrize("agreed", [0.0, 1.0])
def test_agreement_is_not_certainty(agreed: float) -> None:
    low, high = mean_interval([agreed] * 10) or (0.0, 0.0)
    assert high - low > 0.1
    assert low <= agreed <= high


@pytest.mark.parametrize(("n", "levels"), [(30, 4), (60, 16)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(n: int, levels: int) -> None:
    rng = random.Random(n)
    truth = sum(k / levels for k in range(levels + 1)) / (levels + 1)
    covered = 0
    for _ in range(400):
        low, high = mean_interval([rng.randint(0, levels) / levels for _ in range(n)]) or (0.0, 0.0)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_more_problems_and_less_confidence_narrow_an_interval() -> None:
    few = [0.0, 1.0, 0.5, 0.5] * 3
    widths = [
        high - low
        for low, high in (
            mean_interval(few, 0.99) or (0.0, 0.0), mean_interval(few) or (0.0, 0.0),
            mean_interval(few * 4) or (0.0, 0.0), mean_interval(few * 4, 0.5) or (0.0, 0.0),
        )
    ]  # fmt: skip
    assert all(wide > narrow for wide, narrow in itertools.pairwise(widths))


@given(population=populations(failed=True, max_size=7), grades=GRADES)
def test_pass_2_is_the_mean_over_all_ways_to_break_ties(
    population: list[Candidate], grades: dict[str | None, Grade]
) -> None:
    found = measure(population, graded(population, grades)).pass_2
    live = [one for one in population if not one.failed]
    votes = Counter(one.answer_class for one in live if one.answer_class is not None)
    if not live:
        assert found is None
        return
    orders = [
        order
        for order in itertools.permutations(votes)
        if [votes[one] for one in order] == sorted(votes.values(), reverse=True)
    ]
    solved = [any(grades[one] is Grade.CORRECT for one in order[:2]) for order in orders]
    assert found == pytest.approx(sum(solved) / len(solved))
