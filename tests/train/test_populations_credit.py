"""The credit of chains: held against the exact gradient of small policies, by going through every outcome."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.train.populations.credit import Chain, Credit, advantages, mean_end, pass_at

THETA = 0.3


def probability(theta: float, parent: float | None) -> float:
    """That a chain is right, of a policy with one parameter; a right parent helps."""
    return 1 / (1 + math.exp(-theta - (0 if parent is None else 1.5 * parent - 0.5)))


def populations_of(outcome: Sequence[int]) -> list[Chain]:
    """Two populations of two chains and two generations: each child reads the chain of the other place."""
    bits = iter(outcome)
    found = []
    for population in (0, 1):
        for generation in (0, 1):
            for slot in (0, 1):
                parents = (f"0.{1 - slot}",) if generation else ()
                found.append(
                    Chain(
                        0,
                        population,
                        f"{generation}.{slot}",
                        generation,
                        parents,
                        float(next(bits)),
                        generation == 1,
                    )
                )
    return found


def chances(chains: Sequence[Chain], theta: float) -> list[float]:
    """How likely each chain was to be right."""
    known = {(one.population, one.uid): one for one in chains}
    return [
        probability(theta, known[one.population, one.parents[0]].value if one.parents else None)
        for one in chains
    ]


def expected_end(theta: float) -> float:
    """The expected sum of the values of the last members of both populations."""
    found = 0.0
    for outcome in itertools.product((0, 1), repeat=8):
        chains = populations_of(outcome)
        chance = math.prod(
            p if one.value else 1 - p for one, p in zip(chains, chances(chains, theta), strict=True)
        )
        found += chance * sum(one.value or 0.0 for one in chains if one.last)
    return found


@pytest.mark.parametrize("credit", ["lineage", "population"])
def test_the_credit_for_the_end_is_an_unbiased_gradient(credit: Credit) -> None:
    estimate = square = 0.0
    for outcome in itertools.product((0, 1), repeat=8):
        chains = populations_of(outcome)
        likely = chances(chains, THETA)
        chance = math.prod(p if one.value else 1 - p for one, p in zip(chains, likely, strict=True))
        scores = [(one.value or 0.0) - p for one, p in zip(chains, likely, strict=True)]
        found = sum(a * b for a, b in zip(advantages(chains, credit, 1), scores, strict=True))
        estimate += chance * found
        square += chance * found**2
    exact = (expected_end(THETA + 1e-5) - expected_end(THETA - 1e-5)) / 2e-5
    assert estimate == pytest.approx(exact, rel=1e-6)
    variance = square - estimate**2
    assert variance == pytest.approx({"lineage": 0.570, "population": 2.402}[credit], abs=1e-3)


@pytest.mark.parametrize(("n", "k"), [(4, 1), (4, 2), (5, 3), (3, 2)])
def test_pass_at_k_is_an_unbiased_gradient(n: int, k: int) -> None:
    p = probability(THETA, None)
    estimate = 0.0
    for outcome in itertools.product((0, 1), repeat=n):
        chance = math.prod(p if one else 1 - p for one in outcome)
        found = pass_at([float(one) for one in outcome], k)
        estimate += chance * sum(a * (one - p) for a, one in zip(found, outcome, strict=True)) / n
    exact = k * (1 - p) ** (k - 1) * p * (1 - p)  # the derivative of 1 - (1 - p)^k
    assert estimate == pytest.approx(exact, rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.integers(1, 7))
def test_pass_at_k_against_every_set(values: list[float], k: int) -> None:
    n = len(values)
    wanted = min(k, n - 1)
    for place, found in enumerate(pass_at(values, k)):
        sets = list(itertools.combinations(range(n), wanted))
        with_it = [max(values[one] for one in some) for some in sets if place in some]
        without = [max(values[one] for one in some) for some in sets if place not in some]
        exact = wanted * (sum(with_it) / len(with_it) - sum(without) / len(without))
        assert found == pytest.approx(exact, abs=1e-9)


def test_a_chain_is_credited_for_its_own_descendants_alone() -> None:
    chains = [
        Chain(0, 0, "0.0", 0, (), 0.0, False),
        Chain(0, 0, "0.1", 0, (), 1.0, False),
        Chain(0, 0, "1.0", 1, ("0.1",), 1.0, True),
        Chain(0, 0, "1.1", 1, ("0.1",), 1.0, True),
        Chain(0, 1, "0.0", 0, (), 0.0, False),
        Chain(0, 1, "1.0", 1, ("0.0",), 0.0, True),
    ]
    assert advantages(chains, "lineage", 1) == [0.0, 2.0, 1.0, 1.0, -1.0, -1.0]
    assert advantages(chains, "population", 1) == [2.0, 2.0, 2.0, 2.0, -1.0, -1.0]
    assert advantages(chains, "pool", 1)[:2] == [-0.5, 1.0]
    assert mean_end(chains) == pytest.approx(2 / 3)


def test_what_has_no_value_has_no_credit_and_no_say() -> None:
    chains = [
        Chain(0, 0, "0.0", 0, (), None, True),
        Chain(0, 0, "0.1", 0, (), 1.0, True),
        Chain(0, 1, "0.0", 0, (), 0.0, True),
        Chain(
            1, 0, "0.0", 0, (), 1.0, True
        ),  # another problem, with one population only: nothing to compare with
    ]
    assert advantages(chains, "lineage", 1) == [0.0, 1.0, -1.0, 0.0]
    assert advantages(chains, "pool", 2) == [0.0, 1.0, -1.0, 0.0]
    assert mean_end([chains[0]]) is None
