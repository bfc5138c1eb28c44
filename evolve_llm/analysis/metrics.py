"""What a population is worth. Pure functions of candidates and their verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from evolve_llm.analysis.health import PopulationHealth
from evolve_llm.analysis.stats import Interval, mean_interval
from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.verdict import Grade, Verdict


@dataclass(frozen=True, slots=True)
class PopulationMetrics:
    """One generation of one problem.

    ``pass_1`` is the share of graded chains that are correct, ``pass_n`` whether any is, ``majority`` the
    probability that a vote over answer classes, ties broken at random, gives a correct answer, ``pass_2`` that
    one of the two largest classes does (ARC's two attempts): each None where nothing could be graded. Failed
    candidates and ungraded chains are counted, never read as wrong.
    """

    size: int
    truncated: int
    failed: int
    ungraded: int
    distinct: int
    pass_1: float | None
    pass_n: float | None
    majority: float | None
    pass_2: float | None = None


def measure(members: Sequence[Candidate], verdicts: Mapping[str, Verdict]) -> PopulationMetrics:
    """Metrics of a population; ``verdicts`` by uid, empty where there is no reference."""
    live = [one for one in members if not one.failed]
    right = {
        one.uid: float(verdicts[one.uid].correct)
        for one in live
        if one.uid in verdicts and verdicts[one.uid].grade is not Grade.UNGRADED
    }
    classes = Counter(one.answer_class for one in live if one.answer_class is not None)
    return PopulationMetrics(
        size=len(members),
        truncated=sum(one.status is Status.TRUNCATED for one in members),
        failed=sum(one.failed for one in members),
        ungraded=sum(1 for one in live if one.uid in verdicts) - len(right),
        distinct=len(classes),
        pass_1=sum(right.values()) / len(right) if right else None,
        pass_n=max(right.values()) if right else None,
        majority=_majority(live, classes, right) if right else None,
        pass_2=_two_best(live, classes, right) if right else None,
    )


def largest_share(members: Sequence[Candidate]) -> float | None:
    """The share of the members that are of the largest answer class; None where all of them failed."""
    if not members or all(one.failed for one in members):
        return None
    classes = Counter(one.answer_class for one in members if not one.failed and one.answer_class is not None)
    return max(classes.values(), default=0) / len(members)


def _majority(live: Sequence[Candidate], classes: Counter[str], right: Mapping[str, float]) -> float:
    if not classes:
        return 0.0
    top = max(classes.values())
    shares = [_share(live, answer, right) for answer, votes in classes.items() if votes == top]
    return sum(shares) / len(shares)


def _two_best(live: Sequence[Candidate], classes: Counter[str], right: Mapping[str, float]) -> float:
    """Mean over the pairs that could be the two largest classes of the probability that one of them is right."""
    if len(classes) < 2:
        return _majority(live, classes, right)
    first, second = sorted(classes.values(), reverse=True)[:2]
    shares = {answer: _share(live, answer, right) for answer, votes in classes.items() if votes >= second}
    pairs = [
        (a, b) for a, b in combinations(shares, 2) if first == second or first in (classes[a], classes[b])
    ]
    return sum(1 - (1 - shares[a]) * (1 - shares[b]) for a, b in pairs) / len(pairs)


def _share(live: Sequence[Candidate], answer: str, right: Mapping[str, float]) -> float:
    """The share of right answers among those of a class that could be graded: 0 or 1 in most."""
    graded = [right[one.uid] for one in live if one.answer_class == answer and one.uid in right]
    return sum(graded) / len(graded) if graded else 0.0


@dataclass(slots=True)
class Average:
    """A mean that keeps no values. What is None is not counted; ``mean`` is None of nothing."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float | None) -> None:
        """Count one value."""
        if value is not None:
            self.total += value
            self.count += 1

    @property
    def mean(self) -> float | None:
        """The mean of the values counted so far."""
        return self.total / self.count if self.count else None


@dataclass(slots=True)
class GenerationMetrics:
    """One generation over all problems that finished it. Rates are means of the problems' own rates.

    The second half is population health; ``evolve_llm.analysis.health`` defines each. ``minorities`` are problems whose
    generation before held right answers in the minority, ``lost_minorities`` those of them where none is left.
    ``half_taken_over`` and ``taken_over`` are ended problems whose winning answer has by now held half of the
    population, and all of it.
    """

    generation: int
    problems: int = 0
    candidates: int = 0
    truncated: int = 0
    failed: int = 0
    ungraded: int = 0
    distinct: float = 0.0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    pass_1: list[float] = field(default_factory=list)
    pass_n: list[float] = field(default_factory=list)
    majority: list[float] = field(default_factory=list)
    pass_2: list[float] = field(default_factory=list)
    entropy: Average = field(default_factory=Average)
    winner_share: Average = field(default_factory=Average)
    effective_parents: Average = field(default_factory=Average)
    repeated_parents: Average = field(default_factory=Average)
    selection_intensity: Average = field(default_factory=Average)
    half_taken_over: int = 0
    taken_over: int = 0
    minorities: int = 0
    lost_minorities: int = 0

    def add(self, one: PopulationMetrics) -> None:
        """Count one problem's population."""
        self.problems += 1
        self.candidates += one.size
        self.truncated += one.truncated
        self.failed += one.failed
        self.ungraded += one.ungraded
        self.distinct += one.distinct
        for values, value in (
            (self.pass_1, one.pass_1),
            (self.pass_n, one.pass_n),
            (self.majority, one.majority),
            (self.pass_2, one.pass_2),
        ):
            if value is not None:
                values.append(value)

    def add_health(self, one: PopulationHealth) -> None:
        """Count the health of one problem's population."""
        self.entropy.add(one.entropy)
        self.winner_share.add(one.winner_share)
        self.effective_parents.add(one.effective_parents)
        self.repeated_parents.add(one.repeated_parents)
        self.selection_intensity.add(one.selection_intensity)
        self.minorities += one.minority
        self.lost_minorities += one.lost

    @property
    def interval(self) -> Interval | None:
        """95 % interval of pass@1, clustered by problem."""
        return mean_interval(self.pass_1)

    def plain(self) -> dict[str, Any]:
        """For ``--json``: names as in the table, None where nothing was graded."""
        interval = self.interval
        return {
            "generation": self.generation,
            "problems": self.problems,
            "pass@1": mean(self.pass_1),
            "pass@1_interval": list(interval) if interval else None,
            "pass@N": mean(self.pass_n),
            "majority": mean(self.majority),
            "pass@2": mean(self.pass_2),
            "distinct": self.distinct / self.problems if self.problems else None,
            "candidates": self.candidates,
            "truncated": self.truncated,
            "failed": self.failed,
            "ungraded": self.ungraded,
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
            "cached_share": self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None,
            "entropy": self.entropy.mean,
            "winner_share": self.winner_share.mean,
            "half_taken_over": self.half_taken_over,
            "taken_over": self.taken_over,
            "effective_parents": self.effective_parents.mean,
            "repeated_parents": self.repeated_parents.mean,
            "selection_intensity": self.selection_intensity.mean,
            "minorities": self.minorities,
            "lost_minorities": self.lost_minorities,
        }


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean, or None if there are no values."""
    return math.fsum(values) / len(values) if values else None
