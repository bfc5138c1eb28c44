"""DEAP's Statistics, Logbook, HallOfFame and ParetoFront on a run: while it goes on, or read from its directory.

An ``Observer`` is given finished generations, by ``evolve(on_generation=…)`` or by ``Run.replay``, and keeps what
DEAP's algorithms return: a logbook and a hall of fame, for each problem its own.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from deap import tools

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.store import StoredPopulation

Kept = TypeVar("Kept")

COUNTS = ("gen", "new", "failed")
"""The columns of every logbook: the generation, members born in it, members that have no text."""


class Observed(Protocol):
    """What an observer reads of a finished generation: ``Generation`` has it, and so has ``Replayed``."""

    @property
    def problem(self) -> Problem: ...
    @property
    def index(self) -> int: ...
    @property
    def members(self) -> Sequence[Candidate]: ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """A finished generation read from a run directory. Its members have the fitness that they had then."""

    problem: Problem
    index: int
    members: tuple[Candidate, ...]
    verdicts: Mapping[str, Verdict]


def replayed(problem: Problem, stored: StoredPopulation) -> Replayed:
    """A stored generation with candidates of its own, so that a survivor's later fitness is not seen in it."""
    members = tuple(copy.copy(one) for one in stored.members)
    for one in members:
        one.fitness = type(one.fitness)()
        if one.uid in stored.fitness:
            one.fitness.assign(stored.fitness[one.uid])
    return Replayed(problem, stored.generation, members, stored.verdicts)


def same_candidate(one: Candidate, other: Candidate) -> bool:
    """Whether two objects are the same candidate of the same problem, such as a survivor and its clone."""
    return (one.problem, one.uid) == (other.problem, other.uid)


class Observer:
    """Keeps a logbook and a hall of fame for each problem of one run.

    Give it to ``evolve(on_generation=…)``, or to ``Run.replay`` afterwards. Fitness values of different problems
    cannot be compared, so nothing is kept across problems: ``logbooks`` and ``halls`` are dictionaries by the
    problem's id, and ``logbook`` and ``halloffame`` are those of a run that has one problem.

    Candidates that failed have no text and no fitness: they are counted, and neither measured nor kept. A row has
    the columns ``gen``, ``new`` (members born in it) and ``failed``, and those of the statistics, which are
    missing where every member had failed.
    """

    def __init__(
        self,
        statistics: tools.Statistics | tools.MultiStatistics | None = None,
        halloffame: Callable[[], tools.HallOfFame] | None = None,
    ) -> None:
        """
        Args:
            statistics: computed over the members of each generation that have not failed.
            halloffame: makes an empty hall of fame or Pareto front for a problem, such as
                ``lambda: tools.HallOfFame(3)`` or ``tools.ParetoFront``. One that compares individuals by ``==``,
                DEAP's default, is set to compare by ``same_candidate``, because survivors are seen again. A
                candidate is kept with the fitness it had when it was let in.

        Raises:
            UserError: where either is something else.
        """
        if statistics is not None and not isinstance(statistics, tools.Statistics | tools.MultiStatistics):
            raise UserError(
                f"statistics must be DEAP's Statistics or MultiStatistics, got {statistics!r:.100}; for example "
                "tools.Statistics(lambda one: one.fitness.values)"
            )
        if halloffame is not None and not callable(halloffame):
            raise UserError(
                f"halloffame must be a function that makes one, because every problem has its own, got "
                f"a {type(halloffame).__name__}; write halloffame=lambda: tools.HallOfFame(3)"
            )
        self.statistics = statistics
        self.logbooks: dict[str, tools.Logbook] = {}
        self.halls: dict[str, tools.HallOfFame] = {}
        self._make_hall = halloffame

    @property
    def logbook(self) -> tools.Logbook:
        """The logbook of the only problem. Raises UserError where there are none or several."""
        return _only(self.logbooks, "logbooks")

    @property
    def halloffame(self) -> tools.HallOfFame:
        """The hall of fame of the only problem. Raises UserError where there are none or several."""
        return _only(self.halls, "halls")

    def __call__(self, generation: Observed) -> None:
        """Take note of a finished generation; those of one problem come in order.

        Raises UserError where a generation comes again, and where a hall of fame is wanted of a run without fitness.
        """
        problem, members = generation.problem.id, generation.members
        living = [one for one in members if not one.failed]
        logbook = self._logbook(problem)
        if logbook and logbook[-1]["gen"] >= generation.index:
            raise UserError(
                f"generation {generation.index} of problem {problem!r} was observed before; an Observer is for one "
                "run: make another"
            )
        if self._make_hall is not None and living:
            if not all(one.fitness.valid for one in living):
                raise UserError(
                    "a hall of fame needs a fitness and the preset has no [evaluate]; add one, for example "
                    'evaluate="agreement"'
                )
            self._hall(problem, self._make_hall).update(living)
        born = sum(one.generation == generation.index for one in members)
        counts = dict(zip(COUNTS, (generation.index, born, len(members) - len(living)), strict=True))
        logbook.record(**counts, **self._compiled(living))

    def _compiled(self, living: Sequence[Candidate]) -> dict[str, Any]:
        if self.statistics is None:
            return {}
        if living:
            return dict(self.statistics.compile(living))
        chapters = self.statistics if isinstance(self.statistics, tools.MultiStatistics) else ()
        return {name: {} for name in chapters}

    def _logbook(self, problem: str) -> tools.Logbook:
        if problem not in self.logbooks:
            logbook = self.logbooks[problem] = tools.Logbook()
            logbook.header = [*COUNTS, *(self.statistics.fields if self.statistics is not None else ())]
            if isinstance(self.statistics, tools.MultiStatistics):
                for name, statistics in self.statistics.items():
                    logbook.chapters[name].header = list(statistics.fields)
        return self.logbooks[problem]

    def _hall(self, problem: str, make: Callable[[], tools.HallOfFame]) -> tools.HallOfFame:
        if problem not in self.halls:
            hall = make()
            if not isinstance(hall, tools.HallOfFame) or len(hall):
                raise UserError(
                    f"halloffame must make an empty HallOfFame or ParetoFront, it made {hall!r:.100}"
                )
            if any(hall is other for other in self.halls.values()):
                raise UserError(
                    "halloffame must make a new hall of fame at every call, it made the same one twice"
                )
            if hall.similar is operator.eq:
                hall.similar = same_candidate
            self.halls[problem] = hall
        return self.halls[problem]


def _only(kept: Mapping[str, Kept], name: str) -> Kept:
    if len(kept) != 1:
        listed = ", ".join(list(kept)[:10]) or "none yet"
        raise UserError(f"there is one for each problem ({listed}): use .{name}[problem id]")
    return next(iter(kept.values()))
