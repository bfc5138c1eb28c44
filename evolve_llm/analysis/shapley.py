"""Shapley values: what each member of a group is worth, where every part of the group has a value.

The value of player j is the mean, over all orders in which the players may come, of what the value rises by when j
comes (Shapley 1953, A value for n-person games). It is the only division of v(all) - v(nobody) that is efficient,
symmetric, linear, and gives nothing to who never changes anything. Because it is linear, estimates of v without bias
give estimates of it without bias.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

Coalition = tuple[int, ...]
"""Some players, in ascending order."""


def coalitions(players: int) -> Iterator[Coalition]:
    """All 2**players parts of the group, the empty one first."""
    for size in range(players + 1):
        yield from itertools.combinations(range(players), size)


def shapley(players: int, value: Callable[[Coalition], float]) -> tuple[float, ...]:
    """The exact Shapley value of each player, from ``value`` of each of the 2**players coalitions.

    By the sum over coalitions without j of |S|! (n - |S| - 1)! / n! times what j adds to S. Up to rounding they sum
    to value(all) - value(nobody).
    """
    known = {one: value(one) for one in coalitions(players)}
    share = [
        math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
        for size in range(players)
    ]
    return tuple(
        math.fsum(
            share[len(one)] * (known[tuple(sorted((*one, player)))] - before)
            for one, before in known.items()
            if player not in one
        )
        for player in range(players)
    )
