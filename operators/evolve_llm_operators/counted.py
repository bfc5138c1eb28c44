"""Selection by counted evidence: parents by the votes about them, and by what became of their children.

Both decide for a whole generation at once, because what they fit (a prior, a credit) is of the whole population.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.scheme.declarations import Replacement, declaration
from evolve_llm.scheme.decorators import selection
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.toolbox import resolve

Counts = tuple[float, float]
"""(votes for, votes against)."""

UNTOLD = 2.0
"""The weight of a prior, in votes, where the counts cannot tell it: that of Laplace's."""
LEAST, MOST = 0.1, 1e6
"""Bounds of the weight of a prior in votes; at MOST everybody is taken to be the same."""


@selection(blind=False, needs_fitness=True, whole_generation=True)
def tournament_shrunk(
    individuals: Sequence[Candidate],
    sizes: Sequence[int],
    *,
    tournsize: Annotated[int, Field(ge=1)] = 3,
    evidence: str = "self_verify",
) -> list[list[Candidate]]:
    """Tournaments on verification that trust the votes as far as they tell members apart (empirical Bayes).

    A Beta prior is fitted to the yes and no votes of the whole population by moments, each member's own votes are
    added to it, and a tournament of ``tournsize`` members goes to the highest *draw* from these posteriors. Where
    the votes scatter no more than luck would have it, the prior outweighs them and the choice is nearly uniform;
    where members clearly differ, it is nearly a plain tournament. Draws, because with as many votes for everybody
    the posterior means stand in the order of the counts and shrinking them would change nothing.

    The votes are the fitness's ``evidence`` (``self_verify`` keeps them): all keys whose first word is
    ``evidence``, values of 0 ... 1, others being no votes. Where no member has any, it is a plain tournament on the
    first fitness value. With one vote for each, the scatter cannot be told from luck: the prior then weighs 2 votes.

    Source: ours. The moment estimator: Kleinman, JASA 68, 1973; draws from posteriors: Thompson, Biometrika 25,
    1933; tournaments: Goldberg and Deb, 1991.
    """
    members = list(individuals)
    counts = [_counted(one, evidence) for one in members]
    if not any(map(sum, counts)):
        return _tournaments(members, sizes, tournsize, lambda place: _first(members[place]))
    mean, weight = beta_prior(counts)
    posterior = [(mean * weight + yes, (1.0 - mean) * weight + no) for yes, no in counts]
    return _tournaments(members, sizes, tournsize, lambda place: random.betavariate(*posterior[place]))


def beta_prior(counts: Sequence[Counts]) -> tuple[float, float]:
    """The Beta prior of these counts, by moments: its mean, and its weight in votes (alpha + beta).

    The mean is drawn half a vote towards 1/2, so that it is never 0 or 1. The weight is UNTOLD where the counts
    cannot tell it (nobody has more than one vote, or all votes are the same), and within LEAST ... MOST.
    """
    told = [(yes, yes + no) for yes, no in counts if yes + no > 0]
    votes, yes = sum(n for _, n in told), sum(y for y, _ in told)
    mean = (yes + 0.5) / (votes + 1.0)
    free = len(told) - 1
    room = votes - sum(n * n for _, n in told) / votes - free if votes else 0.0
    share = yes / votes if votes else 0.5
    if room <= 1e-9 or not 1e-12 < share < 1.0 - 1e-12:
        return mean, UNTOLD
    scatter = sum(n * (y / n - share) ** 2 for y, n in told) / (share * (1.0 - share))
    correlation = (scatter - free) / room  # between two votes about one member; 1 / (weight + 1)
    if correlation <= 0:
        return mean, MOST
    return mean, min(MOST, max(LEAST, 1.0 / correlation - 1.0))


def _families_meet(preset: Preset, **_: object) -> None:
    replace = resolve("replace", preset.replace.operator)
    if declaration(Replacement, replace).positional:
        raise ValueError(
            "it looks at parents beside their children, and this replacement keeps no parent; use one that does, "
            'for example replace = "accumulate" (plus keeps only the children that did well)'
        )


@selection(blind=False, needs_fitness=True, whole_generation=True, requires=_families_meet)
def credited(
    individuals: Sequence[Candidate],
    sizes: Sequence[int],
    *,
    tournsize: Annotated[int, Field(ge=1)] = 2,
    weight: Annotated[float, Field(ge=0)] = 1.0,
    prior: Annotated[float, Field(gt=0)] = 2.0,
) -> list[list[Candidate]]:
    """Tournaments on fitness plus credit: how much better a member's children were measured than expected.

    A child is expected to be worth the mean of its parents' fitness; what it is worth above that is credited to each
    of them. A member's credit is the sum over its children, divided by their number + ``prior`` (as if it had so
    many children as good as expected), and counts ``weight`` times. Members without children have none.

    It sees the present population and nothing else. A child counts while it and all its parents are members, so
    with ``accumulate`` every child counts, and with ``plus`` those that survived, which are the better ones. All
    parents of a child are credited alike: who of them helped cannot be told from one child. A fitness that asks the
    model is an opinion, and so is the credit that rests on it. The first fitness value counts.

    Source: ours; credit by improvement over the parents, as in Davis, ICGA 1989, given to the parents.
    """
    members = list(individuals)
    credit = credit_of(members, prior)
    worth = [_first(one) + weight * credit[one.uid] for one in members]
    return _tournaments(members, sizes, tournsize, lambda place: worth[place])


def credit_of(members: Sequence[Candidate], prior: float) -> dict[str, float]:
    """The credit of each member by uid, in units of the fitness. See ``credited``."""
    known = {one.uid: one for one in members}
    gains: dict[str, list[float]] = {uid: [] for uid in known}
    for child in members:
        if child.parents and all(uid in known for uid in child.parents):
            expected = math.fsum(_first(known[uid]) for uid in child.parents) / len(child.parents)
            for uid in child.parents:
                gains[uid].append(_first(child) - expected)
    return {uid: math.fsum(each) / (len(each) + prior) for uid, each in gains.items()}


def _counted(one: Candidate, evidence: str) -> Counts:
    """The votes about a candidate; a value between 0 and 1 is a part of a vote each way."""
    votes = [
        value
        for key, values in one.evidence.items()
        if key.partition(" ")[0] == evidence
        for value in values
        if 0.0 <= value <= 1.0
    ]
    return sum(votes), len(votes) - sum(votes)


def _tournaments(
    members: list[Candidate], sizes: Sequence[int], tournsize: int, worth: Callable[[int], float]
) -> list[list[Candidate]]:
    """Groups of different members, each the winner of a tournament among those not in the group; ties at random."""
    if sizes and max(sizes) > len(members):
        raise ValueError(
            f"{max(sizes)} different parents were asked for, but there are only {len(members)} members"
        )
    groups = []
    for size in sizes:
        left = list(range(len(members)))
        group = []
        for _ in range(size):
            entrants = random.sample(
                left, min(tournsize, len(left))
            )  # in random order: ties go to any of them
            won = max(entrants, key=worth)
            left.remove(won)
            group.append(members[won])
        groups.append(group)
    return groups


def _first(one: Candidate) -> float:
    """The first fitness value, turned so that more is better."""
    return float(one.fitness.wvalues[0])
