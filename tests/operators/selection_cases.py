"""Populations and draws for the tests of selection."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from scipy.stats import chisquare

from evolve_llm.nouns.candidate import Candidate, fitness_class
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.applying import select_groups
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.toolbox import build

ALPHA = 1e-4
"""Chance of a false alarm of one statistical test; seeds are fixed, so it does not come back by chance."""


def population(
    fitness: Sequence[Sequence[float]] | None = None,
    *,
    weights: Sequence[float] = (1.0,),
    answers: Sequence[str | None] = (),
    tokens: Sequence[int] = (),
) -> list[Candidate]:
    """Candidates in slot order with these fitness tuples, answers and lengths, as far as given."""
    n = max(len(fitness or ()), len(answers), len(tokens))
    members = []
    for slot in range(n):
        one = Candidate("p", 0, slot, "sample", text=f"chain {slot}")
        if answers:
            one.answer = one.answer_class = answers[slot]
        one.text_tokens = one.completion_tokens = tokens[slot] if tokens else 10
        if fitness is not None:
            one.fitness = fitness_class(weights)()
            one.fitness.assign(fitness[slot])
        members.append(one)
    return members


def groups_of(
    select: Callable[..., Any], members: Sequence[Any], sizes: Sequence[int], seed: int, generation: int = 1
) -> list[tuple[Any, ...]]:
    """What the engine gets from a selector."""
    with rng_scope(seed):
        return select_groups(select, members, sizes, generation=generation)


def assert_uniform(draws: Iterable[Hashable], outcomes: int) -> None:
    """Chi-square: every one of so many outcomes is equally likely."""
    counts = Counter(draws)
    assert len(counts) <= outcomes
    observed = [*counts.values(), *[0] * (outcomes - len(counts))]
    assert chisquare(observed).pvalue > ALPHA, counts


def scheme(select: Any, *, population: int = 8, parents: int = 2, **changes: Any) -> Scheme:
    """A built preset with this [select]."""
    data = {"name": "t", "population": population, "parents": parents, "generations": 4, "select": select}
    return build(Preset.from_plain({**data, **changes}))


def state(one: Candidate) -> tuple[object, ...]:
    """All there is to a candidate, what DEAP may have written on its fitness included."""
    inner = {name: getattr(one, name) for name in Candidate.__slots__ if name != "fitness"}
    return (repr(inner), one.fitness.wvalues, dict(vars(one.fitness)))


def scattered(seed: int) -> None:
    """Put the outer generator somewhere."""
    random.seed(seed)
