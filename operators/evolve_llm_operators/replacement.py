"""Replacement operators: who survives into the next generation. Signature ``(parents, offspring, n) -> list``.

``parents`` is the whole population that the offspring came from. A failed candidate has no fitness: it is
never preferred to a live one. Ties are broken at random. What each declares is checked by the contract suite.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.scheme.decorators import replacement
from evolve_llm.scheme.preset import Preset
from evolve_llm_operators.ranking import ranked


@replacement(positional=True)
def generational(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:  # noqa: ARG001
    """The offspring, whoever the parents were: the (n, n) replacement of RSA and of DEAP's eaSimple."""
    return list(offspring[:n])


@replacement(needs_fitness=True)
def plus(
    parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int, *, pareto: bool = False
) -> list[Candidate]:
    """(mu + lambda): the n best of parents and offspring, which compete as equals.

    With ``pareto``, best by nondominated front and crowding distance, for a fitness of several objectives.
    Sources: Beyer and Schwefel, Evolution strategies, 2002; Deb et al., NSGA-II, 2002.
    """
    return ranked([*parents, *offspring], pareto=pareto)[:n]


def _enough_offspring(preset: Preset, **_: object) -> None:
    children = preset.offspring or preset.population
    if preset.generations > 1 and children < preset.population:
        raise ValueError(
            f"it keeps {preset.population} of the offspring, but there are only {children}; set offspring "
            f"to at least {preset.population}, or use plus"
        )


@replacement(needs_fitness=True, requires=_enough_offspring)
def comma(
    parents: Sequence[Candidate],  # noqa: ARG001
    offspring: Sequence[Candidate],
    n: int,
    *,
    pareto: bool = False,
) -> list[Candidate]:
    """(mu, lambda): the n best of the offspring; no parent survives, not even the best one.

    Source: Beyer and Schwefel, Evolution strategies, 2002.
    """
    if len(offspring) < n:
        raise ValueError(f"comma keeps {n} of the offspring, but there are only {len(offspring)}")
    return ranked(offspring, pareto=pareto)[:n]


def _room_for_elites(preset: Preset, *, e: int = 1) -> None:
    children = preset.offspring or preset.population
    if not 1 <= e <= preset.population:
        raise ValueError(f"e must be in 1 ... population ({preset.population}), got {e}")
    if preset.generations > 1 and children < preset.population:
        raise ValueError(
            f"it replaces the worst of {preset.population} offspring, but there are only {children}; set "
            f"offspring to at least {preset.population}, or use plus"
        )


@replacement(needs_fitness=True, requires=_room_for_elites)
def elitism(
    parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int, *, e: int = 1
) -> list[Candidate]:
    """The e best parents replace the worst offspring; the other offspring survive, whatever their fitness.

    A failed parent is no elite, and failed offspring are the first to be replaced. Of more than n offspring,
    the best are kept. Source: De Jong's plan R2, 1975.
    """
    if len(offspring) < n or not 1 <= e <= n:
        raise ValueError(f"elitism of e={e} needs 1 <= e <= {n} and {n} offspring, got {len(offspring)}")
    elite = [one for one in ranked(parents) if one.fitness.valid][:e]
    kept = {id(one) for one in ranked(offspring)[: n - len(elite)]}
    return [*elite, *(one for one in offspring if id(one) in kept)]


@replacement(varies_size=True)
def accumulate(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:  # noqa: ARG001
    """Parents and offspring together: the population grows by the offspring, failed ones left out.

    Compare tree search that keeps every node open to expansion (AB-MCTS, arXiv 2503.04412).
    """
    everyone = [*parents, *offspring]
    return [one for one in everyone if not one.failed] or everyone


@replacement(varies_size=True)
def offspring(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:  # noqa: ARG001
    """The offspring, however many there are: with ``offspring`` below N the population narrows after generation 0.

    Many drafts, then few children that read all of them. ``generational`` keeps N and can be planned ahead.
    Source: the rounds of PDR, arXiv 2510.01123, and of PaCoRe, arXiv 2601.05593.
    """
    return list(offspring)


@replacement(varies_size=True, narrows=True)
def prune(
    parents: Sequence[Candidate],
    offspring: Sequence[Candidate],
    n: int,
    *,
    warmup: Annotated[int, Field(ge=1)] = 1,
    least: Annotated[int, Field(ge=1)] = 2,
) -> list[Candidate]:
    """The offspring but those who were outside the consensus twice in a row, they and all their parents; width shrinks.

    The consensus of a generation is the answer that most of its live members give, one that ties for most is none. A
    chain without an answer is outside. Children are pruned from generation ``warmup`` on, and only as far as
    ``least`` are left, drawn at random. A failed child is dropped. Those who are pruned have no successors: the
    next generation has as many children as there are members.

    Source: deviation-based pruning as in Parallel-Probe, arXiv 2602.03845, from one generation to the next: what a
    branch answered before that is not known here, so the patience is 2 and cannot be set.
    """
    live = [one for one in offspring if not one.failed]
    if not live:
        return list(offspring[:n])
    now, before = _consensus(live), _consensus([one for one in parents if not one.failed])
    known = {one.uid: one for one in parents}

    def deviates(child: Candidate) -> bool:
        origin = [known[uid] for uid in child.parents if uid in known]
        return (
            child.generation >= warmup
            and bool(origin)
            and child.answer_class != now
            and all(one.answer_class != before for one in origin)
        )

    gone = {id(one) for one in live if now is not None and before is not None and deviates(one)}
    spared = max(0, min(least, len(live)) - (len(live) - len(gone)))
    gone -= {id(one) for one in random.sample([one for one in live if id(one) in gone], spared)}
    return [one for one in live if id(one) not in gone][:n]


def _consensus(members: Sequence[Candidate]) -> str | None:
    """The answer with more votes than any other."""
    votes = Counter(one.answer_class for one in members if one.answer_class is not None).most_common(2)
    return votes[0][0] if votes and (len(votes) < 2 or votes[0][1] > votes[1][1]) else None


@replacement(needs_fitness=True)
def steady_state(
    parents: Sequence[Candidate],
    offspring: Sequence[Candidate],
    n: int,
    *,
    replace: Literal["worst", "similar"] = "worst",
) -> list[Candidate]:
    """Each child in turn takes the place of one member, unless it is less fit than that member.

    ``replace="worst"``: of the worst member (GENITOR, Whitley 1989). ``replace="similar"``: of the most
    similar one, which keeps minorities alive: same answer class before another, then the larger share of
    words in common (restricted tournament, Harik 1995). A failed member goes first, a failed child never
    enters. Meant for few offspring a generation; at a tie the child enters.
    """
    members = ranked(parents)[:n] if len(parents) > n else list(parents)
    words: dict[int, frozenset[str]] = {}
    for child in offspring:
        if len(members) < n:
            members.append(child)
            continue
        if child.failed:
            continue
        dead = [place for place, one in enumerate(members) if not one.fitness.valid]
        if dead:
            members[random.choice(dead)] = child
            continue
        if replace == "worst":
            worst = ranked(members)[-1]
            place = next(place for place, one in enumerate(members) if one is worst)
        else:
            place = _most_similar(child, members, words)
        if child.fitness >= members[place].fitness:
            members[place] = child
    return members


def _most_similar(child: Candidate, members: Sequence[Candidate], words: dict[int, frozenset[str]]) -> int:
    def vocabulary(one: Candidate) -> frozenset[str]:
        if id(one) not in words:
            words[id(one)] = frozenset(re.findall(r"\w+", one.text.lower()))
        return words[id(one)]

    def likeness(place: int) -> tuple[bool, float]:
        one, mine = members[place], vocabulary(child)
        union = len(mine | vocabulary(one))
        shared = len(mine & vocabulary(one)) / union if union else 1.0
        return one.answer_class == child.answer_class, shared

    return max(random.sample(range(len(members)), len(members)), key=likeness)
