"""MBPP: short programming tasks with three assertions each. Source: arXiv 2108.07732."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.code.rows import from_hub, published, text

REPOSITORY = "google-research-datasets/mbpp"
TEST = range(11, 511)
"""``task_id`` of the 500 problems that are the test split of the published file."""


def mbpp(
    argument: str = "", *, version: str = "full", split: str = "test", shown: int = 3
) -> Iterator[Problem]:
    """The 500 test problems (``split=all``: every row) from the hub, or ``mbpp:FILE``: as published, JSONL or Parquet.

    ``version=sanitized`` takes the hub's 427 rows whose statements were checked by hand, 257 of them test problems.
    ``shown`` of the three assertions stand in the question, as the paper shows all three; all of them are graded.
    Raises UserError for rows with other columns, and when the hub cannot be reached.
    """
    if split not in ("test", "all"):
        raise UserError(f"the split of mbpp is test or all, not {split!r}")
    if version not in ("full", "sanitized"):
        raise UserError(f"the version of mbpp is full or sanitized, not {version!r}")
    if not 0 <= shown <= 3:
        raise UserError(f"mbpp shows 0 to 3 of its assertions, not {shown}")
    if argument:
        paths = [Path(argument).expanduser()]
    else:
        parts = ["test"] if split == "test" else ["train", "validation", "test", "prompt"]
        paths = [from_hub("mbpp", REPOSITORY, f"{version}/{part}-00000-of-00001.parquet") for part in parts]
    for values, where in (row for path in paths for row in published(path)):
        if split == "all" or not isinstance(values.get("task_id"), int) or values["task_id"] in TEST:
            yield problem(values, where, shown)


def problem(values: Mapping[str, Any], where: str, shown: int = 3) -> Problem:
    """The problem in a row of the full or the sanitized file. Raises UserError for other columns."""
    number = values.get("task_id")
    if not isinstance(number, int):
        raise UserError(f"{where}: the column 'task_id' must hold a number, it holds {number!r:.80}")
    asked = text(values, "text" if "text" in values else "prompt", where).strip()
    tests = [*_texts(values, "test_list", where), *_texts(values, "challenge_test_list", where, needed=False)]
    setup = "\n".join(
        [*_texts(values, "test_imports", where, needed=False), str(values.get("test_setup_code") or "")]
    )
    names = called(tests, setup, where)
    given = "\n".join(tests[:shown])
    hint = f"Your code must satisfy:\n\n```python\n{given}\n```" if given else f"Name it `{names[0]}`."
    return Problem(
        id=f"mbpp/{number}",
        question=f"{asked}\n\nWrite it in Python, with what it imports. {hint}",
        format="code",
        grader="script",
        reference={"check": tests, "setup": setup, "names": names, "before": ""},
        metadata={"name": names[0]},
    )


def called(tests: list[str], setup: str, where: str) -> list[str]:
    """The functions that assertions call and neither Python nor the setup defines. Raises UserError for none."""
    known = set(dir(builtins))
    names: dict[str, None] = {}
    try:
        for node in ast.walk(ast.parse(setup)):
            if isinstance(node, ast.alias):
                known.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
        for test in tests:
            for node in ast.walk(ast.parse(test)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    names.setdefault(node.func.id)
    except SyntaxError as error:
        raise UserError(f"{where}: a test is no Python: {error}") from error
    found = [name for name in names if name not in known]
    if not found:
        raise UserError(f"{where}: the tests call no function of the program")
    return found


def _texts(values: Mapping[str, Any], column: str, where: str, *, needed: bool = True) -> list[str]:
    found = values.get(column)
    if found is None and not needed:
        return []
    if (
        not isinstance(found, list)
        or not all(isinstance(one, str) for one in found)
        or not (found or not needed)
    ):
        raise UserError(f"{where}: the column {column!r} must hold a list of texts, it holds {found!r:.80}")
    return list(found)
