"""Blind selection: parents by index alone, drawn before they exist.

Signature ``(individuals, k) -> list`` as in DEAP, or ``(individuals, sizes) -> list of groups`` for a design
over the whole generation, drawing from the global ``random`` that the engine has seeded for the draw. What
each declares is checked by the contract suite. Islands and graphs are in ``topology``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle, islice
from typing import TypeVar

from evolve_llm.scheme.decorators import selection
from evolve_llm.scheme.preset import Preset
from evolve_llm_operators.parameters import whole_number

Item = TypeVar("Item")

PASSES = 10
"""Trading passes that turn a regular design into a random one: see ``trade``."""


@selection(blind=True)
def uniform(individuals: Sequence[Item], k: int) -> list[Item]:
    """k different members, each subset and each order equally likely.

    Source: RSA, arXiv 2509.26626, section 3. (DEAP's selRandom draws with replacement: at N=16, K=4 a
    parent would repeat in 32 % of groups.)
    """
    return random.sample(list(individuals), k)


@selection(blind=True, whole_generation=True)
def balanced(individuals: Sequence[Item], sizes: Sequence[int]) -> list[list[Item]]:
    """Every member is a parent equally often: exactly K times if N children take K parents each.

    With sizes that do not divide evenly, members are used floor or ceil of the mean number of times, who
    more often being random. Each child alone sees a uniform subset in uniform order, exactly as under
    ``uniform``; only the children together are less random: nobody is forgotten, so there is less drift.

    The distribution: members are relabelled by a random permutation, laid out as a cyclic design, and
    mixed by ``trade``, whose limit is uniform over all designs with these counts. That each child's set is
    uniform and the counts are exact holds after any number of passes.

    Source: stratified parents as in Baker's stochastic universal sampling, ICGA 1987, here with equal
    expectations; random designs by curveball trades, Strona et al., Nature Communications 5:4114, 2014.
    """
    if sizes and max(sizes) > len(individuals):
        raise ValueError(
            f"{max(sizes)} different parents were asked for, but there are only {len(individuals)} members"
        )
    members = cycle(random.sample(range(len(individuals)), len(individuals)))
    groups = [list(islice(members, size)) for size in sizes]
    return [[individuals[i] for i in group] for group in trade(groups)]


def trade(groups: list[list[int]], passes: int = PASSES) -> list[list[int]]:
    """A random design with the sizes of the groups and the members' counts of the one given.

    A pass pairs the groups at random; each pair puts what only one of the two holds together and deals it out
    again at random. Uniform over all designs in the limit (Carstens, Physical Review E 91:042812, 2015).
    Members within a group come in random order.
    """
    groups = [list(group) for group in groups]
    order = list(range(len(groups)))
    for _ in range(passes):
        random.shuffle(order)
        for a, b in zip(order[::2], order[1::2], strict=False):
            left, right = groups[a], groups[b]
            held_left, held_right = set(left), set(right)
            only_left = [one for one in left if one not in held_right]
            only_right = [one for one in right if one not in held_left]
            if not only_left or not only_right:
                continue
            both = [one for one in left if one in held_right]
            loose = only_left + only_right
            random.shuffle(loose)
            groups[a] = both + loose[: len(only_left)]
            groups[b] = both + loose[len(only_left) :]
    for group in groups:
        random.shuffle(group)
    return groups


@selection(blind=True, whole_generation=True, arity=1)
def identity(individuals: Sequence[Item], sizes: Sequence[int]) -> list[list[Item]]:
    """Child i takes member i: every chain is its own parent, as self-refinement wants it.

    Source: Self-Refine, arXiv 2303.17651.
    """
    if any(size > 1 for size in sizes):
        raise ValueError(
            f"identity gives each child one parent, but {max(sizes)} were asked for; set parents = 1"
        )
    return [[individuals[slot % len(individuals)]] if size else [] for slot, size in enumerate(sizes)]


def _prefix_fits(preset: Preset, *, g: int = 4, d: int = 1) -> None:
    whole_number("g (children that share)", g, 1)
    whole_number("d (parents they share)", d, 0, preset.parents)


@selection(blind=True, whole_generation=True, requires=_prefix_fits)
def shared_prefix(
    individuals: Sequence[Item], sizes: Sequence[int], *, g: int = 4, d: int = 1
) -> list[list[Item]]:
    """Each child has a uniform subset, but g children in a row have their first d parents in common.

    The server's prefix cache then computes those d chains once for the g of them. Within a group the other
    parents are drawn independently from the rest of the population. g = N, d = K is one set for everybody;
    d = 0 (or g = 1) is ``uniform``. A child of fewer than d parents takes the first of the shared ones.
    The price is drift: see docs/selection.md.

    Source: ours; cluster sampling, Cochran, Sampling Techniques, 3rd ed. 1977, chapter 9, for what sharing
    does to variance.
    """
    whole_number("g (children that share)", g, 1)
    whole_number("d (parents they share)", d, 0)
    places = range(len(individuals))
    groups: list[list[int]] = []
    for start in range(0, len(sizes), g):
        block = sizes[start : start + g]
        prefix = random.sample(places, min(d, max(block)))
        for size in block:
            shared = prefix[:size]
            rest = [place for place in places if place not in shared]
            groups.append(shared + random.sample(rest, size - len(shared)))
    return [[individuals[i] for i in group] for group in groups]
