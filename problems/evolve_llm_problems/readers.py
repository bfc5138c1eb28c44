"""Rows of JSONL, JSON, CSV, TSV and parquet files, each with where it stands; every fault a UserError."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.delimited import read_delimited
from evolve_llm_problems.lines import Row, read_lines


def read_rows(path: Path, delimiter: str | None = None, known: Collection[str] = ()) -> Iterator[Row]:
    """Rows of a file, lazily, by the suffix of its name.

    ``delimiter`` is that of a CSV file; None: guessed from its header, with the ``known`` column names.

    Raises UserError for a file that is missing, a folder, empty, binary, not UTF-8, of another kind, or
    broken (the message names the line).
    """
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name a file in it ({', '.join(SUFFIXES)})")
        if not path.exists():
            raise UserError(f"no such file: {path}")
        if suffix not in SUFFIXES:
            kind = f"a {path.suffix} file" if path.suffix else "a file without a suffix"
            raise UserError(f"{path} is {kind}; problems are read from {', '.join(SUFFIXES)}")
        if path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{path} is empty")
        if suffix in _DELIMITERS:
            yield from read_delimited(path, delimiter or _DELIMITERS[suffix], known)
            return
        if delimiter is not None:
            raise UserError(f"the option delimiter is for .csv files, and {path} is none; leave it out")
        yield from READERS[suffix](path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"cannot read {path}: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        ends = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        cut = "; the file may be half-written" if ends else ""
        reason = error.msg.removesuffix(" at")
        raise UserError(f"{where} is not valid JSON ({reason} at {place}{cut})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not valid JSON: {error}") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where} is a JSON {_JSON_NAMES[type(value)]}, not an object of named columns")
    return value


_JSON_NAMES = {
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _jsonl(path: Path) -> Iterator[Row]:
    count = 0
    for number, line in read_lines(path):
        if line.strip():
            where = f"{path}, line {number}"
            yield Row(count, where, _object(_parse_json(line, where), where))
            count += 1


def _json(path: Path) -> Iterator[Row]:
    content = _parse_json("".join(line for _, line in read_lines(path)), str(path))
    if not isinstance(content, list):
        raise UserError(
            f"{path} must hold a JSON array of objects; if it has one object per line, name it .jsonl"
        )
    for number, value in enumerate(content):
        where = f"{path}, item {number + 1}"
        yield Row(number, where, _object(value, where))


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f'reading {path} needs pyarrow; pip install "evolve-llm[parquet]"') from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=256):
                for values in batch.to_pylist():
                    yield Row(number, f"{path}, row {number + 1}", values)
                    number += 1
    except pyarrow.ArrowException as error:
        detail = str(error).splitlines()[0]
        raise UserError(
            f"{path} is not a readable parquet file (damaged or half-written?): {detail}"
        ) from error


_DELIMITERS: dict[str, str | None] = {".csv": None, ".tsv": "\t"}
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
}
SUFFIXES = (*READERS, *_DELIMITERS)
