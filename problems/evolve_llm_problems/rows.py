"""From a row of a file to a Problem: which column is what, and what kind of answer it holds.

Every guess can be overruled by naming the column, the format or the grader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.formats import last_boxed
from evolve_llm_problems.instructions import split_instruction
from evolve_llm_problems.readers import Row

QUESTION = ("question", "problem", "prompt", "input", "query", "instruction")
ANSWER = (
    "answer", "final_answer", "target", "ground_truth", "reward_model.ground_truth", "expected_answer",
    "expected", "label", "solution", "output",
)  # fmt: skip
ID = (
    "id",
    "uid",
    "uuid",
    "problem_id",
    "task_id",
    "question_id",
    "problem_idx",
    "index",
    "idx",
    "extra_info.index",
)
CHOICES = ("choices", "options")
SUBJECT = ("subject", "category", "extra_info.subfield")

DEFAULT_GRADERS = {"boxed": "math", "option": "option", "tags": "exact"}

_NUMBER = re.compile(r"[-+]?(\d[\d,]*)?\.?\d+(/\d+|e[-+]?\d+)?\s*%?", re.IGNORECASE)
_LATEX = re.compile(r"\\[a-zA-Z]+|\$|[\^_]\{|^[-+*/^()\d\s.,=xyzn]*[\d\^][-+*/^()\d\s.,=xyzn]*$")
_OPTION_LINE = re.compile(
    r"^[ \t*]*(?:option[ \t]*)?\(?([A-Z])\)?[ \t]*[).:][ \t]*\S", re.IGNORECASE | re.MULTILINE
)
_MISSING = object()


@dataclass(frozen=True)
class Naming:
    """What the user named. None: guess. ``id="row"`` numbers the rows."""

    question: str | None = None
    answer: str | None = None
    id: str | None = None
    format: str | None = None
    grader: str | None = None


def to_problem(row: Row, naming: Naming, prefix: str) -> Problem:
    """The Problem of a row; ``prefix`` begins the ids that are only numbers.

    Raises UserError when a column is missing or holds what no question or answer can be.
    """
    values = row.values
    entry = _gym_entry(values)
    if entry is not None and naming.question is None and naming.answer is None:
        return _gym_problem(row, naming, prefix, entry)
    asked = _question(row, naming)
    question, instruction, hint = split_instruction(asked)
    reference = _answer(_find(values, naming.answer, ANSWER, row), row)
    letters = [letter.upper() for letter in _OPTION_LINE.findall(question)]
    choices = _first(values, CHOICES)
    if isinstance(choices, list) and len(choices) > 1 and len(letters) < 2:
        question, reference, letters = _with_choices(question, choices, reference, row)
    form = naming.format or _format_of(hint, reference, letters)
    grader = naming.grader or (DEFAULT_GRADERS.get(form) if reference is not None else None)
    if reference is not None:
        reference = _final(reference, form)
        if grader == "option" and _letter(reference) is None:
            raise UserError(f"{row.where}: the answer {reference!r:.80} is not the letter of an option")
    metadata = _metadata(values)
    if instruction:
        metadata["instruction"] = instruction
    return Problem(
        id=_id(row, naming, prefix),
        question=question,
        format=form,
        grader=grader if reference is not None else None,
        reference=reference,
        metadata=metadata,
    )


def _lookup(values: Mapping[str, Any], name: str) -> Any:
    """The column ``name``, or by dots what lies in it; _MISSING where there is none."""
    if name in values:
        return values[name]
    head, dot, rest = name.partition(".")
    inner = values.get(head) if dot else None
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        try:
            inner = json.loads(inner)
        except ValueError:
            return _MISSING
    return _lookup(inner, rest) if isinstance(inner, Mapping) else _MISSING


def _find(values: Mapping[str, Any], named: str | None, guesses: tuple[str, ...], row: Row) -> Any:
    if named is not None:
        value = _lookup(values, named)
        if value is _MISSING:
            raise UserError(f"{row.where} has no column {named!r}; it has {_columns(values)}")
        return value
    return _first(values, guesses)


def _first(values: Mapping[str, Any], guesses: tuple[str, ...]) -> Any:
    folded = {key.lower(): value for key, value in values.items() if isinstance(key, str)}
    for guess in guesses:
        value = _lookup(folded, guess)
        if value is not _MISSING and value is not None and value != "":
            return value
    return None


def _columns(values: Mapping[str, Any]) -> str:
    return ", ".join(repr(key) for key in values) or "none"


def _question(row: Row, naming: Naming) -> str:
    value = _find(row.values, naming.question, QUESTION, row)
    if value is None:
        if naming.question is not None:
            raise UserError(f"{row.where} has no value in its column {naming.question!r}")
        raise UserError(
            f"{row.where} has no question: none of the columns {', '.join(QUESTION)} holds one. The columns "
            f"are {_columns(row.values)}; name yours with ?question=COLUMN (and ?answer=COLUMN)"
        )
    if isinstance(value, str) and value.lstrip().startswith("[{"):  # a conversation in a cell of a CSV file
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, list):
        return _conversation(value, row)
    if not isinstance(value, str):
        raise UserError(f"{row.where}: the question is of type {type(value).__name__}, not text")
    return value


def _conversation(messages: list[Any], row: Row) -> str:
    """The one question of a list of chat messages, what a system message says ahead of it."""
    texts: list[str] = []
    for message in messages:
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ("system", "user"):
            raise UserError(
                f"{row.where}: the question is a conversation with a message of role {role!r}; a problem "
                "must be one question, in messages of the user (and the system)"
            )
        content = message.get("content")
        if isinstance(content, list) and all(
            isinstance(p, Mapping) and p.get("type") == "text" for p in content
        ):
            content = "\n".join(str(part.get("text", "")) for part in content)
        if not isinstance(content, str):
            raise UserError(f"{row.where}: a message of the question holds something other than text")
        texts.append(content)
    return "\n\n".join(texts)


def _answer(value: Any, row: Row) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # a parquet or JSON column of numbers is often float
    if isinstance(value, str | int | float):
        return str(value).strip() or None
    if hasattr(value, "as_tuple"):  # Decimal, from parquet
        return str(value)
    raise UserError(
        f"{row.where}: the answer is of type {type(value).__name__}, not text or a number; name another "
        "column with ?answer=COLUMN (dots reach inside: reward_model.ground_truth)"
    )


def _with_choices(
    question: str, choices: list[Any], reference: str | None, row: Row
) -> tuple[str, str | None, list[str]]:
    """The question with its choices listed, the right one's letter (from letter, index or text), all letters."""
    if len(choices) > 26:
        raise UserError(f"{row.where} has {len(choices)} choices, but there are only 26 letters")
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    texts = [str(choice).strip() for choice in choices]
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, texts, strict=True))
    if reference is not None and reference.upper() not in letters:
        if reference in texts:
            reference = letters[texts.index(reference)]
        elif reference.isdecimal() and int(reference) < len(letters):
            reference = letters[int(reference)]
        else:
            raise UserError(f"{row.where}: the answer {reference!r} is none of its {len(letters)} choices")
    return f"{question.rstrip()}\n\n{listed}", reference, letters


def _format_of(hint: str | None, reference: str | None, letters: list[str]) -> str:
    """What the question itself asked for, unless its answer says otherwise."""
    guess = _guess_format(reference, letters)
    if hint is None or guess == "option" or (hint == "option" and reference and not _letter(reference)):
        return guess
    return hint


def _guess_format(reference: str | None, letters: list[str]) -> str:
    if reference is None:
        return "option" if letters[:2] == ["A", "B"] else "text"
    if len(letters) >= 2 and _letter(reference) in letters:
        return "option"
    final = _final(reference, "boxed")
    return "boxed" if _NUMBER.fullmatch(final) or _LATEX.search(final) else "tags"


def _letter(reference: str) -> str | None:
    match = re.fullmatch(r"\(?([A-Za-z])\)?[.:]?", reference)
    return match[1].upper() if match else None


def _final(reference: str, form: str) -> str:
    """The final answer within a worked solution: GSM8K writes it after ``####``, others in a box."""
    if form == "option":
        return _letter(reference) or reference
    if "####" in reference:
        return reference.rpartition("####")[2].strip()
    if form in ("boxed", "tags") and "boxed" in reference:
        return last_boxed(reference) or reference
    return reference


def _id(row: Row, naming: Naming, prefix: str) -> str:
    by_number = f"{prefix}/{row.number}"
    if naming.id == "row" and "row" not in row.values:
        return by_number
    value = _find(row.values, naming.id, ID, row)
    if value is None:
        if naming.id is not None:
            raise UserError(f"{row.where} has no value in its column {naming.id!r}")
        return by_number
    if not isinstance(value, str | int):
        raise UserError(f"{row.where}: the id is of type {type(value).__name__}, not text or an integer")
    text = str(value).strip()
    return f"{prefix}/{text}" if text.isdecimal() else text


def _metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "source": _lookup(values, "data_source"),
        "subject": _first(values, SUBJECT),
        "difficulty": _lookup(values, "extra_info.difficulty"),
    }
    return {key: value for key, value in found.items() if isinstance(value, str) and value}


def _gym_entry(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """``(task, entry)`` of a Reasoning Gym row as RL data sets carry it, or None."""
    entry = _lookup(values, "extra_info.entry")
    if isinstance(entry, str):
        try:
            entry = json.loads(entry)
        except ValueError:
            return None
    if not (isinstance(entry, dict) and isinstance(entry.get("question"), str) and "answer" in entry):
        return None
    inner = entry.get("metadata")
    task = _lookup(values, "extra_info.dataset_name")
    if not isinstance(task, str) and isinstance(inner, dict):
        task = inner.get("source_dataset")
    return (task, entry) if isinstance(task, str) else None


def _gym_problem(row: Row, naming: Naming, prefix: str, found: tuple[str, dict[str, Any]]) -> Problem:
    task, entry = found
    return Problem(
        id=_id(row, naming, prefix),
        question=entry["question"].strip("\n"),
        format=naming.format or "tags",
        grader=naming.grader or "reasoning_gym",
        reference={"task": task, "entry": entry},
        metadata={"task": task, **_metadata(row.values)},
    )
