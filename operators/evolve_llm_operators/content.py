"""Selection by content: parents by their answers. Needs no fitness, but the population must have ended.

Answers are compared by class (``Candidate.answer_class``), never as text. Chains without an answer have no
class: they are neither an opinion nor a minority.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

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
    _enough(individuals, k)
    counts = Counter(one.answer_class for one in individuals if one.answer_class is not None)
    most = max(counts.values(), default=0)
    largest = random.choice(sorted(answer for answer, votes in counts.items() if votes == most) or [""])
    minority = [one for one in individuals if one.answer_class not in (None, largest)]
    if not minority or not k:
        return random.sample(list(individuals), k)
    others = [one for one in individuals if one.answer_class in (None, largest)]
    # The number of minority parents is hypergeometric, given that it is not zero; exactly, in whole numbers.
    dissenters = 0
    ways = math.comb(len(individuals), k) - math.comb(len(others), k)
    point = random.randrange(ways)
    while point >= 0:
        dissenters += 1
        point -= math.comb(len(minority), dissenters) * math.comb(len(others), k - dissenters)
    chosen = random.sample(minority, dissenters) + random.sample(others, k - dissenters)
    random.shuffle(chosen)
    return chosen


def _enough(individuals: Sequence[Candidate], k: int) -> None:
    if k > len(individuals):
        raise ValueError(
            f"{k} different parents were asked for, but there are only {len(individuals)} members"
        )
