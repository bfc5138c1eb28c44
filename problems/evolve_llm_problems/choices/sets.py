"""SuperGPQA, GPQA and MMLU-Pro: which column is what, and the problems made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm_problems.choices.listing import LETTERS, Choice, drawn_order, shuffled, taken_apart
from evolve_llm_problems.columns import Naming
from evolve_llm_problems.hub import hub_rows
from evolve_llm_problems.lines import Row
from evolve_llm_problems.readers import read_rows
from evolve_llm_problems.rows import to_problem

Subset = Literal["gpqa_diamond", "gpqa_main", "gpqa_extended"]
Read = Callable[[Row], tuple[Choice, str, dict[str, Any]]]
"""From a row to its choice, the row's own id (empty where it has none) and what is to be known of it."""


def supergpqa(
    argument: str = "", *, path: str | None = None, shuffle: int | None = None
) -> Iterator[Problem]:
    """SuperGPQA, 26,529 questions of 285 fields with up to ten options (m-a-p/SuperGPQA, arXiv 2502.14739).

    ``supergpqa:FILE`` or ``path`` reads a local copy, as published or in the layout of RL data sets. ``shuffle`` is
    a seed: each question's options are put in an order drawn from it and from the question's id.

    Raises UserError when the hub cannot be reached and no file is given, and for a row that is no such question.
    """
    return _problems("supergpqa", ("m-a-p/SuperGPQA", "train", None), argument or path, shuffle, _supergpqa)


def mmlu_pro(argument: str = "", *, path: str | None = None, shuffle: int | None = None) -> Iterator[Problem]:
    """MMLU-Pro's test set, 12,032 questions with up to ten options (TIGER-Lab/MMLU-Pro, arXiv 2406.01574).

    Otherwise as ``supergpqa``.
    """
    return _problems("mmlu_pro", ("TIGER-Lab/MMLU-Pro", "test", None), argument or path, shuffle, _mmlu_pro)


def gpqa(
    argument: str = "", *, path: str | None = None, shuffle: int = 0, subset: Subset = "gpqa_diamond"
) -> Iterator[Problem]:
    """GPQA, four options (Idavidrein/gpqa, arXiv 2311.12022); ``gpqa:FILE`` reads a local CSV.

    The options are always shuffled, by the seed ``shuffle``: the file has the right answer first, so that unshuffled
    it would always be A. Raises UserError as ``supergpqa`` does; the hub gives this set to those who have agreed to
    its terms.
    """
    source = ("Idavidrein/gpqa", "train", subset)
    return _problems("gpqa", source, argument or path, shuffle, _gpqa)


def _problems(
    name: str, source: tuple[str, str, str | None], path: str | None, shuffle: int | None, read: Read
) -> Iterator[Problem]:
    repository, split, config = source
    rows: Iterable[Row]
    if path:
        rows = read_rows(Path(path).expanduser())
    else:
        instead = (
            f"give a local copy instead: {name}:FILE (parquet, JSONL or CSV with the columns of {repository})"
        )
        rows = hub_rows(name, repository, split, instead, config)
    for row in rows:
        choice, own, known = read(row)
        if len(choice.options) > len(LETTERS):
            raise UserError(f"{row.where} has {len(choice.options)} options; letters reach to {len(LETTERS)}")
        if len(choice.options) < 2:
            raise UserError(f"{row.where} has {len(choice.options)} option(s); at least 2 are needed")
        if choice.right is None:
            raise UserError(f"{row.where} does not say which option is right")
        problem = f"{name}/{own or row.number}"
        if shuffle is not None:
            choice = shuffled(choice, drawn_order(len(choice.options), shuffle, problem))
            known |= {
                "shuffle": shuffle
            }  # not the order: of a set that has the right one first it tells the answer
        yield _problem(problem, choice, known)


def _problem(name: str, choice: Choice, known: Mapping[str, Any]) -> Problem:
    assert choice.right is not None
    return Problem(
        id=name,
        question=choice.written(),
        format="option",
        grader="option",
        reference={"letter": LETTERS[choice.right], "options": list(choice.options)},
        metadata={key: value for key, value in known.items() if value not in (None, "")},
    )


def _supergpqa(row: Row) -> tuple[Choice, str, dict[str, Any]]:
    values = row.values
    if "reward_model" in values and "options" not in values:
        return _rl_row(row)
    options = _options(row, "options")
    known = {key: _text(values.get(key)) for key in ("discipline", "field", "subfield", "difficulty")}
    right = _place(row, options, values.get("answer_letter"), values.get("answer"))
    return Choice(_stem(row, "question"), options, right), _text(values.get("uuid")), known


def _rl_row(row: Row) -> tuple[Choice, str, dict[str, Any]]:
    """A row with ``prompt``, ``reward_model`` and ``extra_info``, the options in the text of the question."""
    problem = to_problem(row, Naming(format="option", grader="option"), "row")
    apart = taken_apart(problem.question)
    if apart is None:
        raise UserError(f"{row.where} lists no options A, B, … at the end of its question")
    stem, options = apart
    extra = row.values.get("extra_info")
    extra = extra if isinstance(extra, Mapping) else {}
    known = {key: _text(extra.get(key)) for key in ("discipline", "field", "subfield", "difficulty")}
    return (
        Choice(stem, options, _place(row, options, problem.reference, None)),
        _text(extra.get("uuid")),
        known,
    )


def _mmlu_pro(row: Row) -> tuple[Choice, str, dict[str, Any]]:
    values = row.values
    options = tuple(one for one in _options(row, "options") if one != "N/A")
    known = {"discipline": _text(values.get("category")), "source": _text(values.get("src"))}
    right = _place(row, options, values.get("answer"), None)
    return Choice(_stem(row, "question"), options, right), _text(values.get("question_id")), known


def _gpqa(row: Row) -> tuple[Choice, str, dict[str, Any]]:
    names = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    options = tuple(_stem(row, name) for name in names)
    values = row.values
    known = {
        "discipline": _text(values.get("High-level domain")),
        "subfield": _text(values.get("Subdomain")),
    }
    return Choice(_stem(row, "Question"), options, 0), _text(values.get("Record ID")), known


def _stem(row: Row, column: str) -> str:
    value = row.values.get(column)
    if not isinstance(value, str) or not value.strip():
        columns = ", ".join(map(repr, row.values)) or "none"
        raise UserError(f"{row.where} has no text in a column {column!r}; its columns are {columns}")
    return value.strip()


def _options(row: Row, column: str) -> tuple[str, ...]:
    value = row.values.get(column)
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        columns = ", ".join(map(repr, row.values)) or "none"
        raise UserError(f"{row.where} has no list of texts in a column {column!r}; its columns are {columns}")
    return tuple(one.strip() for one in value)


def _place(row: Row, options: tuple[str, ...], letter: Any, text: Any) -> int | None:
    """Where the right option is, by its letter, which must not contradict its text; None where nothing says it."""
    letter = _text(letter).upper()
    if letter:
        place = LETTERS.find(letter) if len(letter) == 1 else -1
        if not 0 <= place < len(options):
            raise UserError(
                f"{row.where}: the answer {letter!r:.40} is not the letter of one of {len(options)} options"
            )
        if isinstance(text, str) and text.strip() in options and options[place] != text.strip():
            raise UserError(f"{row.where}: its answer is option {letter} and yet has another option's text")
        return place
    same = [place for place, option in enumerate(options) if option == _text(text)]
    return same[0] if len(same) == 1 else None


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) else ""
