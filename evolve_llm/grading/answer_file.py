"""Grading answers that stand in a file, with no model and no run: so a grader can be tried alone."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.thinking import apart
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.scheme import registry

_LONGEST_LINE = 16 * 1024 * 1024
_AT_ONCE = 64
IDS = ("id", "problem")
ANSWERS, CHAINS = ("answer",), ("text", "completion", "chain")


@dataclass(frozen=True, slots=True)
class Graded:
    """One line of the file: the problem, the final answer (None where the chain has none), and its verdict."""

    problem: str
    answer: str | None
    verdict: Verdict


async def grade_file(
    path: Path, problems: Sequence[Problem], *, unsafe_local: bool = False, deadline: float = 10.0
) -> list[Graded]:
    """Verdicts for a JSONL file of answers, in the order of its lines.

    A line is an object with the problem's ``id`` and either its final ``answer`` or a whole ``text`` (or
    ``completion``), out of which the answer is taken as in a run. A problem may have any number of lines.

    Raises UserError for a file that is not such, SandboxUnavailable as ``GradingPool.require`` does.
    """
    known = {one.id: one for one in problems}
    given = [(known[name], answer) for name, answer in _read(path, known)]
    asked = {problem.id: problem for problem, _ in given}
    graded: list[Graded] = []
    async with GradingPool(
        workers=max(1, min(4, os.cpu_count() or 1)), unsafe_local=unsafe_local, deadline=deadline
    ) as pool:
        pool.require(asked.values())
        for start in range(0, len(given), _AT_ONCE):
            part = given[start : start + _AT_ONCE]
            verdicts = await asyncio.gather(*(pool.grade(problem, answer) for problem, answer in part))
            graded += [
                Graded(problem.id, answer, verdict)
                for (problem, answer), verdict in zip(part, verdicts, strict=True)
            ]
    return graded


def _read(path: Path, known: dict[str, Problem]) -> list[tuple[str, str | None]]:
    found = []
    try:
        with path.open("rb") as file:
            for number in range(1, 2**62):
                raw = file.readline(_LONGEST_LINE + 1)
                if not raw:
                    break
                if len(raw) > _LONGEST_LINE:
                    raise UserError(f"{path}, line {number} is longer than {_LONGEST_LINE >> 20} MiB")
                if raw.strip():
                    found.append(_answer(raw, f"{path}, line {number}", known))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not found:
        raise UserError(f"{path} holds no answers")
    return found


def _answer(raw: bytes, where: str, known: dict[str, Problem]) -> tuple[str, str | None]:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object")
    name = _first(row, IDS)
    if not isinstance(name, str):
        raise UserError(f"{where} has no {' or '.join(map(repr, IDS))} that names a problem")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" The first of them is {next(iter(known))!r}."
        raise UserError(f"{where}: no problem {name!r} is in the set.{hint}")
    for column in ANSWERS:
        if column in row:
            return name, _text(row[column], where, column)
    for column in CHAINS:
        if column in row:
            extract = registry.load("answer format", known[name].format).extract
            found: str | None = extract(apart("", _text(row[column], where, column) or "").answer)
            return name, found
    raise UserError(f"{where} has neither an 'answer' nor a 'text'; it has {', '.join(map(repr, row))}")


def _first(row: dict[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _text(value: Any, where: str, column: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | dict):
        return json.dumps(value)
    raise UserError(f"{where}: {column!r} is of type {type(value).__name__}, not text")
