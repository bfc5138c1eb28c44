"""Plan: what a child will be, before any text exists. Pure functions of the preset and the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deap import base

from evolve_llm.nouns.seeding import derive, rng_scope
from evolve_llm.scheme.applying import select_groups
from evolve_llm.scheme.ordering import Order, arrange


@dataclass(frozen=True, slots=True)
class Plan:
    """One child to be: its place, the toolbox alias that makes it, and its parents' uids in prompt order."""

    generation: int
    slot: int
    alias: str
    parents: tuple[str, ...] = ()

    @property
    def uid(self) -> str:
        """The uid the child will have within its problem."""
        return f"{self.generation}.{self.slot}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One variation operator of the mixture: its toolbox alias, how many parents it takes, how often."""

    alias: str
    arity: int
    probability: float


def plan_initial(n: int) -> list[Plan]:
    """Generation 0: n samples from scratch."""
    return [Plan(0, slot, "init") for slot in range(n)]


def plan_generation(
    toolbox: base.Toolbox,
    choices: Sequence[Choice],
    members: Sequence[Any],
    *,
    generation: int,
    n: int,
    seed: int,
    problem: str,
    order: Order = "random",
) -> list[Plan]:
    """Plans for the n children of a generation.

    ``members`` is the population selection draws from: uids where selection is blind, live candidates
    where it is informed. An operator is drawn per child by probability as in DEAP's ``varOr``; then all
    parents are drawn at once. Fewer members than an operator's arity: all of them are parents; no members
    at all: the child is sampled from scratch. ``order``: how parents stand in the prompts (see ``ordering``);
    children of one operator are ordered together, as only they begin alike.

    Raises OperatorError where selection raises or breaks its contract.
    """
    with rng_scope(derive(seed, problem, generation, 0, "plan")):
        picked = [_draw(choices) for _ in range(n)]
        sizes = [min(choice.arity, len(members)) for choice in picked]
        groups = select_groups(toolbox.select, members, sizes, generation=generation) if members else [()] * n
    named = [tuple(one if isinstance(one, str) else one.uid for one in group) for group in groups]
    if order != "random":
        for alias in {choice.alias for choice in picked}:
            slots = [slot for slot, choice in enumerate(picked) if choice.alias == alias]
            for slot, parents in zip(slots, arrange([named[slot] for slot in slots], order), strict=True):
                named[slot] = parents
    return [
        Plan(generation, slot, choice.alias if parents or choice.arity == 0 else "init", parents)
        for slot, (choice, parents) in enumerate(zip(picked, named, strict=True))
    ]


def _draw(choices: Sequence[Choice]) -> Choice:
    if len(choices) == 1:
        return choices[0]
    point = random.random()
    for choice in choices:
        point -= choice.probability
        if point < 0:
            return choice
    return choices[-1]
