"""Which column of a row is what: the names that are looked for, and how a value is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.lines import Row

QUESTION = (
    "question", "problem", "prompt", "input", "query", "instruction", "messages", "conversations", "conversation",
)  # fmt: skip
ANSWER = (
    "answer", "final_answer", "target", "ground_truth", "reward_model.ground_truth", "expected_answer",
    "expected", "label", "solution", "output",
)  # fmt: skip
ID = (
    "id", "uid", "uuid", "problem_id", "task_id", "question_id", "problem_idx", "index", "idx", "extra_info.index",
)  # fmt: skip
CHOICES = ("choices", "options")
PICTURES = ("images", "image", "pictures", "picture")
SUBJECT = ("subject", "category", "extra_info.subfield")
MISSING = object()


@dataclass(frozen=True)
class Naming:
    """What the user named. None: guess. ``id="row"`` numbers the rows."""

    question: str | None = None
    answer: str | None = None
    id: str | None = None
    format: str | None = None
    grader: str | None = None
    choices: str | None = None
    metadata: tuple[str, ...] = ()
    pictures: str | None = None
    fetch: bool = False
    folder: Path | None = None
    """Where paths of pictures begin."""

    def known(self) -> frozenset[str]:
        """All names that a header may hold, in lower case: those named, and those that are looked for otherwise."""
        named = (
            name
            for name in (self.question, self.answer, self.id, self.choices, self.pictures, *self.metadata)
            if name is not None
        )
        return frozenset(
            name.lower() for name in (*named, *QUESTION, *ANSWER, *ID, *CHOICES, *PICTURES, *SUBJECT)
        )


def names(given: str | None) -> tuple[str, ...]:
    """The column names in an option that joins several by commas."""
    return tuple(name for one in (given or "").split(",") if (name := one.strip()))


def lookup(values: Mapping[str, Any], name: str) -> Any:
    """The column ``name``, or by dots what lies in it; MISSING where there is none."""
    if name in values:
        return values[name]
    head, dot, rest = name.partition(".")
    inner = values.get(head) if dot else None
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        try:
            inner = json.loads(inner)
        except ValueError:
            return MISSING
    return lookup(inner, rest) if isinstance(inner, Mapping) else MISSING


def find(row: Row, named: str | None, guesses: tuple[str, ...]) -> Any:
    """The value of the column that was named, else of the first guess that holds something; None for none.

    Raises UserError where there is no column of the name.
    """
    if named is not None:
        value = lookup(row.values, named)
        if value is MISSING:
            raise UserError(f"{row.where} has no column {named!r}; it has {listed(row.values)}")
        return value
    return first(row.values, guesses)


def first(values: Mapping[str, Any], guesses: tuple[str, ...]) -> Any:
    """What the first of these columns holds that holds something, whatever their case; None for none."""
    folded = {key.lower(): value for key, value in values.items() if isinstance(key, str)}
    for guess in guesses:
        value = lookup(folded, guess)
        if value is not MISSING and value is not None and value not in ("", []):
            return value
    return None


def listed(values: Mapping[str, Any]) -> str:
    """The names of the columns, for a message."""
    return ", ".join(repr(key) for key in values) or "none"
