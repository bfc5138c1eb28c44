"""The contract of replacement: who may survive, and who must."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any, ClassVar

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.errors import EvolveError, OperatorError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.applying import replace_members
from evolve_llm.scheme.declarations import Replacement, declaration
from evolve_llm.testing.elsewhere import agree_everywhere
from evolve_llm.testing.strategies import populations, seeds
from evolve_llm.testing.wording import (
    CONTRACT,
    broken,
    members,
    plain_population,
    reseeds,
    seeded,
    state,
    unchanged,
)

Niche = Callable[[Candidate], Hashable]
_Case = tuple[list[Candidate], list[Candidate], int]


def the_best(_: Candidate) -> Hashable:
    """One niche for everybody: what ``elite_of`` is where the best parent must never be lost."""
    return None


class ReplacementContract:
    """What the engine asks of every replacement.

    Set ``replacement`` to the operator, parameters bound. A ValueError is a refusal, where there are not n
    offspring for n members. ``elite_of``, where set, is a claim to be held to: of the parents of each niche that it
    tells apart, the fittest never gives way to anybody less fit (``the_best``: one niche).
    """

    replacement: ClassVar[Callable[..., Any]]
    elite_of: ClassVar[Niche | None] = None
    weights: ClassVar[tuple[float, ...]] = (1.0,)

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_gives_the_right_number_of_different_members(self, data: st.DataObject, seed: int) -> None:
        """n of parents and offspring, none twice; where it ``varies_size``, any number but none at all."""
        self._chosen(self._case(data), seed)  # anything else is refused where it is applied

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_changes_nothing_it_was_given(self, data: st.DataObject, seed: int) -> None:
        """Parents and offspring are the same lists of the same candidates afterwards."""
        parents, offspring, n = self._case(data)
        were = [[*parents], [*offspring]]
        before = [[state(one) for one in group] for group in were]
        self._chosen((parents, offspring, n), seed)
        for name, now, was in zip(("parents", "offspring"), (parents, offspring), were, strict=True):
            if [*map(id, now)] != [*map(id, was)]:
                broken(f"it changed the {name} it was given, {members(was)}, to {members(now)}")
        for group, known in zip(were, before, strict=True):
            unchanged(known, group)

    @CONTRACT
    @given(data=st.data(), seed=seeds(), outer=st.integers(0, 999))
    def test_draws_from_the_seed_alone(self, data: st.DataObject, seed: int, outer: int) -> None:
        """Same seed, same survivors; the generators outside have no say and are left alone."""
        case = self._case(data)
        first, after = seeded(seed, lambda: self._uids(case), outer=outer)
        for again in (case, copy.deepcopy(case)):
            found, _ = seeded(seed, lambda: self._uids(again), outer=outer + 1)  # noqa: B023
            if found != first:
                broken(f"with one seed, {self._told(case)} it kept {first} once and {found} once")
        _, other = seeded(seed + 1, lambda: self._uids(case), outer=outer)
        if reseeds(after, other):
            broken(
                "it seeds a global generator itself, so what is drawn after it no longer depends on the seed"
            )

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_never_prefers_the_failed(self, data: st.DataObject, seed: int) -> None:
        """No failed candidate is kept where a live one of its kind is left out, and no failed parent where any is."""
        if declaration(Replacement, self.replacement).positional:
            return
        parents, offspring, _ = case = self._case(data)
        kept = {id(one) for one in self._chosen(case, seed)}
        left_out = [one for one in (*parents, *offspring) if not one.failed and id(one) not in kept]
        for group, rivals in ((parents, [*parents, *offspring]), (offspring, offspring)):
            for one in group:
                better = [other for other in left_out if any(other is rival for rival in rivals)]
                if one.failed and id(one) in kept and better:
                    broken(
                        f"{self._told(case)} it kept {one.uid}, which failed, and left out {members(better)}"
                    )

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_positional_puts_each_child_in_its_place(self, data: st.DataObject, seed: int) -> None:
        """Declared ``positional``: member i is child i."""
        if not declaration(Replacement, self.replacement).positional:
            return
        parents, offspring, n = self._case(data)
        offspring = offspring[:n]
        if len(offspring) < n:
            return
        chosen = self._chosen((parents, offspring, n), seed)
        if any(one is not child for one, child in zip(chosen, offspring, strict=False)):
            broken(
                f"it is declared positional, and of the children {[one.uid for one in offspring]} it made the members "
                f"{[one.uid for one in chosen]}: member i must be child i"
            )

    @settings(CONTRACT, max_examples=120)  # an elite is only lost where several things come together
    @given(data=st.data(), seed=seeds())
    def test_never_loses_an_elite(self, data: st.DataObject, seed: int) -> None:
        """Where it claims to keep them: the best parent of every niche stays, or gives way to one at least as fit."""
        niche = type(self).elite_of
        if niche is None:
            return
        case = self._case(data)
        chosen = [one for one in self._chosen(case, seed) if one.fitness.valid]
        for elite in case[0]:
            if elite.failed or not elite.fitness.valid:
                continue
            if not any(niche(one) == niche(elite) and one.fitness >= elite.fitness for one in chosen):
                broken(
                    f"{self._told(case)} it kept {members(chosen)}: nobody there is as fit as "
                    f"{members([elite])} was, the "
                    "elite it claims to keep"
                )

    def test_keeps_the_same_in_every_process(self) -> None:
        """Same seed, same survivors, on another day and with another seed of Python's hashes."""
        agree_everywhere(_scene, getattr(self.replacement, "__func__", self.replacement))

    def _case(self, data: st.DataObject) -> _Case:
        """A population of n, and n children or a few more or fewer."""
        parents = data.draw(populations(weights=self.weights, failed=True, max_size=4))
        offspring = data.draw(populations(weights=self.weights, failed=True, max_size=6))
        gone = data.draw(st.sampled_from(("nobody", "nobody", "nobody", "offspring", "everybody")))
        for one in offspring:
            one.generation = 1
        for one in (*(parents if gone == "everybody" else ()), *(offspring if gone != "nobody" else ())):
            one.status, one.reason, one.answer, one.answer_class = Status.FAILED, "timeout", None, None
            one.fitness = type(one.fitness)()
        for one in (*parents, *offspring):
            one.text_tokens = one.completion_tokens * 30
        n = data.draw(st.just(len(parents)) if len(parents) <= len(offspring) else st.just(len(offspring)))
        return parents, offspring, max(1, n)

    def _chosen(self, case: _Case, seed: int) -> list[Candidate]:
        with rng_scope(seed):
            return self._kept(case)

    def _uids(self, case: _Case) -> list[str]:
        return [one.uid for one in self._kept(case)]

    def _kept(self, case: _Case) -> list[Candidate]:
        parents, offspring, n = case
        told = self._told(case)
        try:
            return list(replace_members(self.replacement, parents, offspring, n))
        except EvolveError as error:
            refused = isinstance(error.__cause__, ValueError) or not isinstance(error, OperatorError)
            if refused and not len(parents) == len(offspring) == n:
                reject()
            broken(f"{told} {error}")

    def _told(self, case: _Case) -> str:
        parents, offspring, n = case
        return f"of the parents {members(parents)} and the offspring {members(offspring)}, asked for {n},"


def _scene(replacement: Callable[..., Any]) -> list[list[str]]:
    found = []
    for seed in range(4):
        parents = plain_population(6, values=(0.5, 0.5, 1.0))
        offspring = plain_population(6, values=(1.0, 0.5, 0.5, 0.25), generation=1)
        with rng_scope(seed):
            found.append([one.uid for one in replacement(parents, offspring, 6)])
    return found
