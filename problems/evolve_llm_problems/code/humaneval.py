"""HumanEval: 164 functions to complete, each with a check of assertions. Source: arXiv 2107.03374."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.code.rows import from_hub, published, text

REPOSITORY = "openai/openai_humaneval"
_PARQUET = "openai_humaneval/test-00000-of-00001.parquet"


def humaneval(argument: str = "") -> Iterator[Problem]:
    """The 164 problems from the hub, or ``humaneval:FILE``: as published, JSONL (gzipped or not) or the hub's Parquet.

    Raises UserError for rows with other columns, and when the hub cannot be reached.
    """
    path = Path(argument).expanduser() if argument else from_hub("humaneval", REPOSITORY, _PARQUET)
    for values, where in published(path):
        yield problem(values, where)


def problem(values: Mapping[str, Any], where: str) -> Problem:
    """The problem in a row. Raises UserError for other columns and a prompt that is no Python."""
    prompt, name = text(values, "prompt", where), text(values, "entry_point", where)
    try:
        compile(prompt + "\n    pass\n", "prompt", "exec")
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{where}: the prompt is no Python: {error}") from error
    check = text(values, "test", where) + f"\n\ncheck({name})\n"
    return Problem(
        id=text(values, "task_id", where),
        question=(
            "Complete this Python function. Write it whole, with its signature and what it imports.\n\n"
            f"```python\n{prompt.rstrip()}\n```"
        ),
        format="code",
        grader="script",
        reference={"check": [check], "setup": prompt + "\n    pass\n", "names": [name], "before": prompt},
        metadata={"name": name},
    )
