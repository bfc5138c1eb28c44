"""Any Hugging Face data set as problems: its name or folder, and which column is what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.columns import Naming, names
from evolve_llm_problems.files import to_problems
from evolve_llm_problems.hub import named_rows


def load(
    argument: str,
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    choices: str | None = None,
    id: str | None = None,  # the option is called what the column is called
    metadata: str | None = None,
    pictures: str | None = None,
    fetch: bool = False,
    format: str | None = None,
    grader: str | None = None,
    prefix: str | None = None,
) -> Iterator[Problem]:
    """The problems of a data set on the hub, ``hf:OWNER/NAME``, or in a folder, ``hf:FOLDER``; one in each row.

    ``config`` and ``split`` choose its part, ``revision`` a commit or tag of the repository. The other options are
    those of ``file``: see ``evolve_llm_problems.files.load``. A data set that needs a loading script is refused.

    Raises UserError as ``named_rows`` does, and for a missing column and two rows with one id.
    """
    if not argument:
        raise UserError(
            "the problem set hf needs a data set, for example hf:openai/gsm8k?config=main&split=test"
        )
    rows = named_rows(argument, config=config, split=split, revision=revision)
    folder = Path(argument).expanduser()
    naming = Naming(question, answer, id, format, grader, choices, names(metadata), pictures, fetch, folder)
    return to_problems(rows, naming, prefix or argument.rstrip("/").rpartition("/")[2])
