"""In which order a child's parents stand in its prompt: who stands first decides what a prefix cache can share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

Order = Literal["random", "slot", "popular", "trie"]
ORDERS: tuple[str, ...] = get_args(Order)


def arrange(groups: Sequence[Sequence[str]], order: Order) -> list[tuple[str, ...]]:
    """The groups of a generation (uids of parents, one group a child), each put in order; who is in them stays.

    ``random``: as the selection drew them. ``slot``: by generation and slot. ``popular``: who has most
    children first, then by slot. ``trie``: so that groups begin alike where they can, found greedily. All but
    ``random`` depend on who is in the groups alone. Raises ValueError for another order.
    """
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; the orders are {', '.join(ORDERS)}")
    if order == "random":
        return [tuple(group) for group in groups]
    if order == "trie":
        found: list[tuple[str, ...]] = [()] * len(groups)
        for index, path in _paths({index: frozenset(group) for index, group in enumerate(groups)}):
            found[index] = path
        return found
    children = Counter(uid for group in groups for uid in group) if order == "popular" else Counter()
    return [tuple(sorted(group, key=lambda uid: (-children[uid], _place(uid)))) for group in groups]


def prefix_share(groups: Sequence[Sequence[str]]) -> float:
    """The share of the parents in these prompts that a prefix cache has not seen before: distinct beginnings
    over parents, from 1 (nothing shared) down. 1 for no parents at all."""
    parents = sum(map(len, groups))
    beginnings = {tuple(group[:length]) for group in groups for length in range(1, len(group) + 1)}
    return len(beginnings) / parents if parents else 1.0


def _paths(
    groups: dict[int, frozenset[str]], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each group's path in a trie: the parent of most groups begins all of them, and so on within and beside."""
    while groups:
        children = Counter(uid for group in groups.values() for uid in group)
        if not children:
            yield from ((index, prefix) for index in groups)
            return
        first = min(children, key=lambda uid: (-children[uid], _place(uid)))
        below = {index: group - {first} for index, group in groups.items() if first in group}
        yield from _paths(below, (*prefix, first))
        groups = {index: group for index, group in groups.items() if first not in group}


def _place(uid: str) -> tuple[int, int]:
    generation, _, slot = uid.partition(".")
    return int(generation), int(slot)
