"""Informed selection: parents by fitness, through DEAP's selectors.

Signature ``(individuals, k) -> list`` as in DEAP, or ``(individuals, sizes) -> list of groups`` where the
generation is drawn at once. What DEAP 1.4.4 leaves to its caller is settled here: members without a finite
fitness are refused; k members are k or an error, never fewer; ties are broken at random, where DEAP's sorts
favour low slots; minimised objectives work everywhere; and DEAP writes its crowding distances on copies.
``roulette``, ``stochastic_universal`` and ``boltzmann`` look at the first fitness value only, tournaments and
``best`` at the later ones where the earlier tie.
"""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from deap import tools
from pydantic import Field, Strict

from evolve_llm.nouns.candidate import Candidate, Fitness
from evolve_llm.scheme.decorators import selection
from evolve_llm.scheme.preset import Preset
from evolve_llm_operators.parameters import whole_number
from evolve_llm_operators.selection import trade

MOST_REFERENCES = 20_000
"""Reference points NSGA-III may have: every member is compared with each of them."""


@selection(blind=False, needs_fitness=True, distinct=False)
def tournament(
    individuals: Sequence[Candidate], k: int, *, tournsize: Annotated[int, Field(ge=1)] = 3
) -> list[Candidate]:
    """The best of ``tournsize`` random members, k times (DEAP's selTournament). Larger is greedier.

    ``tournsize=2`` is, in expectation, linear ranking with selection pressure 2 - 1/N.
    Source: Goldberg and Deb, Foundations of Genetic Algorithms, 1991.
    """
    return list(tools.selTournament(_measured(individuals), k, tournsize))


@selection(blind=False, needs_fitness=True, distinct=False)
def double_tournament(
    individuals: Sequence[Candidate],
    k: int,
    *,
    fitness_size: Annotated[int, Field(ge=1)] = 3,
    parsimony_size: Annotated[float, Field(ge=1, le=2)] = 1.4,
    fitness_first: Annotated[bool, Strict()] = True,
) -> list[Candidate]:
    """Tournaments on fitness whose winners meet in pairs that the shorter chain wins (DEAP's selDoubleTournament).

    The shorter of two wins with probability ``parsimony_size`` / 2, so 1 is no pressure and 2 is certain;
    ``fitness_first=False`` has the pairs meet first. Length is the tokens of the text: a reproduced chain
    is as long as its parent, though it cost nothing.

    Source: Luke and Panait, GECCO 2002.
    """
    members = _measured(individuals)
    aspirants = [_Aspirant(one, one.fitness, one.text_tokens) for one in members]
    won = tools.selDoubleTournament(aspirants, k, fitness_size, parsimony_size, fitness_first)
    return [one.candidate for one in won]


@selection(blind=False, needs_fitness=True, distinct=False)
def roulette(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    """Chances in proportion to the fitness (DEAP's selRoulette), which must not be negative.

    A minimised fitness is mirrored between the best and worst of those drawn from: a share is best + worst -
    its own. Zero is never drawn while others are left; where all are zero everybody has the same chance
    (DEAP returns nobody). The scale matters: shift the fitness and the pressure changes; ``boltzmann`` and
    tournaments do not have that trouble.

    Source: Holland, Adaptation in Natural and Artificial Systems, 1975.
    """
    members = _measured(individuals)
    spun = [_Aspirant.weighing(one, share) for one, share in zip(members, _shares(members), strict=True)]
    drawn: list[_Aspirant] = []
    while len(drawn) < k:  # DEAP drops a spin that rounding puts past the last member
        drawn += tools.selRoulette(spun, k - len(drawn))
    return [one.candidate for one in drawn]


@selection(blind=False, needs_fitness=True, whole_generation=True)
def stochastic_universal(individuals: Sequence[Candidate], sizes: Sequence[int]) -> list[list[Candidate]]:
    """Roulette with one spin for the whole generation (DEAP's selStochasticUniversalSampling).

    Evenly spaced pointers give each member floor or ceil of its expected copies; these are dealt to the
    children so that no child has a parent twice, in a random design otherwise. Copies that find no child
    without that parent (a member worth more than one place in every group) go to others by roulette. Shares
    are those of ``roulette``.

    Source: Baker, ICGA 1987.
    """
    members = _measured(individuals)
    total = sum(sizes)
    if not total:
        return [[] for _ in sizes]
    shares = _shares(members)
    wheel = [_Aspirant.weighing(i, share) for i, share in enumerate(shares)]
    random.shuffle(wheel)
    while True:
        try:
            pointed = tools.selStochasticUniversalSampling(wheel, total)
            break
        except IndexError:  # rounding put the last pointer past the last member
            continue
    return _deal(members, Counter(one.candidate for one in pointed), sizes, shares)


@selection(blind=False, needs_fitness=True, distinct=False)
def boltzmann(
    individuals: Sequence[Candidate], k: int, *, temperature: Annotated[float, Field(gt=0)] = 0.25
) -> list[Candidate]:
    """Chances in proportion to exp(fitness / ``temperature``): a softmax, minimised fitness negated.

    The temperature is in units of the fitness; as it falls towards 0 only the best are drawn, large ones make
    it uniform. Any real fitness will do, and adding a constant to it changes nothing.

    Source: de la Maza and Tidor, ICGA 1993.
    """
    members = _measured(individuals)
    merits = [_first(one) for one in members]
    top = max(merits, default=0.0)
    return (
        random.choices(members, [math.exp((merit - top) / temperature) for merit in merits], k=k) if k else []
    )


def _pool_fits(preset: Preset | None, *, pool: int | None = None) -> None:
    if pool is not None:
        whole_number("pool (members that may become parents)", pool, 1 if preset is None else preset.parents)


@selection(blind=False, needs_fitness=True, requires=_pool_fits)
def best(individuals: Sequence[Candidate], k: int, *, pool: int | None = None) -> list[Candidate]:
    """k of the ``pool`` fittest members, uniformly: truncation selection. Without a pool, the k fittest, fittest first.

    Ties are in random order (DEAP's selBest is stable, which favours low slots).
    Source: Mühlenbein and Schlierkamp-Voosen, Evolutionary Computation 1(1), 1993.
    """
    return _survivors(tools.selBest, individuals, k, pool)


@selection(blind=False, needs_fitness=True, distinct=False, objectives=2)
def lexicase(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    """The best on one fitness value after another, in an order shuffled for each parent (DEAP's selLexicase).

    Each value is a case: a verification vote, say. Keeps specialists that an average would drown.
    Source: Spector, GECCO 2012; Helmuth, Spector and Matheson, IEEE TEC 19(5), 2015.
    """
    return list(tools.selLexicase(_measured(individuals), k))


@selection(blind=False, needs_fitness=True, distinct=False, objectives=2)
def epsilon_lexicase(
    individuals: Sequence[Candidate], k: int, *, epsilon: Annotated[float, Field(ge=0)] = 0.1
) -> list[Candidate]:
    """Lexicase in which every member within ``epsilon`` of the best passes a case (DEAP's selEpsilonLexicase).

    Source: La Cava, Spector and Danai, GECCO 2016.
    """
    return list(tools.selEpsilonLexicase(_measured(individuals), k, epsilon))


@selection(blind=False, needs_fitness=True, distinct=False, objectives=2)
def automatic_epsilon_lexicase(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    """Epsilon lexicase whose epsilon is the median absolute deviation of who is left on the case.

    DEAP's selAutomaticEpsilonLexicase. Source: La Cava, Spector and Danai, GECCO 2016.
    """
    with np.errstate(over="ignore"):  # a median past the largest float is an epsilon that everybody passes
        return list(tools.selAutomaticEpsilonLexicase(_measured(individuals), k))


@selection(blind=False, needs_fitness=True, objectives=2, requires=_pool_fits)
def nsga2(individuals: Sequence[Candidate], k: int, *, pool: int | None = None) -> list[Candidate]:
    """k of the ``pool`` (default k) best by Pareto front, then by crowding distance (DEAP's selNSGA2).

    Members with equal fitness values are taken in random order.
    Source: Deb, Pratap, Agarwal and Meyarivan, IEEE TEC 6(2), 2002.
    """
    return _survivors(tools.selNSGA2, individuals, k, pool)


def _references_fit(preset: Preset | None, *, p: int = 4, pool: int | None = None) -> None:
    whole_number("p (divisions of an objective)", p, 1)
    _pool_fits(preset, pool=pool)


@selection(blind=False, needs_fitness=True, objectives=2, requires=_references_fit)
def nsga3(
    individuals: Sequence[Candidate], k: int, *, p: int = 4, pool: int | None = None
) -> list[Candidate]:
    """k of the ``pool`` (default k) best by Pareto front, then spread over reference directions (DEAP's selNSGA3).

    The directions are Das and Dennis's: ``p`` divisions of each of m objectives, C(m + p - 1, p) in all. For many
    objectives, where crowding distances say little.
    Source: Deb and Jain, IEEE TEC 18(4), 2014.
    """
    _references_fit(None, p=p, pool=pool)
    objectives = len(individuals[0].fitness.wvalues) if individuals else 1
    references = math.comb(objectives + p - 1, p)
    if references > MOST_REFERENCES:
        raise ValueError(
            f"p = {p} divisions of {objectives} objectives make {references} reference points, more than "
            f"{MOST_REFERENCES}; set p lower"
        )

    def select(aspirants: list[_Aspirant], n: int) -> list[_Aspirant]:
        points = tools.uniform_reference_points(objectives, p)
        with np.errstate(all="ignore"):  # values near the largest float overflow to infinity and still sort
            return list(tools.selNSGA3(aspirants, n, points, nd="standard"))

    return _survivors(select, individuals, k, pool)


@selection(blind=False, needs_fitness=True, objectives=2, requires=_pool_fits)
def spea2(individuals: Sequence[Candidate], k: int, *, pool: int | None = None) -> list[Candidate]:
    """k of the ``pool`` (default k) best by Pareto strength and density (DEAP's selSPEA2).

    Objectives are first scaled to their range in the population: distances would otherwise be those of the
    objective with the largest numbers. DEAP measures each member's density against those after it only, so the
    order matters; members are shuffled first, which makes that noise and not a preference for slots.

    Source: Zitzler, Laumanns and Thiele, TIK report 103, ETH Zürich, 2001.
    """
    return _survivors(lambda aspirants, n: tools.selSPEA2(_scaled(aspirants), n), individuals, k, pool)


@selection(blind=False, needs_fitness=True, whole_generation=True, objectives=2)
def tournament_dcd(individuals: Sequence[Candidate], sizes: Sequence[int]) -> list[list[Candidate]]:
    """Binary tournaments on dominance, then on crowding distance (DEAP's selTournamentDCD): NSGA-II's mating.

    The mating pool is drawn for the whole generation: everybody enters as many tournaments as anybody else, up to
    the remainder of N by four, which DEAP leaves out of each round at random. Parents are dealt to children
    so that none has one twice; copies that find no child go to uniform others. DEAP works on multiples of
    four and returns too many, or breaks, on other numbers: rounds here are of the largest multiple that
    fits, and a population below four enters four times over.

    Source: Deb, Pratap, Agarwal and Meyarivan, IEEE TEC 6(2), 2002.
    """
    members = _measured(individuals)
    total = sum(sizes)
    if not total:
        return [[] for _ in sizes]
    places = {id(one): i for i, one in enumerate(members)}
    aspirants = _aspirants(members)
    tools.selNSGA2(aspirants, len(aspirants))  # gives each its crowding distance
    entrants = aspirants * 4 if len(aspirants) < 4 else aspirants
    won: list[_Aspirant] = []
    while len(won) < total:
        won += tools.selTournamentDCD(entrants, len(entrants) // 4 * 4)
    counts = Counter(places[id(one.candidate)] for one in won[:total])
    return _deal(members, counts, sizes, [1.0] * len(members))


# ---------------------------------------------------------------- between our candidates and DEAP


@dataclass(slots=True, eq=False)
class _Aspirant:
    """What DEAP sees of a candidate: a fitness it may write on, and a length."""

    candidate: Any
    fitness: Any
    length: int = 0

    @classmethod
    def weighing(cls, candidate: Any, share: float) -> _Aspirant:
        """One whose fitness is its share of the wheel."""
        return cls(candidate, Fitness((share,)))

    def __len__(self) -> int:
        return self.length


def _measured(individuals: Sequence[Candidate]) -> list[Candidate]:
    """The individuals, all of whom have a finite fitness of the same kind. Raises ValueError otherwise."""
    members = list(individuals)
    if not members:
        raise ValueError("the population is empty, so no parent can be selected")
    for one in members:
        if not one.fitness.valid:
            raise ValueError(f"candidate {one.uid} has no fitness; evaluate the population first")
        if not all(map(math.isfinite, one.fitness.wvalues)):
            raise ValueError(f"candidate {one.uid} has the fitness {one.fitness.values}; it must be finite")
        if one.fitness.weights != members[0].fitness.weights:
            raise ValueError(
                f"candidates {members[0].uid} and {one.uid} have fitnesses with different weights, "
                f"{members[0].fitness.weights} and {one.fitness.weights}"
            )
    return members


def _aspirants(members: Sequence[Candidate]) -> list[_Aspirant]:
    """Copies in random order, so that a stable sort has no favourites."""
    return [_Aspirant(one, copy.deepcopy(one.fitness)) for one in random.sample(members, len(members))]


def _survivors(
    select: Callable[[list[_Aspirant], int], list[_Aspirant]],
    individuals: Sequence[Candidate],
    k: int,
    pool: int | None,
) -> list[Candidate]:
    """k of those whom an environmental selection lets live; all parents in random order but for ``pool=None``."""
    _pool_fits(None, pool=pool)
    members = _measured(individuals)
    if k > len(members):
        raise ValueError(f"{k} different parents were asked for, but there are only {len(members)} members")
    if pool is not None and pool < k:
        raise ValueError(f"pool = {pool} is smaller than the {k} parents asked for; raise it to at least {k}")
    n = k if pool is None else min(pool, len(members))
    if not n:
        return []
    living = [one.candidate for one in select(_aspirants(members), n)]
    return living if pool is None else random.sample(living, k)


def _first(one: Candidate) -> float:
    """The first fitness value, turned so that more is better."""
    value = float(one.fitness.values[0])
    return value if one.fitness.weights[0] > 0 else -value


def _shares(members: Sequence[Candidate]) -> list[float]:
    """Shares of a roulette wheel in [0, 1], all equal where nobody has any; see ``roulette``."""
    values = [float(one.fitness.values[0]) for one in members]
    low, high = min(values), max(values)
    if low < 0:
        worst = members[values.index(low)]
        raise ValueError(
            f"candidate {worst.uid} has the fitness {low:g}: the shares of a roulette wheel cannot be "
            "negative; use boltzmann or tournament, which take any fitness"
        )
    if high == 0:
        return [1.0] * len(members)
    scaled = [value / high for value in values]  # sums of large values would overflow
    return scaled if members[0].fitness.weights[0] > 0 else [1.0 - value + low / high for value in scaled]


def _scaled(aspirants: list[_Aspirant]) -> list[_Aspirant]:
    """The same, each objective scaled to [0, 1] over the population."""
    columns = []
    for column in zip(*(one.fitness.wvalues for one in aspirants), strict=True):
        scale = max(map(abs, column)) or 1.0  # first, since the range may overflow
        low, high = min(column) / scale, max(column) / scale
        columns.append([(value / scale - low) / ((high - low) or 1.0) for value in column])
    for one, wvalues in zip(aspirants, zip(*columns, strict=True), strict=True):
        one.fitness.wvalues = wvalues
    return aspirants


def _deal(
    members: Sequence[Candidate], counts: Counter[int], sizes: Sequence[int], shares: Sequence[float]
) -> list[list[Candidate]]:
    """Groups of different members in which each has its count, as far as one place in every group reaches.

    Havel and Hakimi's construction (a member's copies go to the groups with the most room), then ``trade``.
    Places that stay empty are filled by roulette among those not in the group.
    """
    groups: list[list[int]] = [[] for _ in sizes]
    for place in random.sample(sorted(counts), len(counts)):
        room = [slot for slot, size in enumerate(sizes) if len(groups[slot]) < size]
        random.shuffle(room)
        room.sort(key=lambda slot: len(groups[slot]) - sizes[slot])
        for slot in room[: counts[place]]:
            groups[slot].append(place)
    for group, size in zip(groups, sizes, strict=True):
        if size > len(members):
            raise ValueError(
                f"{size} different parents were asked for, but there are only {len(members)} members"
            )
        while len(group) < size:
            others = [place for place in range(len(members)) if place not in group]
            weights = [shares[place] for place in others]
            group += random.choices(others, weights if any(weights) else None)
    return [[members[place] for place in group] for group in trade(groups)]
