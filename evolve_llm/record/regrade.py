"""Grading a stored run again, without generating: by newer graders, or against corrected references."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem, problems_digest
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.run_files import read_run_json
from evolve_llm.record.store import Store
from evolve_llm.scheme.problem_sets import load_problems

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One answer of one problem whose verdict is another now. ``answer`` is None for chains without one."""

    problem: str
    answer: str | None
    before: Verdict | None
    after: Verdict


@dataclass(frozen=True, slots=True)
class Regrading:
    """What grading again came to. ``graded`` counts distinct answers, ``references`` those that are new."""

    graded: int
    references: int
    changes: tuple[Change, ...]


async def regrade(
    path: str | Path,
    *,
    problems: str | Sequence[Problem] | None = None,
    unsafe_local: bool = False,
    deadline: float = 10.0,
) -> Regrading:
    """Grade every distinct answer of a run again and store the verdicts, problem by problem.

    ``problems`` gives new references and graders: a SPEC or Problem objects that hold every problem of the
    run, with the same questions. The run's own ids, questions, formats and metadata stay. Only verdicts change, never
    answers or candidates, also where the fitness was the checker. Killed in the middle, the run is readable,
    each problem graded wholly in the old or the new way, and the same call completes it.

    Raises UserError where the problems differ from the run's or an unfinished run would get references it
    was not begun with, StoreError where the run is damaged or in use, SandboxUnavailable without a sandbox.
    """
    folder = Path(path)
    store = Store.open_to_edit(folder)
    complete = False
    try:
        stored = store.problems()
        complete = len(store.finished()) == len(stored)
        given = load_problems(problems) if isinstance(problems, str) else problems
        wanted = stored if given is None else _with_references(stored, given)
        new_references = sum(old != new for old, new in zip(stored, wanted, strict=True))
        if new_references and not complete:
            raise UserError(
                f"{folder} is unfinished, and its remaining generations would be graded against the old "
                "references. First finish the run with the command that made it"
            )
        graded = 0
        changes: list[Change] = []
        async with GradingPool(workers=_workers(), unsafe_local=unsafe_local, deadline=deadline) as pool:
            pool.require(wanted)
            for place, problem in enumerate(wanted):
                before = store.verdicts(place)
                after = await _grade(pool, problem, store, place)
                if after != before or problem != stored[place]:
                    store.replace_verdicts(place, after, problem)
                graded += len(after)
                changes += _changes(problem.id, before, after)
        if given is not None:
            _note_references(folder, wanted)
    finally:
        store.close(compact=complete)
    return Regrading(graded, new_references, tuple(changes))


def _workers() -> int:
    return max(1, min(4, os.cpu_count() or 1))


async def _grade(pool: GradingPool, problem: Problem, store: Store, place: int) -> dict[str | None, Verdict]:
    if problem.grader is None or problem.reference is None:
        return {}
    members = (one for population in store.populations(place) for one in population.members)
    answers = dict.fromkeys(one.answer for one in members if not one.failed)
    answers |= dict.fromkeys(store.verdicts(place))  # an answer may come from outside the last population
    verdicts = await asyncio.gather(*(pool.grade(problem, answer) for answer in answers))
    return dict(zip(answers, verdicts, strict=True))


def _changes(
    problem: str, before: Mapping[str | None, Verdict], after: Mapping[str | None, Verdict]
) -> list[Change]:
    return [
        Change(problem, answer, before.get(answer), verdict)
        for answer, verdict in after.items()
        if before.get(answer) != verdict
    ]


def _with_references(stored: Sequence[Problem], given: Sequence[Problem]) -> list[Problem]:
    """The stored problems with the references and graders of those given. Raises UserError on a difference."""
    by_id = {problem.id: problem for problem in given}
    missing = [problem.id for problem in stored if problem.id not in by_id]
    if missing:
        raise UserError(
            f"the given problems lack {len(missing)} of the {len(stored)} problems of the run: "
            f"{_some(missing)}. They have {_some([problem.id for problem in given])}"
        )
    other = [one for one in stored if by_id[one.id].question != one.question]
    if other:
        raise UserError(
            f"the given problems have other questions than the run for {len(other)} of {len(stored)}: "
            f"{_some([one.id for one in other])}; {other[0].id!r} was {other[0].question!r:.200} and is now "
            f"{by_id[other[0].id].question!r:.200}"
        )
    bare = [one.id for one in stored if one.reference is not None and by_id[one.id].reference is None]
    if bare:
        raise UserError(f"the given problems have no reference for {_some(bare)}, but the run has one")
    return [replace(one, reference=by_id[one.id].reference, grader=by_id[one.id].grader) for one in stored]


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")


def _note_references(folder: Path, problems: Sequence[Problem]) -> None:
    """Make run.json say which references the verdicts were given against."""
    data = read_run_json(folder)
    digest = problems_digest(problems)
    if data["config"]["problems"]["digest"] == digest:
        return
    data["config"]["problems"]["digest"] = digest
    write_whole(folder / "run.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n")
