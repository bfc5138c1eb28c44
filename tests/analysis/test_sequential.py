"""A confidence sequence holds the mean at every look, narrows, and is the same turned round."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.analysis.sequential import GRID, capital, confidence_sequence, running_sequence

Values = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=40)
STEP = 2 / GRID


@given(st.floats(0.05, 0.95), st.floats(0, 1))
def test_on_average_nobody_gains_by_betting_against_the_true_mean(mean: float, between: float) -> None:
    """All 243 courses of five values of 0, 1 or the mean itself; between is how often the last comes."""
    chances = {1.0: (1 - between) * mean, 0.0: (1 - between) * (1 - mean), mean: between}
    courses = list(itertools.product(chances, repeat=5))
    weights = np.array([[chances[one] for one in course] for course in courses]).prod(axis=1)
    expected = weights @ capital(np.array(courses), mean)
    assert expected == pytest.approx(np.ones(5))


@given(Values)
def test_it_lies_within_the_bounds_and_only_narrows(values: list[float]) -> None:
    found = running_sequence(values)
    assert len(found) == len(values)
    assert all(-1 <= low <= high <= 1 for low, high in found)
    assert all(a[0] <= b[0] and b[1] <= a[1] for a, b in itertools.pairwise(found))


@given(Values)
def test_the_differences_turned_round_give_the_interval_turned_round(values: list[float]) -> None:
    low, high = running_sequence(values)[-1]
    turned = running_sequence([-one for one in values])[-1]
    assert turned == pytest.approx((-high, -low), abs=1.01 * STEP)


@given(Values)
def test_the_last_interval_is_the_same_when_it_alone_is_asked_for(values: list[float]) -> None:
    assert confidence_sequence(values) == running_sequence(values)[-1]


def test_values_that_drift_leave_the_last_interval_that_held_a_mean() -> None:
    values = [1.0] * 100 + [-1.0] * 300
    found = running_sequence(values)
    assert all(a[0] <= b[0] <= b[1] <= a[1] for a, b in itertools.pairwise(found))
    assert found[-1] == found[-100] == confidence_sequence(values)


@given(Values, st.lists(st.floats(-1, 1, allow_nan=False), max_size=10))
def test_what_comes_later_does_not_change_what_was_seen(values: list[float], more: list[float]) -> None:
    assert running_sequence(values + more)[: len(values)] == running_sequence(values)


@pytest.mark.parametrize("value", [-1.0, -0.25, 0.0, 0.7, 1.0])
def test_a_constant_is_held_and_found(value: float) -> None:
    low, high = confidence_sequence([value] * 400) or (2, -2)
    assert low <= value <= high
    assert high - low < 0.1


@pytest.mark.parametrize("probabilities", [(0.15, 0.05), (0.02, 0.0), (0.45, 0.45)])
def test_it_misses_the_mean_at_any_look_in_at_most_five_of_a_hundred(
    probabilities: tuple[float, float],
) -> None:
    gained, lost = probabilities
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        draws = rng.random(120)
        values = np.where(draws < gained, 1.0, np.where(draws > 1 - lost, -1.0, 0.0))
        low, high = confidence_sequence(values.tolist()) or (2, -2)  # within all those before it
        missed += not low <= gained - lost <= high
    assert missed <= 15  # 5 % of 300


def test_a_level_of_its_own_is_wider() -> None:
    values = [0.5, 0.0, 0.0, 1.0, -0.5] * 20
    (low, high), (lower, higher) = (confidence_sequence(values, alpha=a) or (0, 0) for a in (0.05, 0.005))
    assert lower < low < high < higher


def test_another_scale_gives_the_same_on_that_scale() -> None:
    values = np.random.default_rng(3).choice([0.0, 0.25, 1.0], 50).tolist()
    low, high = confidence_sequence(values, lower=0, upper=1) or (0, 0)
    turned = confidence_sequence([2 * one - 1 for one in values])
    assert turned == pytest.approx((2 * low - 1, 2 * high - 1), abs=1.01 * STEP)


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([1.5], {}, "between -1.0 and 1.0"),
        ([float("nan")], {}, "between"),
        ([0.5], {"alpha": 0.0}, "alpha"),
        ([0.5], {"lower": 1.0}, "lower"),
    ],
)
def test_what_cannot_be_is_refused(values: list[float], options: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        running_sequence(values, **options)


def test_nothing_gives_nothing() -> None:
    assert confidence_sequence([]) is None
