"""Selection by content: parents by their answers. Needs no fitness, but the population must have ended.

Answers are compared by class (``Candidate.answer_class``), never as text. Chains without an answer have no
class: they are neither an opinion nor a minority.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.scheme.decorators import selection


@selection(blind=False)
def diverse(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    """Parents from k different answer classes, as far as there are so many: classes uniformly, then members.

    With fewer classes than k, each class gives one parent, then each that has members left a second, and so on,
    in an order drawn anew each time; chains without an answer come last. Parents stand in random order.

    Source: ours; one parent a niche, after Goldberg and Richardson, ICGA 1987 (sharing), and Mahfoud,
    Niching Methods for Genetic Algorithms, 1995.
    """
    _enough(individuals, k)
    classes: dict[str, list[Candidate]] = {}
    silent: list[Candidate] = []
    for one in random.sample(list(individuals), len(individuals)):
        if one.answer_class is None:
            silent.append(one)
        else:
            classes.setdefault(one.answer_class, []).append(one)
    chosen: list[Candidate] = []
    while len(chosen) < k and (rest := [members for members in classes.values() if members]):
        visited = random.sample(rest, min(len(rest), k - len(chosen)))
        chosen += [members.pop() for members in visited]
    chosen += silent[: k - len(chosen)]
    random.shuffle(chosen)
    return chosen


@selection(blind=False)
def assorted(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
    """A uniform k-subset among those that hold a minority answer, if the population has one.

    A minority answer is any answer outside the largest class; of classes tied for largest one is drawn to be
    it. Where all answers agree this is ``uniform``. It keeps a dissenting chain in every prompt, so that a
    majority is argued with before it takes over.

    Source: ours; the uniform subset of RSA, arXiv 2509.26626, conditioned on disagreement.
    """
    return _with_minority(individuals, k, 1)


@selection(blind=False, by_generation=True)
def assorted_decaying(
    individuals: Sequence[Candidate],
    k: int,
    *,
    generation: int,
    quota: Annotated[float, Field(ge=0)] = 1.0,
    decay: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> list[Candidate]:
    """As ``assorted``, with a quota of minority answers that shrinks: quota * decay ** (generation - 1) in each group.

    The quota's fraction is a chance: at 1.5 every group holds one minority answer and half of the groups a
    second. As far as there are so many, the group is a uniform k-subset among those that hold them; at 0 it is
    ``uniform``. ``decay=1`` with ``quota=1`` is ``assorted``. Dissent is worth most early, while many answers are
    alive; late, a minority is mostly error.

    Source: ours; exploration that is annealed, as the temperature of Kirkpatrick et al., Science 220, 1983.
    """
    wanted = quota * decay ** (generation - 1)
    least = math.floor(wanted) + (random.random() < wanted % 1)
    return _with_minority(individuals, k, least)


def _with_minority(individuals: Sequence[Candidate], k: int, least: int) -> list[Candidate]:
    """A uniform k-subset, in random order, among those with ``least`` minority answers or as many as there are."""
    _enough(individuals, k)
    counts = Counter(one.answer_class for one in individuals if one.answer_class is not None)
    most = max(counts.values(), default=0)
    largest = random.choice(sorted(answer for answer, votes in counts.items() if votes == most) or [""])
    minority = [one for one in individuals if one.answer_class not in (None, largest)]
    least = min(least, len(minority), k)
    if not least:
        return random.sample(list(individuals), k)
    others = [one for one in individuals if one.answer_class in (None, largest)]
    # The number of minority parents is hypergeometric, given that it is large enough; exactly, in whole numbers.
    ways = [
        math.comb(len(minority), count) * math.comb(len(others), k - count) for count in range(least, k + 1)
    ]
    dissenters = least - 1
    point = random.randrange(sum(ways))
    while point >= 0:
        dissenters += 1
        point -= ways[dissenters - least]
    chosen = random.sample(minority, dissenters) + random.sample(others, k - dissenters)
    random.shuffle(chosen)
    return chosen


def _enough(individuals: Sequence[Candidate], k: int) -> None:
    if k > len(individuals):
        raise ValueError(
            f"{k} different parents were asked for, but there are only {len(individuals)} members"
        )
