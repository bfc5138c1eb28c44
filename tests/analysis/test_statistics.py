"""Intervals, tests and power do what their names promise: against simulation, by fixed seeds with wide margins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evolve_llm.analysis.stats import (
    bootstrap_interval,
    detectable_difference,
    differing,
    holm,
    mean_interval,
    problems_needed,
    sign_flip_test,
    standard_deviation,
)

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def differences(rng: np.random.Generator, n: int, gain: float) -> list[float]:
    """Per-problem differences of two accuracies over 8 chains each; ``gain`` is their expectation."""
    ability = rng.uniform(0.1, 0.8, n)
    found = rng.binomial(8, ability + gain) / 8 - rng.binomial(8, ability) / 8
    return [float(one) for one in found]


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    intervals = [bootstrap_interval(differences(rng, 25, 0.1), resamples=999, seed=i) for i in range(200)]
    covered = [one[0] <= 0.1 <= one[1] for one in intervals if one is not None]
    assert len(covered) == 200
    assert 0.89 <= sum(covered) / 200 <= 0.995


def test_the_bootstrap_interval_is_a_function_of_values_and_seed() -> None:
    values = differences(np.random.default_rng(2), 12, 0.0)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


@pytest.mark.parametrize("values", [[], [0.4], [0.0] * 9, [0.1 + 0.2, 0.3]])
def test_the_bootstrap_claims_no_certainty_where_nothing_varies(values: list[float]) -> None:
    assert bootstrap_interval(values) is None


def test_the_permutation_test_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(5)
    found = [sign_flip_test(list(rng.normal(size=20)), resamples=499, seed=i) for i in range(200)]
    p_values = [one for one in found if one is not None]
    assert scipy_stats.kstest(p_values, "uniform").pvalue > 0.001
    assert sum(one <= 0.05 for one in p_values) <= 22  # 10 expected; beyond 22 once in 5000


def test_the_permutation_test_is_exact_where_it_can_be() -> None:
    assert sign_flip_test([0.1, 0.2, 0.3]) == 2 / 2**3
    assert sign_flip_test([0.5] * 10) == 2 / 2**10
    assert sign_flip_test([0.5] * 10 + [0.0] * 100) == 2 / 2**10
    assert sign_flip_test([-0.5] * 10) == 2 / 2**10


def test_the_permutation_test_at_its_edges() -> None:
    assert sign_flip_test([]) is None
    assert sign_flip_test([0.0] * 5) == 1.0
    assert sign_flip_test([0.7]) == 1.0
    many = sign_flip_test([0.5] * 40)
    assert many is not None
    assert 0 < many < 0.001


@given(values=st.lists(st.integers(-4, 4).map(lambda one: one / 4), min_size=1, max_size=9))
def test_the_permutation_test_does_not_know_which_run_is_called_the_baseline(values: list[float]) -> None:
    p = sign_flip_test(values)
    assert p is not None
    assert 0 < p <= 1
    assert p == sign_flip_test([-one for one in values])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [0.03, 0.06, 0.06, 0.02]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(p_values=P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in ranked] == sorted(adjusted)


def test_holm_makes_few_false_rejections_where_no_correction_makes_many() -> None:
    rng = np.random.default_rng(6)
    families = rng.uniform(size=(1000, 5))
    raw = np.mean([min(one) <= 0.05 for one in families])
    corrected = np.mean([min(holm([float(p) for p in one])) <= 0.05 for one in families])
    assert raw > 0.15
    assert corrected < 0.08


@pytest.mark.parametrize(
    ("difference", "needed", "most"), [(0.05, 134, 0.9), (0.1, 40, 0.9), (0.15, 22, 0.96)]
)
def test_the_needed_problems_find_the_difference_as_often_as_promised(
    difference: float, needed: int, most: float
) -> None:
    """By the sign-flip test itself, which takes the spread around 0; with few problems the promise is careful."""
    rng = np.random.default_rng(8)
    n = problems_needed(0.2, difference)
    assert n == needed
    samples = rng.normal(difference, 0.2, size=(400, n))
    p_values = [sign_flip_test(one.tolist(), resamples=999) for one in samples]
    assert 0.75 <= np.mean([p is not None and p < 0.05 for p in p_values]) <= most


@given(spread=st.floats(0.01, 1), difference=st.floats(0.005, 0.5))
def test_needed_and_detectable_are_each_other_turned_round(spread: float, difference: float) -> None:
    n = problems_needed(spread, difference)
    assert n is not None
    seen, fewer = detectable_difference(spread, n), detectable_difference(spread, n - 1)
    assert seen is not None
    assert seen <= difference * (1 + 1e-6)
    assert fewer is None or fewer >= difference * (1 - 1e-6)


def test_what_is_0_up_to_rounding_does_not_differ() -> None:
    assert differing([0.1 + 0.2 - 0.3, 0.0, -0.25, 1.0]) == 2
    assert differing([]) == 0


def test_power_at_its_edges() -> None:
    assert problems_needed(0.0, 0.02) is None
    assert detectable_difference(0.0, 10) is None
    assert detectable_difference(0.3, 1) is None
    with pytest.raises(ValueError, match="positive"):
        problems_needed(0.3, 0.0)


@pytest.mark.parametrize(("alpha", "most"), [(0.05, 7), (0.01, 11)])
def test_so_few_problems_promise_nothing_however_large_the_difference(alpha: float, most: int) -> None:
    assert detectable_difference(0.1, most, alpha=alpha) is None
    assert detectable_difference(0.1, most + 1, alpha=alpha) is not None
    assert problems_needed(0.1, 1e9, alpha=alpha) == most + 1


@given(values=st.lists(st.floats(0, 1), max_size=20))
def test_an_interval_of_a_mean_lies_in_the_unit_and_holds_the_mean(values: list[float]) -> None:
    found = mean_interval(values)
    if len(values) < 2:
        assert found is None
        return
    assert found is not None
    assert 0 <= found[0] <= found[1] <= 1
    if standard_deviation(values) > 1e-6:
        assert found[0] - 1e-9 <= math.fsum(values) / len(values) <= found[1] + 1e-9
