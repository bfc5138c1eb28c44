"""I7: every selector: only members, exactly k or a clear error, no mutation of the input, outer RNG untouched."""

# ruff: noqa: ARG005

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from deap import base, tools
from hypothesis import given, settings

from evolve_llm import Candidate, Fitness, OperatorError, Problem, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import fitness_class
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme import registry
from evolve_llm.scheme.applying import select_groups
from evolve_llm.scheme.declarations import Selection, declaration, name_of
from evolve_llm.testing import Behaviour, SelectionContract, contents, populations, run_directory, seeds


class TestUniform(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(registry.load("operator", "select.uniform"))


class TestIdentity(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(registry.load("operator", "select.identity"))


class TestTournament(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(registry.load("operator", "select.tournament"))


class TestSmallTournamentOfAMinimisedFitness(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = partial(
        registry.load("operator", "select.tournament"), tournsize=1
    )
    weights: ClassVar[tuple[float, ...]] = (-1.0,)


class TestBest(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(registry.load("operator", "select.best"))


class TestDeapRandom(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(tools.selRandom)


class TestDeapTournament(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = partial(tools.selTournament, tournsize=3)


class TestDeapBest(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(tools.selBest)


class TestDeapWorst(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(tools.selWorst)


class TestDeapRoulette(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(tools.selRoulette)
    may_refuse = True


class TestDeapLexicase(SelectionContract):
    selector: ClassVar[Callable[..., Any]] = staticmethod(tools.selLexicase)
    weights: ClassVar[tuple[float, ...]] = (1.0, -1.0)


class TestDeapEpsilonLexicase(SelectionContract):
    """Draws through numpy as well."""

    selector: ClassVar[Callable[..., Any]] = staticmethod(tools.selAutomaticEpsilonLexicase)
    weights: ClassVar[tuple[float, ...]] = (1.0, -1.0)


SELECTORS = sorted(name for name in registry.available("operator") if name.startswith("select."))
PROPERTIES = sorted(name for name in vars(SelectionContract) if name.startswith("test_"))


@pytest.mark.parametrize("name", SELECTORS)
def test_every_registered_selector_is_under_contract(name: str) -> None:
    """Also those that come later, and those of other packages; a clear refusal is as good as parents."""

    class Contract(SelectionContract):
        selector: ClassVar[Callable[..., Any]] = staticmethod(registry.load("operator", name))
        may_refuse = True

    assert len(PROPERTIES) == 6
    for one in PROPERTIES:
        getattr(Contract(), one)()


# ---------------------------------------------------------------- what DEAP does that must not reach a user


def population(*values: float, weights: tuple[float, ...] = (1.0,)) -> list[Candidate]:
    found = []
    for slot, value in enumerate(values):
        one = Candidate("p", 0, slot, "sample")
        one.fitness = fitness_class(weights)()
        one.fitness.assign([value])
        found.append(one)
    return found


def test_candidates_survive_pickling_and_copying_with_the_class_of_their_fitness() -> None:
    """DEAP's creator makes a new class at every unpickle; a plain class is the same class again."""
    (one,) = population(0.5)
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert type(other.fitness) is Fitness
        assert other.fitness == one.fitness
        assert other.fitness.values == (0.5,)


def test_stock_selectors_that_draw_with_replacement_give_different_parents() -> None:
    """At N=16, K=4 selRandom repeats a parent in about a third of its groups, a tournament in half."""
    members = population(*(float(slot % 5) for slot in range(16)))
    for selector, share in ((tools.selRandom, 0.2), (partial(tools.selTournament, tournsize=3), 0.4)):
        with rng_scope(1):
            stock = [selector(members, 4) for _ in range(300)]
            groups = select_groups(selector, members, [4] * 300)
        assert sum(len({id(one) for one in group}) < 4 for group in stock) > 300 * share
        assert all(len({id(one) for one in group}) == 4 for group in groups)


def test_a_wrapped_selector_that_repeats_is_told_how_to_declare_it() -> None:
    members = population(1.0, 1.0, 1.0)

    def mine(individuals: list[Candidate], k: int) -> list[Candidate]:
        return [individuals[0]] * k

    with rng_scope(0), pytest.raises(OperatorError, match=r"'mine' returned a parent twice.*distinct=False"):
        select_groups(mine, members, [2])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_fitness_that_is_not_finite_is_refused_where_it_enters(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Fitness().assign([value])


def test_nan_would_otherwise_beat_everything() -> None:
    """Why: inside DEAP a NaN is greater than anything, and anything is greater than a NaN."""
    members = population(0.0, 1.0)
    members[0].fitness.values = (math.nan,)
    assert members[0].fitness > members[1].fitness
    assert members[1].fitness > members[0].fitness


@pytest.mark.parametrize("weights", [(), (0.5,), (2.0,), (0.0,), (1.0, -3.0)])
def test_weights_other_than_one_and_minus_one_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must each be 1 or -1"):
        fitness_class(weights)


def test_values_round_trip_under_the_weights_that_are_allowed() -> None:
    """DEAP divides what it multiplied: 0.1 * 3 / 3 is not 0.1, but 0.1 * -1 / -1 is."""
    fitness = fitness_class((1.0, -1.0))()
    fitness.assign([0.1, 0.7])
    assert fitness.values == (0.1, 0.7)
    with pytest.raises(ValueError, match="1 fitness values given, 2 expected"):
        fitness.assign([0.1])


def test_the_unevaluated_are_refused_by_name() -> None:
    members = [*population(1.0), Candidate("p", 0, 1, "sample")]
    with rng_scope(0), pytest.raises(OperatorError, match=r"'selBest' needs a fitness and '0.1' has none"):
        select_groups(tools.selBest, members, [1])


def test_more_parents_than_members_is_an_error_and_not_silently_fewer() -> None:
    members = population(1.0, 2.0)
    assert len(tools.selBest(members, 5)) == 2
    with rng_scope(0), pytest.raises(OperatorError, match="asked for 5 of 2"):
        select_groups(tools.selBest, members, [5])


def test_a_roulette_over_nothing_but_zeros_is_an_error() -> None:
    members = population(0.0, 0.0)
    with rng_scope(0), pytest.raises(OperatorError, match=r"'selRoulette' was asked for 1 of 2 .* gave \[\]"):
        select_groups(tools.selRoulette, members, [1])


def test_a_shallow_clone_that_drops_its_fitness_does_not_drop_its_parents() -> None:
    """As DEAP's own varAnd does; ours are cloned with a fitness of their own."""
    (one,) = population(1.0)
    clone = base.Toolbox().clone(one)
    del clone.fitness.values
    assert one.fitness.values == (1.0,)


@pytest.mark.parametrize(
    ("selector", "complaint"),
    [
        (lambda individuals, k: individuals[:1], "asked for groups of"),
        (lambda individuals, k: (*tuple(individuals[:k]), None), "asked for groups of"),
        (lambda individuals, k: [copy.copy(one) for one in individuals[:k]], "not in the population"),
        (lambda individuals, k: iter(individuals[:k]), "must return a list"),
        (lambda individuals, k: None, "must return a list"),
    ],
    ids=["too-few", "too-many", "strangers", "iterator", "none"],
)
def test_a_selector_that_breaks_its_contract_is_a_clear_error(selector: Any, complaint: str) -> None:
    with rng_scope(0), pytest.raises(OperatorError, match=complaint):
        select_groups(selector, population(1.0, 2.0, 3.0), [2, 2])


def test_a_selector_that_raises_ends_the_run_with_its_name() -> None:
    settings: dict[str, Any] = {"select": tools.selTournamentDCD, "evaluate": "agreement"}
    with run_directory() as out, pytest.raises(OperatorError, match="AttributeError"):
        evolve([Problem("p", "q", "boxed")], "smoke", Scripted(Behaviour()), out=out, **settings)


@settings(max_examples=30)
@given(members=populations(min_size=2), seed=seeds())
def test_the_input_may_be_shuffled_by_the_selector_without_harm(members: list[Candidate], seed: int) -> None:
    """A selector gets a list of its own: sorting it in place harms nobody."""

    def sorter(individuals: list[Candidate], k: int) -> list[Candidate]:
        individuals.sort(key=lambda one: one.fitness, reverse=True)
        chosen, individuals[:] = individuals[:k], []
        return chosen

    before = list(members)
    with rng_scope(seed):
        groups = select_groups(sorter, members, [2, 2])
    assert members == before
    assert [len(group) for group in groups] == [2, 2]


def test_a_run_leaves_the_generators_of_its_caller_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    for select in ("uniform", "tournament"):
        with run_directory() as out:
            evolve([Problem("p", "q", "boxed")], "smoke", Scripted(Behaviour()), out=out, select=select,
                   evaluate="agreement")  # fmt: skip
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy  # type: ignore[index]


def test_and_their_state_has_no_say_in_the_run() -> None:
    found = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)
        with run_directory() as out:
            evolve([Problem("p", "q", "boxed")], "smoke", Scripted(Behaviour()), out=out, select="tournament",
                   evaluate="agreement")  # fmt: skip
            found.append(contents(out))
    assert found[0] == found[1]


def test_names_and_declarations_are_seen_through_partials_and_the_toolbox() -> None:
    toolbox = base.Toolbox()
    toolbox.register("select", partial(registry.load("operator", "select.tournament"), tournsize=2))
    assert name_of(toolbox.select) == "tournament"
    assert declaration(Selection, toolbox.select).distinct is False
    assert declaration(Selection, tools.selBest).needs_fitness is True
