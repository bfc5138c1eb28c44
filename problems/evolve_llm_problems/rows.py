"""From a row of a file to a Problem: which column is what, and what kind of answer it holds.

Every guess can be overruled by naming the column, the format or the grader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.picture import Picture
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.formats import last_boxed
from evolve_llm_problems.chats import Chat, read_chat
from evolve_llm_problems.columns import (
    ANSWER,
    CHOICES,
    ID,
    PICTURES,
    QUESTION,
    SUBJECT,
    Naming,
    find,
    first,
    listed,
    lookup,
)
from evolve_llm_problems.instructions import split_instruction
from evolve_llm_problems.lines import Row
from evolve_llm_problems.pictures import looks_like_a_picture, read_pictures

DEFAULT_GRADERS = {"boxed": "math", "boxed_or_stated": "math", "option": "option", "tags": "exact"}

_NUMBER = re.compile(r"[-+]?(\d[\d,]*)?\.?\d+(/\d+|e[-+]?\d+)?\s*%?", re.IGNORECASE)
_LATEX = re.compile(r"\\[a-zA-Z]+|\$|[\^_]\{|^[-+*/^()\d\s.,=xyzn]*[\d\^][-+*/^()\d\s.,=xyzn]*$")
_OPTION_LINE = re.compile(
    r"^[ \t*]*(?:option[ \t]*)?\(?([A-Z])\)?[ \t]*[).:][ \t]*\S", re.IGNORECASE | re.MULTILINE
)


def to_problem(row: Row, naming: Naming, prefix: str) -> Problem:
    """The Problem of a row; ``prefix`` begins the ids that are only numbers.

    Raises UserError when a column is missing or holds what no question or answer can be.
    """
    values = row.values
    entry = _gym_entry(values)
    if entry is not None and naming.question is None and naming.answer is None:
        return _gym_problem(row, naming, prefix, entry)
    asked = _question(row, naming)
    question, instruction, hint = split_instruction(asked.question)
    reference = _answer(find(row, naming.answer, ANSWER), row)
    if reference is None and naming.answer is None:
        reference = _answer(asked.answer, row)
    letters = [letter.upper() for letter in _OPTION_LINE.findall(question)]
    choices, reference = _labelled(find(row, naming.choices, CHOICES), reference)
    if naming.choices is not None and not isinstance(choices, list):
        raise UserError(f"{row.where}: its column {naming.choices!r} holds no list of choices")
    if isinstance(choices, list) and len(choices) > 1 and len(letters) < 2:
        question, reference, letters = _with_choices(question, choices, reference, row)
    form = naming.format or _format_of(hint, reference, letters)
    grader = naming.grader or (DEFAULT_GRADERS.get(form) if reference is not None else None)
    if reference is not None:
        reference = _final(reference, form)
        if grader == "option" and _letter(reference) is None:
            raise UserError(f"{row.where}: the answer {reference!r:.80} is not the letter of an option")
    metadata = {**_metadata(values), **_kept(row, naming)}
    if instruction:
        metadata["instruction"] = instruction
    return Problem(
        id=_id(row, naming, prefix),
        question=question,
        format=form,
        grader=grader if reference is not None else None,
        reference=reference,
        metadata=metadata,
        pictures=_pictures(row, naming, asked),
    )


def _pictures(row: Row, naming: Naming, asked: Chat) -> tuple[Picture, ...]:
    """Those of the question's own parts, else of the column of pictures."""
    sources: Any = list(asked.pictures) or find(row, naming.pictures, PICTURES)
    listed = sources if isinstance(sources, list) else [] if sources is None else [sources]
    if naming.pictures is None and not asked.pictures:
        listed = [one for one in listed if looks_like_a_picture(one)]  # the column was only guessed
    return read_pictures(listed, naming.folder, row.where, fetch=naming.fetch)


def _question(row: Row, naming: Naming) -> Chat:
    value = find(row, naming.question, QUESTION)
    if value is None:
        if naming.question is not None:
            raise UserError(f"{row.where} has no value in its column {naming.question!r}")
        raise UserError(
            f"{row.where} has no question: none of the columns {', '.join(QUESTION)} holds one. The columns are "
            f"{listed(row.values)}; name yours with ?question=COLUMN (and ?answer=COLUMN)"
        )
    if isinstance(value, str) and value.lstrip().startswith("[{"):  # a chat in a cell of a CSV file
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return Chat(str(value))
    if isinstance(value, list):
        return read_chat(value, row.where)
    if not isinstance(value, str):
        raise UserError(f"{row.where}: the question is of type {type(value).__name__}, not text")
    return Chat(value)


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


def _labelled(choices: Any, reference: str | None) -> tuple[Any, str | None]:
    """Choices that come as ``{"text": [...], "label": [...]}``, as a list of texts; the answer's label as its index."""
    if not isinstance(choices, Mapping) or not isinstance(choices.get("text"), list):
        return choices, reference
    texts, labels = choices["text"], choices.get("label")
    if isinstance(labels, list) and len(labels) == len(texts) and reference in [str(one) for one in labels]:
        reference = str([str(one) for one in labels].index(reference))
    return texts, reference


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
    if form in ("boxed", "boxed_or_stated", "tags") and "boxed" in reference:
        return last_boxed(reference) or reference
    return reference


def _id(row: Row, naming: Naming, prefix: str) -> str:
    by_number = f"{prefix}/{row.number}"
    if naming.id == "row" and "row" not in row.values:
        return by_number
    value = find(row, naming.id, ID)
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
        "source": lookup(values, "data_source"),
        "subject": first(values, SUBJECT),
        "difficulty": lookup(values, "extra_info.difficulty"),
    }
    return {key: value for key, value in found.items() if isinstance(value, str) and value}


def _kept(row: Row, naming: Naming) -> dict[str, str]:
    """The columns that the user wants kept, as text."""
    found = {name: find(row, name, ()) for name in naming.metadata}
    return {name: str(value) for name, value in found.items() if isinstance(value, str | int | float)}


def _gym_entry(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """``(task, entry)`` of a Reasoning Gym row as RL data sets carry it, or None."""
    entry = lookup(values, "extra_info.entry")
    if isinstance(entry, str):
        try:
            entry = json.loads(entry)
        except ValueError:
            return None
    if not (isinstance(entry, dict) and isinstance(entry.get("question"), str) and "answer" in entry):
        return None
    inner = entry.get("metadata")
    task = lookup(values, "extra_info.dataset_name")
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
