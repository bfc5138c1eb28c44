"""Informed selection: DEAP's selectors, and what of DEAP 1.4.4 must not reach a user."""

from __future__ import annotations

import math
import random
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
from deap import tools
from evolve_llm_operators import informed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from selection_cases import ALPHA, assert_uniform, groups_of, population, scheme, state

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.declarations import Selection, declaration
from evolve_llm.testing import seeds

SINGLE: dict[str, Any] = {
    "tournament": informed.tournament,
    "double_tournament": informed.double_tournament,
    "double_tournament, size first": partial(
        informed.double_tournament, fitness_first=False, parsimony_size=2
    ),
    "roulette": informed.roulette,
    "stochastic_universal": informed.stochastic_universal,
    "boltzmann": informed.boltzmann,
    "best": informed.best,
    "best of a pool": partial(informed.best, pool=9),
}
SEVERAL: dict[str, Any] = {
    "lexicase": informed.lexicase,
    "epsilon_lexicase": informed.epsilon_lexicase,
    "automatic_epsilon_lexicase": informed.automatic_epsilon_lexicase,
    "nsga2": informed.nsga2,
    "nsga2 of a pool": partial(informed.nsga2, pool=9),
    "nsga3": informed.nsga3,
    "spea2": informed.spea2,
    "tournament_dcd": informed.tournament_dcd,
}
WHEELS = ("roulette", "stochastic_universal")
ALL = {**SINGLE, **SEVERAL}
every = pytest.mark.parametrize("name", ALL)


def weights_of(name: str) -> tuple[tuple[float, ...], ...]:
    return ((1.0,), (-1.0,)) if name in SINGLE else ((1.0, 1.0), (1.0, -1.0), (-1.0, -1.0))


def draw(select: Any, members: list[Candidate], k: int) -> list[Candidate]:
    """One group straight from the operator."""
    if declaration(Selection, select).whole_generation:
        return list(select(members, [k])[0])
    return list(select(members, k))


@st.composite
def measured(drawing: st.DrawFn, name: str, max_size: int = 9) -> list[Candidate]:
    """Evaluated populations with many ties, and values from subnormal to the largest there are."""
    weights = drawing(st.sampled_from(weights_of(name)))
    awkward = (0.0, 0.0, 0.5, 1.0, 1.0, 3.0, 5e-324, 1e300, 1.7e308)
    signed = () if name in WHEELS else (-1.0, -1e308)
    value = st.sampled_from((*awkward, *signed))
    rows = drawing(st.lists(st.tuples(*[value for _ in weights]), min_size=1, max_size=max_size))
    lengths = [drawing(st.integers(0, 5)) for _ in rows]
    return population(rows, weights=weights, tokens=lengths)


@every
@settings(max_examples=60)
@given(data=st.data(), seed=seeds(), outer=st.integers(0, 99))
def test_different_members_from_the_seed_alone_and_nothing_changed(
    name: str, data: st.DataObject, seed: int, outer: int
) -> None:
    members = data.draw(measured(name))
    sizes = data.draw(st.lists(st.integers(0, len(members)), max_size=6))
    before, same = [state(one) for one in members], list(members)
    random.seed(outer)
    np.random.seed(outer)
    python, numpy = random.getstate(), np.random.get_state()
    groups = groups_of(ALL[name], members, sizes, seed)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))
    assert [len(group) for group in groups] == sizes
    assert all(len({id(one) for one in group}) == len(group) for group in groups)
    assert all(one is other for one, other in zip(members, same, strict=True))
    assert [state(one) for one in members] == before  # no crowding distance left on anybody
    random.seed(outer + 1)
    np.random.seed(outer + 1)
    again = groups_of(ALL[name], members, sizes, seed)
    assert [[one.slot for one in group] for group in again] == [
        [one.slot for one in group] for group in groups
    ]


@every
@settings(max_examples=40)
@given(data=st.data(), seed=seeds())
def test_called_as_in_deap_it_gives_exactly_k_members(name: str, data: st.DataObject, seed: int) -> None:
    members = data.draw(measured(name))
    k = data.draw(st.integers(1, len(members)))
    with rng_scope(seed):
        chosen = draw(ALL[name], members, k)
    assert len(chosen) == k
    assert all(any(one is member for member in members) for one in chosen)


@every
@pytest.mark.parametrize("n", [2, 5])
def test_ties_favour_no_slot(name: str, n: int) -> None:
    """Where everybody is equal, everybody is drawn equally often."""
    members = population([(0.5,) * len(weights_of(name)[0])] * n, weights=weights_of(name)[0])
    assert_uniform((groups_of(ALL[name], members, [1], seed)[0][0].slot for seed in range(1500)), outcomes=n)


@every
def test_ties_for_best_favour_no_slot(name: str) -> None:
    """Of five members the last three are equally best; a wheel may draw the others too."""
    wide = len(weights_of(name)[0])
    members = population([(0.1,) * wide] * 2 + [(0.9,) * wide] * 3, weights=weights_of(name)[0])
    drawn = (groups_of(ALL[name], members, [1], seed)[0][0].slot for seed in range(2500))
    assert_uniform([slot for slot in drawn if slot >= 2], outcomes=3)


@pytest.mark.parametrize("name", [name for name in ALL if not name.endswith("of a pool")])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_fitter_are_drawn_more_often_whichever_way_the_weight_points(name: str, sign: float) -> None:
    wide = len(weights_of(name)[0])
    values = [1.0, 3.0] if sign > 0 else [3.0, 1.0]  # slot 1 is the fitter
    members = population([(values[i % 2],) * wide for i in range(8)], weights=(sign,) * wide)
    fitter = sum(groups_of(ALL[name], members, [1], seed)[0][0].slot % 2 for seed in range(400))
    assert binomtest(fitter, 400, 0.5, alternative="greater").pvalue < ALPHA


# ---------------------------------------------------------------- what is refused


@every
def test_the_unevaluated_are_refused(name: str) -> None:
    """DEAP accepts them in silence."""
    wide = len(weights_of(name)[0])
    members = population([(0.5,) * wide] * 4, weights=weights_of(name)[0])
    members[2].fitness = type(members[2].fitness)()
    with pytest.raises(OperatorError, match=r"needs a fitness and '0\.2' has none"):
        groups_of(ALL[name], members, [2], 0)
    with rng_scope(0), pytest.raises(ValueError, match=r"0\.2 has no fitness"):
        draw(ALL[name], members, 2)


@every
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(name: str, value: float) -> None:
    """NaN beats everything inside DEAP, from both sides."""
    wide = len(weights_of(name)[0])
    members = population([(0.5,) * wide] * 4, weights=weights_of(name)[0])
    members[1].fitness.values = (value,) * wide
    with pytest.raises(OperatorError, match=r"0\.1 has the fitness .* must be finite"):
        groups_of(ALL[name], members, [2], 0)


@every
def test_more_parents_than_members_are_an_error(name: str) -> None:
    """k > n is silently n inside DEAP's sorts."""
    wide = len(weights_of(name)[0])
    members = population([(0.5,) * wide] * 3, weights=weights_of(name)[0])
    with pytest.raises(OperatorError, match="asked for 4 of 3"):
        groups_of(ALL[name], members, [4], 0)
    if declaration(Selection, ALL[name]).distinct:
        with (
            rng_scope(0),
            pytest.raises(ValueError, match="4 different parents were asked for, but there are only 3"),
        ):
            draw(ALL[name], members, 4)


@every
def test_nobody_to_select_from_is_an_error(name: str) -> None:
    with rng_scope(0), pytest.raises(ValueError, match="the population is empty"):
        draw(ALL[name], [], 1)


def test_fitnesses_of_different_kinds_are_refused() -> None:
    members = population([(0.5,)]) + population([(0.5,)], weights=(-1.0,))
    with pytest.raises(OperatorError, match="different weights"):
        groups_of(informed.tournament, members, [1], 0)


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ({"operator": "tournament", "tournsize": 0}, "tournsize .* at least 1, got 0"),
        ({"operator": "tournament", "tournsize": "3"}, "tournsize .* got '3'"),
        ({"operator": "tournament", "tournsize": True}, "tournsize .* got True"),
        ({"operator": "double_tournament", "fitness_size": 0}, "fitness_size .* at least 1, got 0"),
        ({"operator": "double_tournament", "parsimony_size": 3}, "parsimony_size .* from 1 to 2, got 3"),
        ({"operator": "double_tournament", "fitness_first": 1}, "fitness_first must be true or false, got 1"),
        ({"operator": "boltzmann", "temperature": 0}, "temperature .* greater than 0, got 0"),
        ({"operator": "boltzmann", "temperature": math.inf}, "temperature .* finite .* got inf"),
        ({"operator": "best", "pool": 1}, "pool .* at least 2, got 1"),
        ({"operator": "epsilon_lexicase", "epsilon": -1}, "epsilon .* at least 0, got -1"),
        ({"operator": "nsga2", "pool": 1}, "pool .* at least 2, got 1"),
        ({"operator": "nsga3", "p": 0}, "p .* at least 1, got 0"),
        ({"operator": "spea2", "pool": 2.5}, "pool .* got 2.5"),
    ],
)
def test_parameters_that_cannot_work_are_refused_before_a_token_is_spent(
    select: dict[str, object], words: str
) -> None:
    wide = select["operator"] in ("epsilon_lexicase", "nsga2", "nsga3", "spea2")
    several = {"operator": "objectives", "of": ["agreement", "length"]}
    with pytest.raises(
        UserError, match=rf"\[select\] evolve_llm_operators.informed:{select['operator']}: .*{words}"
    ):
        scheme(select, evaluate=several if wide else "agreement")


@pytest.mark.parametrize(
    "name", ["lexicase", "automatic_epsilon_lexicase", "nsga2", "nsga3", "spea2", "tournament_dcd"]
)
def test_one_objective_is_refused_where_several_are_the_point(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name} needs a fitness of at least 2 values"):
        scheme(name, evaluate="agreement")


# ---------------------------------------------------------------- DEAP 1.4.4, reproduced and kept from users


@pytest.mark.parametrize("name", WHEELS)
def test_all_zero_is_a_fair_wheel(name: str) -> None:
    members = population([(0.0,)] * 4)
    with rng_scope(0):
        assert tools.selRoulette(members, 2) == []  # what DEAP does
    assert_uniform((groups_of(ALL[name], members, [1], seed)[0][0].slot for seed in range(1500)), outcomes=4)


@pytest.mark.parametrize("name", WHEELS)
def test_zero_is_drawn_only_when_nobody_else_is_left(name: str) -> None:
    members = population([(0.0,), (1.0,), (0.0,), (2.0,)])
    for seed in range(200):
        assert {one.slot for one in groups_of(ALL[name], members, [2], seed)[0]} == {1, 3}
    third = (
        {one.slot for one in groups_of(ALL[name], members, [3], seed)[0]} - {1, 3} for seed in range(1000)
    )
    assert_uniform((slot for (slot,) in third), outcomes=2)


@pytest.mark.parametrize("name", WHEELS)
def test_a_negative_share_is_an_error_that_says_what_to_use(name: str) -> None:
    with pytest.raises(OperatorError, match=r"0\.1 has the fitness -0\.5.*use boltzmann or tournament"):
        groups_of(ALL[name], population([(1.0,), (-0.5,)]), [1], 0)


def test_a_minimised_wheel_mirrors_the_shares() -> None:
    """Values 1, 2, 5 minimised are drawn as 5, 4, 1."""
    members = population([(1.0,), (2.0,), (5.0,)], weights=(-1.0,))
    counts = Counter(groups_of(informed.roulette, members, [1], seed)[0][0].slot for seed in range(4000))
    for slot, share in enumerate((5, 4, 1)):
        assert binomtest(counts[slot], 4000, share / 10).pvalue > ALPHA


@settings(max_examples=60)
@given(values=st.lists(st.floats(0, 100), min_size=2, max_size=8), k=st.integers(1, 8), seed=seeds())
def test_one_spin_gives_everybody_floor_or_ceil_of_the_expected_copies(
    values: list[float], k: int, seed: int
) -> None:
    n, k = len(values), min(k, len(values))
    total = sum(values)
    shares = [value / total if total else 1 / n for value in values]
    groups = groups_of(
        informed.stochastic_universal, population([(value,) for value in values]), [k] * n, seed
    )
    copies = Counter(one.slot for group in groups for one in group)
    if (
        k * n * max(shares) > n - 1
    ):  # somebody is worth a place in every group, or more: others get what is over
        assert copies[shares.index(max(shares))] >= n - 1
        return
    for slot, share in enumerate(shares):
        assert math.floor(k * n * share - 1e-9) <= copies[slot] <= math.ceil(k * n * share + 1e-9)


def test_dcd_works_on_any_number_and_lets_everybody_compete_equally() -> None:
    """DEAP gives four for one, breaks on 5 of 5, and reads a distance that nobody has assigned."""
    members = population([(float(i), float(-i)) for i in range(5)], weights=(1.0, 1.0))
    with rng_scope(0), pytest.raises(AttributeError):
        tools.selTournamentDCD(members, 4)
    for n in range(1, 10):
        front = population([(float(i), float(-i)) for i in range(n)], weights=(1.0, 1.0))
        groups = groups_of(informed.tournament_dcd, front, [min(2, n)] * n, n)
        assert [len(group) for group in groups] == [min(2, n)] * n


def test_dcd_selects_nobody_more_than_twice_a_round() -> None:
    front = population([(float(i), float(-i)) for i in range(8)], weights=(1.0, 1.0))
    for seed in range(50):
        copies = Counter(group[0].slot for group in groups_of(informed.tournament_dcd, front, [1] * 8, seed))
        assert max(copies.values()) <= 2


@settings(max_examples=60)
@given(data=st.data(), seed=seeds())
def test_the_first_front_comes_first(data: st.DataObject, seed: int) -> None:
    """NSGA-II, NSGA-III and SPEA2 take nobody who is dominated while somebody who is not is left."""
    value = st.integers(0, 3).map(float)
    rows = data.draw(st.lists(st.tuples(value, value), min_size=1, max_size=9))
    members = population(rows, weights=(1.0, -1.0))
    front = [a for a in members if not any(b.fitness.dominates(a.fitness) for b in members)]
    k = data.draw(st.integers(1, len(front)))
    for select in (informed.nsga2, informed.nsga3, informed.spea2):
        assert all(one in front for one in groups_of(select, members, [k], seed)[0])


def test_spea2_does_not_prefer_the_objective_with_the_larger_numbers() -> None:
    """Two clusters apart in a value of 0 … 1 only: the other's thousands must not drown it."""
    rows = [(0.0, 1003.0), (0.001, 1002.0), (1.0, 1001.0), (0.999, 1001.5)]
    members = population(rows, weights=(1.0, 1.0))
    for seed in range(20):
        slots = {one.slot for one in groups_of(informed.spea2, members, [2], seed)[0]}
        assert len(slots & {0, 1}) == len(slots & {2, 3}) == 1


def test_nsga3_with_too_many_reference_points_says_so() -> None:
    members = population([(0.5,) * 12] * 4, weights=(1.0,) * 12)
    with pytest.raises(
        OperatorError, match="p = 12 divisions of 12 objectives make 1352078 reference points"
    ):
        groups_of(partial(informed.nsga3, p=12), members, [2], 0)


def test_a_pool_is_drawn_from_uniformly_and_may_shrink_with_the_population() -> None:
    members = population([(float(i),) for i in range(6)])
    drawn = (
        frozenset(one.slot for one in groups_of(partial(informed.best, pool=4), members, [2], seed)[0])
        for seed in range(1500)
    )
    assert_uniform(drawn, outcomes=6)
    assert len(groups_of(partial(informed.best, pool=9), members, [6], 0)[0]) == 6
    with rng_scope(0), pytest.raises(ValueError, match="pool = 2 is smaller than the 3 parents"):
        informed.best(members, 3, pool=2)


def test_best_is_the_best_fittest_first() -> None:
    members = population([(3.0,), (1.0,), (2.0,), (5.0,)])
    assert [one.slot for one in groups_of(informed.best, members, [3], 0)[0]] == [3, 0, 2]
    minimised = population([(3.0,), (1.0,), (2.0,), (5.0,)], weights=(-1.0,))
    assert [one.slot for one in groups_of(informed.best, minimised, [3], 0)[0]] == [1, 2, 0]


# ---------------------------------------------------------------- what else they are for


def test_the_shorter_of_equals_wins_with_half_the_parsimony_size() -> None:
    members = population([(1.0,), (1.0,)], tokens=[10, 90])
    select = partial(informed.double_tournament, fitness_size=1, parsimony_size=1.4)
    # the pair is the same member twice half of the time: 1/4 both short, 1/2 mixed, won by the short with 0.7
    short = sum(groups_of(select, members, [1], seed)[0][0].slot == 0 for seed in range(3000))
    assert binomtest(short, 3000, 0.25 + 0.5 * 0.7).pvalue > ALPHA


def test_a_reproduced_chain_is_as_long_as_its_text() -> None:
    members = population([(1.0,), (1.0,)], tokens=[90, 10])
    members[0].copied, members[0].completion_tokens = True, 0
    select = partial(informed.double_tournament, fitness_size=1, parsimony_size=2)
    short = sum(groups_of(select, members, [1], seed)[0][0].slot for seed in range(400))
    assert binomtest(short, 400, 0.75).pvalue > ALPHA


def test_lexicase_keeps_specialists() -> None:
    """A generalist with the best mean and no best case is never chosen; the two specialists are, equally."""
    members = population([(1.0, 0.0), (0.0, 1.0), (0.9, 0.9)], weights=(1.0, 1.0))
    assert_uniform(
        (groups_of(informed.lexicase, members, [1], seed)[0][0].slot for seed in range(1000)), outcomes=2
    )
    near = partial(informed.epsilon_lexicase, epsilon=0.2)
    assert {groups_of(near, members, [1], seed)[0][0].slot for seed in range(50)} == {2}


def test_a_cold_boltzmann_takes_the_best_and_a_hot_one_anybody() -> None:
    members = population([(float(i) / 10,) for i in range(4)])
    cold = partial(informed.boltzmann, temperature=1e-6)
    assert all(groups_of(cold, members, [1], seed)[0][0].slot == 3 for seed in range(50))
    hot = partial(informed.boltzmann, temperature=1e9)
    assert_uniform((groups_of(hot, members, [1], seed)[0][0].slot for seed in range(1500)), outcomes=4)
