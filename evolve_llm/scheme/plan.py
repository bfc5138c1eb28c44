"""Plan: what a child will be, before any text exists. Pure functions of the preset and the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from deap import base

from evolve_llm.nouns.seeding import derive, rng_scope
from evolve_llm.scheme.applying import select_groups
from evolve_llm.scheme.ordering import Order, arrange


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child will be: its place, the toolbox alias that makes it, and its parents in the order of the prompt.

    ``parents`` are uids (``generation.slot``). It is empty for a child that is sampled from scratch.
    """

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
    """One variation operator of the mixture: its toolbox alias, how many parents it takes, how often.

    ``anneal``: what its probability is multiplied by from one generation to the next (see ``annealed``).
    """

    alias: str
    arity: int
    probability: float
    anneal: float = 1.0


def annealed(choices: Sequence[Choice], generation: int) -> Sequence[Choice]:
    """The mixture for the children of a generation, 1 being the first that has any.

    The others share what an annealed operator has lost, in proportion to their own probabilities.
    """
    if all(one.anneal == 1.0 for one in choices):
        return choices
    fading = {
        one.alias: one.probability * one.anneal ** (generation - 1) for one in choices if one.anneal < 1.0
    }
    steady = sum(one.probability for one in choices if one.anneal == 1.0)
    grown = (1.0 - sum(fading.values())) / steady
    return [replace(one, probability=fading.get(one.alias, one.probability * grown)) for one in choices]


def plan_initial(n: int) -> list[Plan]:
    """The plans of generation 0: n samples from scratch."""
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
    """Draw the plans for the n children of a generation.

    An operator is drawn for each child by probability, as in DEAP's ``varOr``. Then all parents are drawn at
    once. If there are fewer members than an operator takes, all of them are parents. If there are none, the
    child is sampled from scratch.

    Args:
        toolbox: The toolbox with the selection.
        choices: The variation operators with their probabilities.
        members: The population that selection draws from: uids if it is blind, live candidates if not.
        generation: The generation of the children.
        n: The number of children.
        seed: The seed of the run.
        problem: The id of the problem.
        order: How parents stand in the prompts (see ``ordering``). The children of one operator are ordered
            together, because only their prompts begin alike.

    Returns:
        One plan for each slot, in order.

    Raises:
        OperatorError: Selection raises or breaks its contract.
    """
    with rng_scope(derive(seed, problem, generation, 0, "plan")):
        mixture = annealed(choices, generation)
        picked = [_draw(mixture) for _ in range(n)]
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
