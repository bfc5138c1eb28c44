"""Selection operators: who becomes a parent.

Signature ``(individuals, k) -> list`` as in DEAP, drawing from the global ``random`` that the machine has
seeded for the draw. What each declares is checked by the contract suite.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from evolve_llm.operator import selection

Item = TypeVar("Item")


@selection(blind=True)
def uniform(individuals: Sequence[Item], k: int) -> list[Item]:
    """k different members, each subset and each order equally likely.

    Source: RSA, arXiv 2509.26626, section 3. (DEAP's selRandom draws with replacement: at N=16, K=4 a
    parent would repeat in 32 % of groups.)
    """
    return random.sample(list(individuals), k)


@selection(blind=True, whole_generation=True, arity=1)
def identity(individuals: Sequence[Item], sizes: Sequence[int]) -> list[list[Item]]:
    """Child i takes member i: every chain is its own parent, as self-refinement wants it.

    Source: Self-Refine, arXiv 2303.17651.
    """
    if any(size > 1 for size in sizes):
        raise ValueError(
            f"identity gives each child one parent, {max(sizes)} were asked for; set parents = 1"
        )
    return [[individuals[slot % len(individuals)]] if size else [] for slot, size in enumerate(sizes)]
