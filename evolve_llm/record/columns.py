"""Nouns as rows: the columns of candidates and completions, derived from the fields of their dataclasses.

A new field of ``Candidate`` is stored, read and exported with nothing more to write, unless its metadata say
``UNSTORED``. Runs that were stored before cannot be read then: raise ``run_files.FORMAT`` with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.outcome import Failure
from evolve_llm.nouns.request import Completion

StoredRow = Mapping[str, Any]

_KINDS = {str: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL", tuple: "TEXT"}
_OF_COPIES = {"text": "copied", "reasoning": "copied_reasoning"}  # other chains stand in their completion
_AS_IN_0_1_0 = (  # who reads by position may rely on it; what is newer comes after
    "generation",
    "slot",
    "operator",
    "parents",
    "dropped",
    "status",
    "reason",
    "copied",
    "answer",
    "answer_class",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cut",
    "left_out",
    "copied_reasoning",
)


@dataclass(frozen=True, slots=True)
class Column:
    """One stored field of a candidate. ``kind``: its Python type, without None, which ``optional`` adds.

    ``items``: the type of a tuple's items. ``name`` is the column's in ``run.db``.
    """

    field: str
    name: str
    kind: type
    items: type | None
    optional: bool

    @property
    def definition(self) -> str:
        """The column in SQL."""
        sort = "TEXT" if issubclass(self.kind, Enum) else _KINDS[self.kind]
        return f"{self.name} {sort}{'' if self.optional or self.field in _OF_COPIES else ' NOT NULL'}"

    def plain(self, one: Candidate) -> Any:
        """The value of a candidate as plain data: text, number, list or None."""
        value = getattr(one, self.field)
        if isinstance(value, Enum):
            return value.value
        return list(value) if isinstance(value, tuple) else value

    def stored(self, one: Candidate) -> Any:
        """The value of a candidate as it stands in ``run.db``."""
        if self.field in _OF_COPIES and not one.copied:
            return None
        if self.field == "reasoning":
            return one.reasoning or None
        value = self.plain(one)
        return dump(value) if isinstance(value, list) else value

    def read(self, value: Any) -> Any:
        """What ``stored`` gave, as the field's value."""
        if value is None and self.optional:
            return None
        return tuple(json.loads(value)) if self.kind is tuple else self.kind(value)


def _column(field: Field[Any], hint: Any) -> Column:
    options = [one for one in get_args(hint) if one is not type(None)]
    optional = len(options) == 1 and type(None) in get_args(hint)
    hint = options[0] if optional else hint
    kind = get_origin(hint) or hint
    items = get_args(hint)[0] if kind is tuple else None
    return Column(field.name, _OF_COPIES.get(field.name, field.name), kind, items, optional)


def _columns() -> tuple[Column, ...]:
    hints = get_type_hints(Candidate)
    found = [_column(one, hints[one.name]) for one in fields(Candidate) if one.metadata.get("stored", True)]
    return tuple(found)


STORED = _columns()
"""Every stored field of a candidate, in the order of the class."""

TABLE = tuple(
    sorted(
        (
            one for one in STORED if one.field not in ("problem", "copied")
        ),  # the key, and what ``copied`` tells
        key=lambda one: _AS_IN_0_1_0.index(one.name) if one.name in _AS_IN_0_1_0 else len(_AS_IN_0_1_0),
    )
)
"""The columns of the table of candidates, but for ``ord``."""

CANDIDATE = ("ord", *(one.name for one in TABLE))
COMPLETION = (
    *("ord", *Address._fields, "prompt", "seed", "text", "reasoning", "finish_reason"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "error", "detail", "logprobs", "first_token"),
)
"""The columns of the two tables, in order."""


def insert(table: str, names: tuple[str, ...], *, replace: bool = False) -> str:
    """The statement that inserts rows given by name."""
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"


def candidate_row(place: int, one: Candidate) -> StoredRow:
    """A candidate of the problem with this place in the run, as its row."""
    return {"ord": place, **{column.name: column.stored(one) for column in TABLE}}


def read_candidate(problem: str, row: StoredRow, thinking: str = "", text: str = "") -> Candidate:
    """The candidate of a row. ``thinking`` and ``text``: its chain, which for most stands in a completion."""
    values = {
        column.field: column.read(row[column.name]) for column in TABLE if column.field not in _OF_COPIES
    }
    return Candidate(
        problem=problem, text=text, reasoning=thinking, copied=row["copied"] is not None, **values
    )


def completion_row(
    place: int, address: Address, prompt: str, seed: int, outcome: Completion | Failure
) -> StoredRow:
    """An outcome as its row. ``prompt``: the digest of what was asked."""
    row: dict[str, Any] = {"ord": place, **address._asdict(), "prompt": prompt, "seed": seed}
    if isinstance(outcome, Failure):
        nothing = dict.fromkeys(("text", "reasoning", "finish_reason", "logprobs", "first_token"))
        spent = dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens"), 0)
        return {**row, **nothing, **spent, "error": outcome.reason, "detail": outcome.detail[:2000]}
    row |= {one.name: getattr(outcome, one.name) for one in fields(Completion)}
    row["reasoning"] = outcome.reasoning or None
    for name in ("logprobs", "first_token"):
        row[name] = dump(row[name]) if row[name] else None
    return {**row, "error": None, "detail": None}


def read_outcome(row: StoredRow) -> Completion | Failure:
    """The outcome of a row."""
    if row["error"] is not None:
        return Failure(row["error"], row["detail"] or "")
    values = {one.name: row[one.name] for one in fields(Completion)}
    values["reasoning"] = row["reasoning"] or ""
    values["logprobs"] = tuple(json.loads(row["logprobs"] or "[]"))
    values["first_token"] = tuple((token, value) for token, value in json.loads(row["first_token"] or "[]"))
    return Completion(**values)


def dump(value: Any) -> str:
    """Compact JSON, equal for equal values."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=isinstance(value, dict))
