"""What each chain of a step is worth: its advantage, by leave-one-out over populations.

Several populations of the same problem are evolved in a step. What the others came to is the baseline of each, so it
does not depend on what is credited, and the estimates of the gradient are unbiased (RLOO, arXiv 2402.14740).

``population`` and ``lineage`` credit the end: the sum, over the members of the last generation, of their values.
``population`` gives every chain the whole of it. ``lineage`` gives a chain only those last members that descend from
it: where parents are drawn without a look at the chains, as in RSA, the others do not depend on it and are mere noise.

``pool`` is ParaGator's objective (facebookresearch, March 2026): generation 0 is credited for the best of k of its
chains (pass@k), and every later chain for itself (pass@1).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

Credit = Literal["lineage", "population", "pool"]


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain of a step. ``uid`` and ``parents`` name chains of the same problem and population.

    ``value`` is its reward, None where it has none: it failed, or could not be graded. ``last``: it is a member of the
    last generation of its population.
    """

    problem: int
    population: int
    uid: str
    generation: int
    parents: tuple[str, ...]
    value: float | None
    last: bool


def advantages(chains: Sequence[Chain], credit: Credit, pass_k: int) -> list[float]:
    """The advantage of each chain, in their order; 0 where nothing can be said.

    ``pass_k``: how many chains of a pool are to hold a right one (``pool`` alone).
    """
    found = [0.0] * len(chains)
    by_problem: dict[int, list[int]] = defaultdict(list)
    for place, chain in enumerate(chains):
        by_problem[chain.problem].append(place)
    for places in by_problem.values():
        some = [chains[place] for place in places]
        told = _pooled(some, pass_k) if credit == "pool" else _ended(some, lineage=credit == "lineage")
        for place, one in zip(places, told, strict=True):
            found[place] = one
    return found


def _ended(chains: Sequence[Chain], *, lineage: bool) -> list[float]:
    """The credit of one problem's chains for the ends of their populations."""
    ends: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for one in chains:
        if one.last and one.value is not None:
            ends[one.population].append((one.uid, one.value))
    known = {(one.population, one.uid): one for one in chains}
    found: dict[tuple[int, str], float] = defaultdict(float)
    for population, members in ends.items():
        others = [value for other, some in ends.items() if other != population for _, value in some]
        if not others:
            continue
        baseline = fmean(others)
        for uid, value in members:
            heirs = _ancestors(known, population, uid) if lineage else _all(chains, population)
            for name in heirs:
                found[population, name] += value - baseline
    return [found[one.population, one.uid] for one in chains]


def _all(chains: Sequence[Chain], population: int) -> list[str]:
    return [one.uid for one in chains if one.population == population]


def _ancestors(known: dict[tuple[int, str], Chain], population: int, uid: str) -> set[str]:
    """A chain and all whom it descends from."""
    found, open_ = {uid}, [uid]
    while open_:
        one = known.get((population, open_.pop()))
        for parent in one.parents if one is not None else ():
            if parent not in found:
                found.add(parent)
                open_.append(parent)
    return found


def _pooled(chains: Sequence[Chain], pass_k: int) -> list[float]:
    """pass@k for the chains of generation 0, over all populations of the problem, and pass@1 for later ones."""
    found = [0.0] * len(chains)
    for generation in sorted({one.generation for one in chains}):
        places = [
            place
            for place, one in enumerate(chains)
            if one.generation == generation and one.value is not None
        ]
        values = [value for place in places if (value := chains[place].value) is not None]
        for place, one in zip(places, pass_at(values, pass_k if generation == 0 else 1), strict=True):
            found[place] = one
    return found


def pass_at(values: Sequence[float], k: int) -> list[float]:
    """The advantage of each of n samples for the expected best of k of them.

    It is k times what a set of k with the sample is worth on average, less what a set of k of the others is
    (the leave-one-out estimate of Walder and Karkhanis, arXiv 2505.15201), so that the mean over samples of advantage
    times score is an unbiased gradient of pass@k. k is lowered to n - 1 where there are too few; with k=1 it is RLOO's.
    """
    k = min(k, len(values) - 1)
    if k < 1:
        return [0.0] * len(values)
    found = []
    for place, value in enumerate(values):
        others = sorted([*values[:place], *values[place + 1 :]])
        with_it = value if k == 1 else _best_of(others, k - 1, at_least=value)
        found.append(k * (with_it - _best_of(others, k)))
    return found


def _best_of(ordered: Sequence[float], k: int, at_least: float = -math.inf) -> float:
    """The expected greatest of k values drawn without replacement from ascending ones, and of ``at_least``."""
    total = math.comb(len(ordered), k)
    return sum(
        max(value, at_least) * math.comb(place, k - 1) / total
        for place, value in enumerate(ordered)
        if place >= k - 1
    )


def mean_end(chains: Iterable[Chain]) -> float | None:
    """The mean value of the members of the last generations; None where none has one."""
    values = [one.value for one in chains if one.last and one.value is not None]
    return fmean(values) if values else None
