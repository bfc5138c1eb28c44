"""Run: the results of a run, read from its directory. Nothing here needs a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve_llm.analysis.attempts import further_attempts
from evolve_llm.analysis.health import population_health, takeover_time
from evolve_llm.analysis.metrics import GenerationMetrics, mean, measure
from evolve_llm.analysis.readings import CountedReading, readings
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.html import table
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.run_files import read_run_json
from evolve_llm.record.store import Store, StoredPopulation

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from deap import tools

    from evolve_llm.analysis.logbook import Replayed


@dataclass(frozen=True, slots=True)
class Attempt:
    """An answer handed in beside the first."""

    answer: str | None
    uid: str
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Result:
    """What came out for one problem. ``answer`` and ``uid`` are None while it is unfinished or all failed.

    ``further`` are the attempts after the first, where the finish hands in several.
    """

    id: str
    finished: bool
    answer: str | None
    uid: str | None
    verdict: Verdict | None
    further: tuple[Attempt, ...] = ()

    @property
    def solved(self) -> bool | None:
        """Whether any attempt is correct; None where none could be graded."""
        verdicts = [self.verdict, *(one.verdict for one in self.further)]
        graded = [one.correct for one in verdicts if one is not None and one.grade is not Grade.UNGRADED]
        return any(graded) if graded else None


class Run:
    """The results of a run, read from its directory.

    A Run is cheap to make. Everything is read when it is asked for, problem by problem.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a run directory.

        Args:
            path: The directory, finished or not; another process may be writing it.

        Raises:
            UserError: ``path`` is not a run directory.
            StoreError: The run directory is damaged.
        """
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise UserError(f"{self.path} is not a run directory (it has no run.json)")
        described = read_run_json(self.path)
        self.config: dict[str, Any] = described["config"]
        self.environment: dict[str, Any] = described["environment"]

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def attempts(self) -> int:
        """Answers handed in for a problem, one of which must be right."""
        return int(self.config.get("attempts", 1))

    @property
    def complete(self) -> bool:
        """Whether every problem has its answer."""
        with Store.open_to_read(self.path) as store:
            return bool(len(store.finished()) == self.config["problems"]["count"])

    def problems(self) -> list[Problem]:
        """The problems of the run, in order."""
        with Store.open_to_read(self.path) as store:
            return store.problems()

    def results(self) -> list[Result]:
        """The answer and the verdict of each problem, in order.

        Returns:
            One Result for each problem, unfinished ones included.
        """
        with Store.open_to_read(self.path) as store:
            answers = store.answers()
            found = []
            for order, problem in enumerate(store.problems()):
                uid, answer = answers.get(order, (None, None))
                verdicts = store.verdicts(order) if uid is not None else {}
                further = _further(store, order, uid, self.attempts) if uid and self.attempts > 1 else []
                attempts = tuple(Attempt(one.answer, one.uid, verdicts.get(one.answer)) for one in further)
                found.append(
                    Result(problem.id, order in answers, answer, uid, verdicts.get(answer), attempts)
                )
            return found

    def readings(self) -> tuple[CountedReading, ...]:
        """By which reading its verdicts are, and where another reading parts from it; empty for most graders."""
        with Store.open_to_read(self.path) as store:
            graders = [problem.grader for problem in store.problems()]
            return readings((graders[place], verdict) for place, verdict in store.read_verdicts())

    def populations(self, *, texts: bool = True) -> Iterator[tuple[Problem, list[StoredPopulation]]]:
        """Read the populations problem by problem, with one problem in memory at a time.

        Args:
            texts: Whether to read the chains themselves, which takes most of the time.

        Yields:
            Each problem with its finished generations, oldest first.
        """
        with Store.open_to_read(self.path) as store:
            for order, problem in enumerate(store.problems()):
                yield problem, store.populations(order, texts=texts)

    def population(self, problem: str, generation: int = -1) -> tuple[Candidate, ...]:
        """Read one finished population with its texts.

        Args:
            problem: The id of the problem.
            generation: The number of the generation; -1 is the last finished one.

        Raises:
            UserError: There is no such problem, or the generation is not finished.
        """
        with Store.open_to_read(self.path) as store:
            ids = [one.id for one in store.problems()]
            if problem not in ids:
                raise UserError(f"no problem {problem!r} in {self.path}; it has {', '.join(ids[:10])}")
            found = store.populations(ids.index(problem), texts=True)
        try:
            return found[generation].members
        except IndexError:
            raise UserError(
                f"problem {problem!r} has {len(found)} finished generation(s), but no generation {generation}"
            ) from None

    def generations(self) -> list[GenerationMetrics]:
        """Compute the metrics of each generation over the problems that finished it, and the tokens spent in it.

        Returns:
            One row for each generation that has begun, oldest first.
        """
        rows = [GenerationMetrics(index) for index in range(self.config["preset"]["generations"])]
        with Store.open_to_read(self.path) as store:
            finished = store.finished()
            for order in range(store.count_problems()):
                _count(rows, store.populations(order), store.candidates(order), order in finished)
            for generation, _, requests, prompt, completion, cached in store.tokens():
                row = rows[generation]
                row.requests += requests
                row.prompt_tokens += prompt
                row.completion_tokens += completion
                row.cached_tokens += cached
        return [row for row in rows if row.problems or row.requests]

    def replay(self, on_generation: Callable[[Replayed], None]) -> None:
        """Give every finished generation to a function, problem by problem, oldest first: an ``Observer``, say.

        Its members have their texts and the fitness they had in it. What is not stored of a candidate (see there)
        has its default.
        """
        from evolve_llm.analysis.logbook import replayed

        for problem, populations in self.populations():
            for stored in populations:
                on_generation(replayed(problem, stored))

    def logbook(
        self, statistics: tools.Statistics | tools.MultiStatistics | None = None, problem: str | None = None
    ) -> tools.Logbook:
        """DEAP's Logbook of one problem, a row a generation, as ``evolve_llm.analysis.logbook`` describes.

        ``problem`` may be left out where the run has one. Raises UserError where it has several, or no such problem.
        """
        from evolve_llm.analysis.logbook import Observer

        observer = Observer(statistics)
        self.replay(observer)
        if problem is None:
            return observer.logbook
        if problem not in observer.logbooks:
            listed = ", ".join(list(observer.logbooks)[:10]) or "none"
            raise UserError(
                f"no finished generation of a problem {problem!r} in {self.path}; there are those of {listed}"
            )
        return observer.logbooks[problem]

    def lineage(self, problem: str | None = None) -> nx.DiGraph[str]:
        """Who descends from whom, as a graph that ``evolve_llm.analysis.lineage`` describes.

        Args:
            problem: The id of a problem, or None for the whole run.

        Returns:
            A directed graph from parents to children. Its nodes are uids, or ``problem id/uid`` for the whole run.

        Raises:
            UserError: There is no such problem.
        """
        from evolve_llm.analysis.lineage import run_lineage

        with Store.open_to_read(self.path) as store:
            return run_lineage(store, problem)

    def plain(self) -> dict[str, Any]:
        """The whole result as plain data, as ``--json`` prints it. docs/cli.md describes its keys."""
        generations = [row.plain() for row in self.generations()]
        results = self.results()
        graded = [float(one.solved) for one in results if one.solved is not None]
        return {
            "run": {
                "path": str(self.path),
                "preset": self.config["preset"]["name"],
                "model": self.config["model"],
                "seed": self.config["seed"],
                "problems": len(results),
                "finished": sum(one.finished for one in results),
                "complete": all(one.finished for one in results),
                "accuracy": mean(graded),
                "oracle": self.config.get("oracle", False),
                "attempts": self.attempts,
                "readings": [asdict(one) for one in self.readings()],
            },
            "generations": generations,
            "problems": [
                {
                    "id": one.id,
                    "answer": one.answer,
                    "verdict": one.verdict.grade.value if one.verdict else None,
                    "rule": one.verdict.rule if one.verdict else None,
                    "candidate": one.uid,
                    **(
                        {"further": [_plain(attempt) for attempt in one.further]} if self.attempts > 1 else {}
                    ),
                }
                for one in results
            ],
            "tokens": {
                key: sum(row[f"{key}_tokens"] for row in generations)
                for key in ("prompt", "completion", "cached")
            },
        }

    def frame(self, *, texts: bool = False) -> pd.DataFrame:
        """A pandas data frame with a row for every member of every finished population.

        ``evolve_llm.analysis.frames`` lists the columns. Raises UserError without pandas.
        """
        from evolve_llm.analysis.frames import candidates_frame

        return candidates_frame(self, texts=texts)

    def _repr_html_(self) -> str:
        rows = [row.plain() for row in self.generations()]
        names = ("generation", "problems", "pass@1", "pass@N", "majority", "distinct", "truncated", "failed",
                 "prompt_tokens", "completion_tokens")  # fmt: skip
        preset = self.config["preset"]["name"]
        title = f"{preset} on {self.config['model']}, seed {self.config['seed']}: {self.path}"
        return table(
            title, [one.replace("_", " ") for one in names], [[row[one] for one in names] for row in rows]
        )

    def to_json(self) -> str:
        """The result of ``plain`` as one line of JSON."""
        return json.dumps(self.plain(), ensure_ascii=False)


def _further(store: Store, order: int, uid: str, attempts: int) -> list[Candidate]:
    """The attempts after the first: it may stand outside the last population."""
    first = next((one.answer_class for one in store.candidates(order) if one.uid == uid), None)
    populations = store.populations(order)
    return further_attempts(populations[-1].members, first, attempts) if populations else []


def _plain(one: Attempt) -> dict[str, Any]:
    return {
        "answer": one.answer,
        "verdict": one.verdict.grade.value if one.verdict else None,
        "candidate": one.uid,
    }


def _count(
    rows: list[GenerationMetrics],
    populations: list[StoredPopulation],
    born: list[Candidate],
    ended: bool,
) -> None:
    """Count the generations of one problem into the rows."""
    for one, health in zip(populations, population_health(populations, born, ended=ended), strict=True):
        rows[one.generation].add(measure(one.members, one.verdicts))
        rows[one.generation].add_health(health)
    if ended:
        members = [one.members for one in populations]
        half, whole = takeover_time(members, 0.5), takeover_time(members)
        for row in rows:
            row.half_taken_over += half is not None and row.generation >= half
            row.taken_over += whole is not None and row.generation >= whole
