"""Competition mathematics: AIME 2025 and HMMT February 2025, from the hub or from a local file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems import files
from evolve_llm_problems.columns import Naming
from evolve_llm_problems.hub import hub_rows
from evolve_llm_problems.rows import to_problem


def aime25(argument: str = "", *, path: str | None = None) -> Iterator[Problem]:
    """The 30 problems of AIME 2025 (MathArena/aime_2025); ``aime25:FILE`` or ``path`` reads a local copy.

    Raises UserError when the hub cannot be reached and no file is given.
    """
    return _problems("aime25", "MathArena/aime_2025", argument or path)


def hmmt25(argument: str = "", *, path: str | None = None) -> Iterator[Problem]:
    """The 30 problems of HMMT February 2025 (MathArena/hmmt_feb_2025); ``hmmt25:FILE`` reads a local copy.

    Raises UserError when the hub cannot be reached and no file is given.
    """
    return _problems("hmmt25", "MathArena/hmmt_feb_2025", argument or path)


def _problems(name: str, repository: str, path: str | None) -> Iterator[Problem]:
    naming = Naming(format="boxed", grader="math")
    drawn = files.read(path, naming, name) if path else _from_hub(name, repository, naming)
    for problem in drawn:
        if problem.reference is None:
            raise UserError(f"problem {problem.id!r} of {path or repository} has no answer")
        # One id and one content wherever the problems were read from, so that the seeds are the same too.
        yield dataclasses.replace(problem, question=problem.question.strip(), metadata={})


def _from_hub(name: str, repository: str, naming: Naming) -> Iterator[Problem]:
    instead = (
        f"give a local copy instead: {name}:FILE (parquet, JSONL or CSV with a question and an answer column)"
    )
    for row in hub_rows(name, repository, "train", instead):
        yield to_problem(row, naming, name)
