"""Whether a selector has favourites: the contract of selection, and statistics on many cheap draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from unittest import SkipTest

import numpy as np

from evolve_llm.nouns.candidate import Candidate, fitness_class
from evolve_llm.nouns.errors import EvolveError, OperatorError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.applying import select_groups
from evolve_llm.scheme.declarations import Selection, declaration
from evolve_llm.testing.contracts import SelectionContract
from evolve_llm.testing.elsewhere import agree_everywhere
from evolve_llm.testing.wording import broken, plain_population

PLACES = 4
CERTAIN = 6.5
"""Standard errors from the expected number at which a selector is called unfair: 1 of 10**10 fair ones is."""
DOUBTFUL = 2.75
"""Standard errors at which more is drawn before anything is said."""


class FairSelectionContract(SelectionContract):
    """``SelectionContract``, and two promises more: no favourites, and the same choice on every machine.

    Not for selectors that favour places by design, such as those on an irregular graph. The draws are many and
    cheap (no text is made) and always the same, so this never fails by chance.
    """

    def test_serves_some_population(self) -> None:
        """A refusal is allowed where it says what would fit; refusing everybody is not."""
        said = None
        for size in range(2, 13):
            population = plain_population(size, values=(0.5, 1.0, 2.0))
            for one in population:
                one.fitness = fitness_class(self.weights)()
                one.fitness.assign([float(1 + one.slot % 3)] * len(self.weights))
            try:
                with rng_scope(0):
                    select_groups(self.selector, population, [1] * size)
            except OperatorError as error:
                said = error
            else:
                return
        broken(f"it refuses every population of 2 to 12 members: {said}")

    def test_favours_no_place(self) -> None:
        """Among members that differ in nothing but their place, every place is chosen equally often.

        A generation is the unit that is counted, so designs whose children depend on each other are judged
        rightly. Where a place is suspicious, ever more generations are drawn, until it is certain or cleared.
        """
        blind = declaration(Selection, self.selector).blind
        population: list[Any] = [f"0.{slot}" for slot in range(PLACES)] if blind else self._equals()
        most = declaration(Selection, self.selector).arity or 2
        for k, rounds in ((1, 20_000 if blind else 1_200), (min(2, most), 5_000 if blind else 600)):
            self._judged(population, k, rounds)

    def test_chooses_the_same_in_every_process(self) -> None:
        """Same seed, same parents, on another day and with another seed of Python's hashes."""
        agree_everywhere(_Scene(self.weights), _unwrapped(self.selector))

    def _equals(self) -> list[Candidate]:
        found = [Candidate("p", 0, slot, "sample", "chain", "4", "4") for slot in range(PLACES)]
        for one in found:
            one.text_tokens = one.completion_tokens = 7
            one.fitness = fitness_class(self.weights)()
            one.fitness.assign([0.5] * len(self.weights))
        return found

    def _judged(self, population: list[Any], k: int, rounds: int) -> None:
        total, squares, drawn = np.zeros(PLACES), np.zeros(PLACES), 0
        places = {id(one): place for place, one in enumerate(population)}
        seed = 0
        while True:
            with rng_scope(seed):
                for _ in range(rounds):
                    try:
                        groups = select_groups(self.selector, population, [k] * PLACES)
                    except OperatorError as error:
                        if self.may_refuse and isinstance(error.__cause__, ValueError | EvolveError):
                            raise SkipTest(f"it refuses members that are all equal: {error}") from error
                        raise
                    counts = np.bincount(
                        [places[id(one)] for group in groups for one in group], minlength=PLACES
                    )
                    total += counts
                    squares += counts * counts
            drawn += rounds
            seed += 1
            mean = total / drawn
            spread = np.sqrt(np.maximum(squares / drawn - mean * mean, 0.0) / drawn)
            worst = max(range(PLACES), key=lambda place: abs(mean[place] - k))
            off = abs(mean[worst] - k)
            sure = math.inf if off > 1e-9 and spread[worst] == 0 else off / max(spread[worst], 1e-12)
            if off < 1e-9 or sure < DOUBTFUL:
                return
            if sure > CERTAIN:
                broken(
                    f"among {PLACES} members that are equal in everything, place {worst} was a parent "
                    f"{mean[worst]:.3f} times a generation and {k} times were expected ({drawn} generations, "
                    f"{min(sure, 999):.0f} standard errors): it has favourites"
                )
            if seed >= 5:
                return
            rounds = drawn * 2


class _Scene:
    """A fixed draw, for other processes."""

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(weights)

    def __call__(self, selector: Callable[..., Any]) -> list[list[int]]:
        found = []
        only = declaration(Selection, selector).arity or 2
        for seed in range(4):
            population = plain_population(8, values=(0.5, 0.5, 1.0, 2.0, 0.5))
            for one in population:
                values = one.fitness.values * len(self.weights)
                one.fitness = fitness_class(self.weights)()
                one.fitness.assign(values)
            with rng_scope(seed):
                groups = select_groups(selector, population, [min(2, only)] * 8)
            found += [[one.slot for one in group] for group in groups]
        return found


def _unwrapped(operator: Any) -> Any:
    return getattr(operator, "__func__", operator)
