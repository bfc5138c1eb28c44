"""Rows of a benchmark's JSONL file, plain or gzipped, or from the hub; every fault a UserError."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from evolve_llm.nouns.errors import UserError

LONGEST_LINE = 512 << 20
"""Bytes. LiveCodeBench has rows of tens of megabytes: their private tests."""


@dataclass(frozen=True)
class Line:
    """One row: where it stands for messages, the byte at which it begins, and its values."""

    where: str
    start: int
    values: dict[str, Any]


def lines(path: Path) -> Iterator[Line]:
    """The rows of a ``.jsonl`` or ``.jsonl.gz`` file, lazily. Raises UserError, naming the line."""
    try:
        with _opened(path) as file:
            start = 0
            number = 0
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if raw.strip():
                    yield Line(f"{path}, line {number}", start, _row(raw, f"{path}, line {number}"))
                start += len(raw)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def line_at(path: Path, start: int) -> dict[str, Any]:
    """The row that begins at this byte of a file that ``lines`` has read. Raises UserError."""
    try:
        with _opened(path) as file:
            file.seek(start)
            return _row(file.readline(LONGEST_LINE + 1), f"{path}, byte {start}")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _row(raw: bytes, where: str) -> dict[str, Any]:
    if len(raw) > LONGEST_LINE:
        raise UserError(f"{where} is longer than {LONGEST_LINE >> 20} MiB")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{where} is a JSON {type(value).__name__}, not an object of named columns")
    return value


def published(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The rows of a file, JSONL (``.gz`` or not) or Parquet, each with where it stands. Raises UserError."""
    if path.suffix == ".parquet":
        from evolve_llm_problems.readers import read_rows

        yield from ((row.values, row.where) for row in read_rows(path))
    else:
        yield from ((line.values, line.where) for line in lines(path))


def text(values: Mapping[str, Any], column: str, where: str, *, empty: bool = False) -> str:
    """The text in a column. Raises UserError where it is missing, not text, or empty though it must not be."""
    if column not in values:
        raise UserError(
            f"{where} has no column {column!r}; it has {', '.join(map(repr, values)) or 'none'}: is this the "
            "benchmark's own file?"
        )
    value = values[column]
    if not isinstance(value, str) or not (empty or value.strip()):
        raise UserError(f"{where}: the column {column!r} must hold text, it holds {value!r:.80}")
    return value


def from_hub(name: str, repository: str, file: str) -> Path:
    """A file of a data set's repository, from the hub's cache where it is there already.

    Nothing of the repository is executed. Raises UserError saying what to do instead.
    """
    instead = (
        f"give a local copy instead: {name}:FILE, where FILE is {file} of {repository} or its rows as JSONL"
    )
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(
            f'{name} comes from the hub; pip install "evolve-llm[local]" for huggingface-hub, or {instead}'
        ) from error
    try:
        return Path(hf_hub_download(repository, file, repo_type="dataset"))
    except Exception as error:  # the hub client raises many kinds, all with the same remedy
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{repository} cannot be had from the hub ({reason}); {instead}") from error
