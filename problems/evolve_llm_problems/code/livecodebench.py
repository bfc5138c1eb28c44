"""LiveCodeBench: contest problems from AtCoder, Codeforces and LeetCode, with public and private tests.

Source: arXiv 2403.07974; hub: livecodebench/code_generation_lite. Release v6 is all six files, 1,055 problems of May
2023 to April 2025; ``version=v6`` is what some call v6: the 175 of the sixth file alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.code import generated as inputs
from evolve_llm_problems.code.behaviour import EXTRA, public_tests
from evolve_llm_problems.code.judge import BadTestError, tests_of
from evolve_llm_problems.code.rows import Line, from_hub, line_at, lines, text

REPOSITORY = "livecodebench/code_generation_lite"
FILES = ("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl", "test6.jsonl")
_RELEASE = re.compile(r"(release_)?v([1-6])")


def livecodebench(
    argument: str = "",
    *,
    version: str = "release_v6",
    start: date | None = None,
    end: date | None = None,
    difficulty: str | None = None,
    platform: str | None = None,
    grader: str = "script",
    generated: int = 0,
    seed: int = 0,
) -> Iterator[Problem]:
    """The problems in order of ``question_id``; ``livecodebench:FILE`` reads JSONL files (joined by commas).

    ``version`` is ``release_v1`` to ``release_v6`` (each holds those before it) or ``v1`` to ``v6`` (what that one
    added; v6: 175); it is for the hub only. ``start`` and ``end`` bound the contest date, both included.
    ``difficulty`` is easy, medium or hard, ``platform`` atcoder, codeforces or leetcode; commas join several.
    ``grader`` says which verdict counts: ``script`` or ``lcb``; both are stored. ``generated`` inputs a problem, drawn
    from ``seed`` and the id, stand beside the public ones where programs are told apart by what they do.

    Raises UserError for a wrong option, rows with other columns, and when the hub cannot be reached.
    """
    if grader not in ("script", "lcb"):
        raise UserError(f"the grader of livecodebench is script or lcb, not {grader!r}")
    if not 0 <= generated <= inputs.MOST:
        raise UserError(f"livecodebench makes 0 to {inputs.MOST} generated inputs a problem, not {generated}")
    wanted = {
        "difficulty": _several(difficulty),
        "platform": _several(platform),
    }
    if argument:
        paths = [Path(one).expanduser() for one in argument.split(",")]
    else:
        paths = [from_hub("livecodebench", REPOSITORY, file) for file in _files(version)]
    found = [
        (text(line.values, "question_id", line.where), number, line.start, line.where)
        for number, path in enumerate(paths)
        for line in lines(path)
        if _wanted(line, wanted, start, end)
    ]
    for _, number, place, where in sorted(found):
        one = problem(line_at(paths[number], place), where, grader)
        yield (
            replace(one, metadata={**one.metadata, EXTRA: _more(one, generated, seed)}) if generated else one
        )


def _more(one: Problem, count: int, seed: int) -> list[str]:
    """Generated inputs of a problem. One with tests of both kinds has none: a text is no call."""
    tests = public_tests(one.metadata)
    name = one.metadata["name"]
    if any(test.name != name for test in tests):
        return []
    return inputs.generated([test.input for test in tests], count, f"{seed}/{one.id}", functional=bool(name))


def _files(version: str) -> tuple[str, ...]:
    match = _RELEASE.fullmatch(version)
    if match is None:
        raise UserError(
            f"the version {version!r} of livecodebench is unknown; write release_v1 to release_v6 (all up to it; "
            "release_v6 has 1,055 problems) or v1 to v6 (what that release added; v6 has 175)"
        )
    number = int(match[2])
    return FILES[:number] if match[1] else FILES[number - 1 : number]


def _several(option: str | None) -> set[str]:
    return {one.strip().lower() for one in (option or "").split(",") if one.strip()}


def _wanted(line: Line, options: Mapping[str, set[str]], start: date | None, end: date | None) -> bool:
    for column, values in options.items():
        if values and text(line.values, column, line.where).lower() not in values:
            return False
    if start is None and end is None:
        return True
    written = text(line.values, "contest_date", line.where)
    try:
        day = date.fromisoformat(written[:10])
    except ValueError as error:
        raise UserError(f"{line.where}: the contest_date {written!r} is no date") from error
    return (start is None or start <= day) and (end is None or day <= end)


def problem(values: Mapping[str, Any], where: str, grader: str = "script") -> Problem:
    """The problem in a row: public tests where operators see them, private ones in the reference, still packed.

    Raises UserError for other columns and public tests that are none.
    """
    about = _json(text(values, "metadata", where, empty=True) or "{}", "metadata", where)
    name = about.get("func_name") if isinstance(about, dict) else None
    public = _json(text(values, "public_test_cases", where), "public_test_cases", where)
    try:
        tests_of(public, name)
    except BadTestError as error:
        raise UserError(f"{where}: public_test_cases: {error}") from error
    starter = text(values, "starter_code", where, empty=True)
    private = values.get("private_test_cases")
    if not isinstance(private, str):
        raise UserError(f"{where}: the column 'private_test_cases' must hold text")
    return Problem(
        id=f"livecodebench/{text(values, 'question_id', where)}",
        question=question(text(values, "question_content", where), starter),
        format="code",
        grader=grader,
        reference={"tests": public, "private": private, "name": name},
        metadata={
            "title": text(values, "question_title", where, empty=True),
            "platform": text(values, "platform", where, empty=True),
            "difficulty": text(values, "difficulty", where, empty=True),
            "contest_date": text(values, "contest_date", where, empty=True),
            "name": name,
            "public_tests": public,
        },
    )


def question(content: str, starter: str) -> str:
    """What the model is asked: the statement, and the starter code or how input and output go."""
    if starter.strip():
        return (
            f"{content.strip()}\n\nWrite Python 3. Start from this code:\n\n```python\n{starter.strip()}\n```"
        )
    return (
        f"{content.strip()}\n\nWrite a Python 3 program that reads the input from standard input and prints the output "
        "to standard output."
    )


def _json(cell: str, column: str, where: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: the column {column!r} is not JSON: {error}") from error
