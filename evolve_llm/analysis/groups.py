"""The results of a run by something its problems say of themselves: a discipline, a task, a difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm.analysis.metrics import mean, measure
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import mean_interval
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem

REST = "(none)"
"""The group of problems that say nothing."""


@dataclass(frozen=True, slots=True)
class Group:
    """Finished problems of one kind. Rates are means over its problems, None where nothing was graded.

    ``accuracy`` is of the answers handed in (all attempts), ``pass_1`` of the last population's members.
    """

    name: str
    problems: int
    accuracy: float | None
    pass_1: float | None
    interval: tuple[float, float] | None

    def plain(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "group": self.name,
            "problems": self.problems,
            "accuracy": self.accuracy,
            "pass@1": self.pass_1,
            "pass@1_interval": list(self.interval) if self.interval else None,
        }


def group_by(run: Run, key: str) -> list[Group]:
    """Finished problems by ``metadata[key]``, groups by name.

    Raises UserError where no problem has the key, naming those they have.
    """
    rows: dict[str, tuple[list[float], list[float], list[None]]] = {}
    known = False
    for (problem, populations), result in zip(run.populations(texts=False), run.results(), strict=True):
        known = known or key in problem.metadata
        if not result.finished or not populations:
            continue
        answers, chains, count = rows.setdefault(group_of(problem, key), ([], [], []))
        count.append(None)
        if result.solved is not None:
            answers.append(float(result.solved))
        last = measure(populations[-1].members, populations[-1].verdicts)
        if last.pass_1 is not None:
            chains.append(last.pass_1)
    if not known:
        raise UserError(no_such_key(key, run.problems()))
    return [
        Group(name, len(count), mean(answers), mean(chains), mean_interval(chains))
        for name, (answers, chains, count) in sorted(rows.items())
    ]


def mean_of_groups(groups: Sequence[Group]) -> float | None:
    """The mean of the groups' accuracies: every group counts alike, as ARC counts its tasks."""
    return mean([one.accuracy for one in groups if one.accuracy is not None])


def group_of(problem: Problem, key: str) -> str:
    """What a problem says of itself under a key, as text."""
    return str(problem.metadata.get(key, REST))


def no_such_key(key: str, problems: Sequence[Problem]) -> str:
    """The message for a key that no problem's metadata has."""
    metadata: list[Mapping[str, Any]] = [one.metadata for one in problems]
    keys = sorted({name for one in metadata for name in one})
    return f"no problem has {key!r} in its metadata; they have {', '.join(keys) or 'nothing'}"
