"""Who stands together in an aggregation prompt: K different candidates of one generation, drawn uniformly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.seeding import derive
from evolve_llm.train.source import Told

Filter = Literal["mixed", "none"]
PURPOSE = "train-data"


@dataclass(frozen=True, slots=True)
class Group:
    """K candidates of one generation, in the order of the prompt, and which of them are right."""

    number: int
    generation: int
    parents: tuple[str, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How groups are drawn. ``ks`` and ``generations`` are drawn from uniformly, among those that a problem allows.

    ``keep`` is ``mixed`` for groups that are neither all right nor all wrong, of which alone a trainer learns who to
    believe, and ``none`` for no filter.
    """

    generations: tuple[int, ...] = (0,)
    ks: tuple[int, ...] = (4,)
    keep: Filter = "mixed"

    def check(self, population: int, generations: int, takes: int | None) -> None:
        """Raises UserError where these groups cannot be had from any problem of a run."""
        for name, values, least in (("--generations", self.generations, 0), ("--k", self.ks, 1)):
            if not values or min(values) < least or len(set(values)) < len(values):
                raise UserError(f"{name} takes different numbers from {least} on, got {list(values)}")
        if max(self.generations) >= generations:
            raise UserError(
                f"the run has the generations 0 to {generations - 1}, but candidates are wanted from generation "
                f"{max(self.generations)}"
            )
        if max(self.ks) > population:
            raise UserError(
                f"{max(self.ks)} candidates are wanted for a prompt, but a population has {population}"
            )
        if takes is not None and set(self.ks) != {takes}:
            raise UserError(f"the run's aggregation takes {takes} parents; write --k {takes}")
        if self.keep == "mixed" and max(self.ks) < 2:
            raise UserError("one candidate is all right or all wrong; write a larger --k, or --filter none")

    def ways(self, told: Told) -> list[tuple[int, int]]:
        """The pairs of generation and K that a problem allows."""
        found = []
        for generation in self.generations:
            pool = told.pool(generation)
            right = sum(told.right[uid] for uid in pool)
            mixed = 0 < right < len(pool)
            allowed = [k for k in self.ks if k <= len(pool) and (self.keep == "none" or (mixed and k > 1))]
            found += [(generation, k) for k in allowed]
        return found

    def draw(self, told: Told, number: int, seed: int) -> Group:
        """Group ``number`` of a problem that has `ways`: a function of these and the seed alone.

        Every set of K different members is equally likely, and so is every order of it; with the filter, every
        mixed set.
        """
        rng = Random(derive(seed, told.problem.id, 0, number, PURPOSE))
        generation, k = rng.choice(self.ways(told))
        pool = told.pool(generation)
        while True:
            parents = rng.sample(pool, k)
            right = tuple(told.right[uid] for uid in parents)
            if self.keep == "none" or 0 < sum(right) < k:
                return Group(number, generation, tuple(parents), right)


def shares(wanted: int, usable: Sequence[str], most: int, seed: int, total: int) -> dict[str, int]:
    """How many groups each usable problem gives, as even as can be: who gives one more is drawn from the seed.

    Raises UserError where they cannot give as many as are wanted at ``most`` a problem.
    """
    if wanted > most * len(usable) or not usable:
        raise UserError(
            f"too few mixed groups: {len(usable)} of {total} problems have groups of the kind asked for, which at "
            f"{most} a problem (--most) make {most * len(usable)} of the {wanted} aggregation prompts wanted; write "
            "fewer --rows, more --generations, a larger --most, or --filter none"
        )
    order = list(usable)
    Random(derive(seed, "", 0, 0, f"{PURPOSE} shares")).shuffle(order)
    return {one: wanted // len(order) + (place < wanted % len(order)) for place, one in enumerate(order)}
