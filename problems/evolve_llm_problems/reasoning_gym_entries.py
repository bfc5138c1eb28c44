"""Reasoning Gym entries as JSON, and back into what their scorers expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Scorers that compare the answer with a tuple of tuples: equal lists would count as wrong (0.05, not 1).
_BOARD_TASKS = frozenset({"arc_agi", "rearc"})


def jsonable(value: Any) -> Any:
    """``value`` with only JSON types in it: tuples, arrays and sets as lists, numpy scalars as Python's.

    Anything else becomes its ``str``. ``restore`` undoes what a scorer would stumble over.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((jsonable(one) for one in value), key=repr)
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return jsonable(value.tolist())
    return str(value)


def restore(task: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry that has been through JSON, such that ``score_answer`` of ``task`` judges it as the original.

    Call it before scoring, for entries of our own making and of files alike.
    """
    restored = dict(entry)
    if task in _BOARD_TASKS and isinstance(entry.get("metadata"), Mapping):
        metadata = dict(entry["metadata"])
        for key in ("input", "output"):
            if isinstance(metadata.get(key), list):
                metadata[key] = tuple(tuple(row) for row in metadata[key])
        restored["metadata"] = metadata
    return restored
