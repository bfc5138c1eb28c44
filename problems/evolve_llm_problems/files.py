"""Problems from a file: JSONL, JSON, CSV, TSV or parquet, with columns named or guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.columns import Naming, names
from evolve_llm_problems.delimited import named_delimiter
from evolve_llm_problems.lines import Row
from evolve_llm_problems.readers import read_rows
from evolve_llm_problems.rows import to_problem


def load(
    argument: str,
    *,
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
    delimiter: str | None = None,
) -> Iterator[Problem]:
    """The problems of a file, one in each row, read lazily. ``argument`` is its path.

    ``question``, ``answer``, ``choices`` and ``id`` name columns (dots reach inside: ``reward_model.ground_truth``);
    ``id=row`` numbers the rows. ``metadata`` names columns, joined by commas, that are kept for ``show --by``.
    ``pictures`` names the column of pictures; one at an address is read only with ``fetch``, and then at once.
    ``format`` and ``grader`` hold for all rows. ``prefix`` begins the ids that are only numbers; it is the file's
    name without its suffix unless given. ``delimiter`` parts the cells of a CSV file: a character, or ``tab``.
    docs/problems.md lists what is guessed otherwise.

    Raises UserError for a file that cannot be read (see ``read_rows``), a missing column, and two rows with
    one id.
    """
    if not argument:
        raise UserError("the problem set file needs a path, for example file:problems.jsonl")
    folder = Path(argument).expanduser().parent
    naming = Naming(question, answer, id, format, grader, choices, names(metadata), pictures, fetch, folder)
    yield from read(argument, naming, prefix, delimiter)


def read(
    file: str, naming: Naming, prefix: str | None = None, delimiter: str | None = None
) -> Iterator[Problem]:
    """What ``load`` does, for other loaders of this package to build on."""
    path = Path(file).expanduser()
    parting = named_delimiter(delimiter) if delimiter is not None else None
    yield from to_problems(read_rows(path, parting, naming.known()), naming, prefix or path.stem)


def to_problems(rows: Iterable[Row], naming: Naming, prefix: str) -> Iterator[Problem]:
    """One problem in each row. Raises UserError for a row that holds none, and for two with one id."""
    first_seen: dict[str, str] = {}
    for row in rows:
        problem = to_problem(row, naming, prefix)
        first = first_seen.setdefault(problem.id, row.where)
        if first != row.where:
            raise UserError(
                f"two rows have the id {problem.id!r}: {first} and {row.where}; make the ids unique, "
                "name another column with ?id=COLUMN, or number the rows with ?id=row"
            )
        yield problem
