"""The contract of finish: who may give the answer."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import OperatorError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.applying import choose
from evolve_llm.scheme.declarations import Finishing, declaration
from evolve_llm.scheme.operator import Final
from evolve_llm.testing.elsewhere import agree_everywhere
from evolve_llm.testing.strategies import populations, seeds
from evolve_llm.testing.wording import (
    CONTRACT,
    QUESTION,
    SECRET,
    broken,
    members,
    plain_population,
    problem,
    reseeds,
    seeded,
    shown,
    state,
    unchanged,
)


@st.composite
def _live(draw: st.DrawFn, weights: tuple[float, ...]) -> list[Candidate]:
    found = draw(populations(weights=weights))
    for one in found:
        one.text = f"chain {one.slot}"
        if one.answer is not None:  # equal classes, written in many ways
            one.answer = draw(st.sampled_from(("{0}", "{0}.0", "+{0}"))).format(one.answer_class)
    return found


class FinishContract:
    """What the engine asks of every finish operator.

    Set ``finish`` to the operator, parameters bound. ``majority`` is a claim to be held to: the answer is in a
    largest class of equivalent answers, wherever anybody has one.
    """

    finish: ClassVar[Callable[..., Any]]
    majority: ClassVar[bool] = False
    weights: ClassVar[tuple[float, ...]] = (1.0,)

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_chooses_from_the_population(self, data: st.DataObject, seed: int) -> None:
        """A member, or a Final of members where it declares ``calls=1``."""
        population = data.draw(_live(self.weights))
        answer = self._answer(population, seed)
        if isinstance(answer, Final) and declaration(Finishing, self.finish).calls < 1:
            broken("it gives a Final, which costs a call, but does not declare calls=1")

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_shows_every_parent_of_a_last_chain(self, data: st.DataObject, seed: int) -> None:
        """A Final's prompt holds the question and the texts of its parents, in their order."""
        population = data.draw(_live(self.weights))
        answer = self._answer(population, seed)
        if not isinstance(answer, Final):
            return
        text = "\n".join(one.content for one in answer.prompt.messages)
        if QUESTION not in text:
            broken(f"the question {QUESTION!r} is not in its last prompt {shown(text, 200)}")
        places = [text.find(one.text) for one in answer.parents]
        if -1 in places or places != sorted(places):
            broken(
                "its last prompt must show the parents it names, "
                f"{[one.uid for one in answer.parents]}, each exactly and "
                "in this order"
            )

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_changes_nothing_it_was_given(self, data: st.DataObject, seed: int) -> None:
        """The population is the same list of the same members afterwards."""
        population = data.draw(_live(self.weights))
        were, before = list(population), [state(one) for one in population]
        self._answer(population, seed)
        if [*map(id, population)] != [*map(id, were)]:
            broken(f"it changed the population it was given, {members(were)}, to {members(population)}")
        unchanged(before, were)

    @CONTRACT
    @given(data=st.data(), seed=seeds(), outer=st.integers(0, 999))
    def test_draws_from_the_seed_alone(self, data: st.DataObject, seed: int, outer: int) -> None:
        """Same seed, same answer; the generators outside have no say and are left alone."""
        population = data.draw(_live(self.weights))
        first, after = seeded(seed, lambda: self._uids(population), outer=outer)
        for others in (population, copy.deepcopy(population)):
            again, _ = seeded(seed, lambda: self._uids(others), outer=outer + 1)  # noqa: B023
            if first != again:
                broken(f"with one seed, it chose {first} and then {again} from {members(population)}")
        _, other = seeded(seed + 1, lambda: self._uids(population), outer=outer)
        if reseeds(after, other):
            broken(
                "it seeds a global generator itself, so what is drawn after it no longer depends on the seed"
            )

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_compares_answers_by_class(self, data: st.DataObject, seed: int) -> None:
        """Equivalent answers written alike or differently: the same choice."""
        population = data.draw(_live(self.weights))
        alike = copy.deepcopy(population)
        for one in alike:
            one.answer = one.answer_class
        written, same = self._uids_at(population, seed), self._uids_at(alike, seed)
        if written != same:
            broken(
                f"from {members(population)} it chose {written}, and {same} when equivalent answers are written "
                "alike: it must compare answer_class, never how an answer is written"
            )

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_follows_the_majority_where_it_claims_to(self, data: st.DataObject, seed: int) -> None:
        """Claimed by ``majority``: the answer is in a largest answer class."""
        if not type(self).majority:
            return
        population = data.draw(_live(self.weights))
        counts = Counter(one.answer_class for one in population if one.answer_class is not None)
        answer = self._answer(population, seed)
        if (
            counts
            and isinstance(answer, Candidate)
            and counts[answer.answer_class or ""] != max(counts.values())
        ):
            broken(
                f"from {members(population)} it chose {answer.uid}, which is not in the largest answer class"
            )

    @CONTRACT
    @given(data=st.data(), seed=seeds())
    def test_never_sees_the_reference(self, data: st.DataObject, seed: int) -> None:
        """Another reference, or none, and the choice is the same (I3)."""
        population = data.draw(_live(self.weights))
        chosen = [self._uids_at(population, seed, reference) for reference in (SECRET, "4", "5", None)]
        if any(one != chosen[0] for one in chosen):
            broken(f"from {members(population)} it makes another choice if the problem has another reference")

    def test_chooses_the_same_in_every_process(self) -> None:
        """Same seed, same answer, on another day and with another seed of Python's hashes."""
        agree_everywhere(_scene, getattr(self.finish, "__func__", self.finish))

    def _uids_at(self, population: list[Candidate], seed: int, reference: Any = SECRET) -> list[str]:
        with rng_scope(seed):
            return self._uids(population, reference)

    def _uids(self, population: list[Candidate], reference: Any = SECRET) -> list[str]:
        answer = self._called(population, reference)
        chosen = answer.parents if isinstance(answer, Final) else (answer,)
        said = [one.content for one in answer.prompt.messages] if isinstance(answer, Final) else []
        return [*(one.uid for one in chosen), *said]

    def _answer(self, population: list[Candidate], seed: int) -> Any:
        with rng_scope(seed):
            return self._called(population)

    def _called(self, population: list[Candidate], reference: Any = SECRET) -> Any:
        told = members(population)
        try:
            return choose(self.finish, problem(reference), population)
        except OperatorError as error:
            broken(f"from {told}: {error}")


def _scene(finish: Callable[..., Any]) -> list[list[str]]:
    found = []
    for seed in range(4):
        population = plain_population(8, values=(0.5, 0.5, 1.0, 1.0))
        with rng_scope(seed):
            answer = finish(problem(None), population)
        found.append([one.uid for one in (answer.parents if isinstance(answer, Final) else (answer,))])
    return found
