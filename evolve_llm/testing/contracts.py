"""The contract of selection: inherit it in a test module, name your operator, and its properties are checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate, Fitness
from evolve_llm.nouns.errors import EvolveError, OperatorError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.applying import select_groups
from evolve_llm.scheme.declarations import Selection, declaration
from evolve_llm.testing.strategies import populations, seeds
from evolve_llm.testing.wording import CONTRACT, broken, members, reseeds, seeded, shown, state, unchanged


class SelectionContract:
    """What the engine asks of every selection operator (invariant I7).

    Set ``selector`` to the operator (``staticmethod(function)``), parameters bound. ``may_refuse`` is for
    selectors that cannot serve every population (roulette on fitness that is not positive, say): a ValueError
    is then as good as parents. ``weights`` are those of the fitness.
    """

    selector: ClassVar[Callable[..., Any]]
    may_refuse: ClassVar[bool] = False
    weights: ClassVar[tuple[float, ...]] = (1.0,)

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_gives_different_members_in_the_sizes_asked_for(self, data: st.DataObject, seed: int) -> None:
        """Only members, exactly k, none twice in a group."""
        population, sizes = self._case(data)
        groups = self._groups(population, sizes, seed)
        if groups is None:
            return
        case = f"asked for groups of {sizes} from {members(population)}, it "
        if [len(group) for group in groups] != sizes:
            broken(f"{case}gave groups of {[len(group) for group in groups]}")
        for group in groups:
            if not all(any(one is member for member in population) for one in group):
                broken(f"{case}gave somebody who is not a member: {members(group)}")
            if len({id(one) for one in group}) != len(group):
                broken(f"{case}gave somebody twice in one group: {members(group)}")

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_changes_nothing_it_was_given(self, data: st.DataObject, seed: int) -> None:
        """The population is the same list of the same members, with the same fitness, afterwards."""
        population, sizes = self._case(data)
        were, asked = list(population), list(sizes)
        before = [state(one) for one in population]
        self._groups(population, sizes, seed)
        if len(population) != len(were) or any(a is not b for a, b in zip(population, were, strict=True)):
            broken(f"it changed the population it was given, {members(were)}, to {members(population)}")
        if sizes != asked:
            broken(f"it changed the sizes it was given, {asked}, to {sizes}")
        unchanged(before, population)

    @CONTRACT
    @given(data=st.data(), seed=seeds(), outer=st.integers(0, 999))
    def test_draws_from_the_seed_alone(self, data: st.DataObject, seed: int, outer: int) -> None:
        """Same seed, same parents, whatever the generators outside were doing; and those are left alone."""
        population, sizes = self._case(data)
        first, after = seeded(seed, lambda: self._drawn(population, sizes), outer=outer)
        for others in (population, copy.deepcopy(population)):
            again, _ = seeded(seed, lambda: self._drawn(others, sizes), outer=outer + 1)  # noqa: B023
            if _slots(first) != _slots(again):
                broken(
                    f"with one seed and groups of {sizes} from {members(population)}, it once chose the places "
                    f"{_slots(first)} and once {_slots(again)}"
                )
        _, other = seeded(seed + 1, lambda: self._drawn(population, sizes), outer=outer)
        if reseeds(after, other):
            broken(
                "it seeds a global generator itself, so what is drawn after it no longer depends on the seed"
            )

    @CONTRACT
    @given(population=populations(evaluated=False), seed=seeds())
    def test_is_blind_or_refuses_the_unevaluated(self, population: list[Candidate], seed: int) -> None:
        """Without a fitness: a clear error, unless the selector has declared that it needs none."""
        if not declaration(Selection, self.selector).needs_fitness:
            if self._groups(population, [1], seed) is None and not self.may_refuse:
                broken("it refuses a population without fitness, but is declared not to need one")
            return
        try:
            with rng_scope(seed):
                select_groups(self.selector, population, [1])
        except OperatorError as error:
            if "needs a fitness" not in str(error):
                raise
        else:
            broken(f"it chose parents by a fitness that no member has: {members(population)}")

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_blind_selectors_choose_by_index(self, data: st.DataObject, seed: int) -> None:
        """A selector that calls itself blind chooses the same places among opaque tokens."""
        if not declaration(Selection, self.selector).blind:
            return
        population, sizes = self._case(data)
        groups = self._groups(population, sizes, seed)
        if groups is None:
            return
        tokens = [f"0.{one.slot}" for one in population]
        try:
            with rng_scope(seed):
                chosen = select_groups(self.selector, tokens, sizes)
        except OperatorError as error:
            broken(f"it is declared blind, and cannot choose among the names of members to come: {error}")
        places = [[tokens.index(one) for one in group] for group in chosen]
        if places != _slots(groups):
            broken(
                f"it is declared blind, and with one seed and groups of {sizes} it chose the "
                f"places {_slots(groups)} of "
                f"{members(population)} but {places} among names alone: it looks at the members"
            )

    def test_too_many_parents_are_an_error(self) -> None:
        """k > n is never silently n."""
        population = [Candidate("p", 0, slot, "sample") for slot in range(2)]
        for one in population:
            one.fitness = Fitness()
            one.fitness.assign([1.0])
        try:
            with rng_scope(0):
                given = select_groups(self.selector, population, [3])
        except OperatorError:
            return
        broken(f"asked for 3 of 2, it gave {shown(given)}")

    def _case(self, data: st.DataObject) -> tuple[list[Candidate], list[int]]:
        population = data.draw(populations(weights=self.weights))
        only = declaration(Selection, self.selector).arity
        most = len(population) if only is None else min(only, len(population))
        if declaration(Selection, self.selector).structured:  # a child for every place
            size = data.draw(st.integers(0, most))
            return population, [size] * len(population)
        sizes = data.draw(st.lists(st.integers(0, most), min_size=1, max_size=6))
        return population, sizes

    def _groups(
        self, population: list[Candidate], sizes: list[int], seed: int
    ) -> list[tuple[Candidate, ...]] | None:
        with rng_scope(seed):
            return self._drawn(population, sizes)

    def _drawn(self, population: Sequence[Any], sizes: list[int]) -> list[tuple[Any, ...]] | None:
        """Parents from generators that stand where the caller has put them; None where they are refused."""
        try:
            return select_groups(self.selector, population, sizes)
        except OperatorError as error:  # the engine turns whatever a selector raises into one
            # Of DEAP's selectors some give nothing at all where others raise.
            if self.may_refuse and (
                isinstance(error.__cause__, ValueError | EvolveError) or "gave []" in str(error)
            ):
                return None
            broken(f"asked for groups of {sizes} from {members(population)}: {error}")


def _slots(groups: list[tuple[Candidate, ...]] | None) -> list[list[int]] | None:
    return None if groups is None else [[one.slot for one in group] for group in groups]
