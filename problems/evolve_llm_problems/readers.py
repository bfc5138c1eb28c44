"""Rows of JSONL, JSON, CSV, TSV and parquet files, each with where it stands; every fault a UserError."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError

# One problem longer than this is a mistake (a file without line ends, say), not a question for a model.
LONGEST_LINE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One row: its 0-based number, where it stands for messages (``a.jsonl, line 3``), and its values."""

    number: int
    where: str
    values: dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a file, lazily, by the suffix of its name.

    Raises UserError for a file that is missing, a folder, empty, binary, not UTF-8, of another kind, or
    broken (the message names the line).
    """
    reader = READERS.get(path.suffix.lower())
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; give the path of a file in it ({', '.join(READERS)})")
        if not path.exists():
            raise UserError(f"no such file: {path}")
        if reader is None:
            kind = f"a {path.suffix} file" if path.suffix else "a file without a suffix"
            raise UserError(f"{path} is {kind}; problems are read from {', '.join(READERS)}")
        if path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{path} is empty")
        yield from reader(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"cannot read {path}: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number in range(1, 2**62):
            raw = file.readline(LONGEST_LINE + 1)
            if not raw:
                return
            if len(raw) > LONGEST_LINE:
                raise UserError(f"{path}, line {number} is longer than {LONGEST_LINE >> 20} MiB")
            if b"\x00" in raw:
                raise UserError(f"{path}, line {number} holds a NUL byte; the file is binary or damaged")
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number} is not UTF-8 (byte {error.start + 1} is "
                    f"0x{raw[error.start]:02x}); convert it, for example: "
                    f"iconv -f latin1 -t utf-8 {path.name} > utf8{path.suffix}"
                ) from error


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
    for number, line in _lines(path):
        if line.strip():
            where = f"{path}, line {number}"
            yield Row(count, where, _object(_parse_json(line, where), where))
            count += 1


def _json(path: Path) -> Iterator[Row]:
    content = _parse_json("".join(line for _, line in _lines(path)), str(path))
    if not isinstance(content, list):
        raise UserError(
            f"{path} must hold a JSON array of objects; if it has one object per line, name it .jsonl"
        )
    for number, value in enumerate(content):
        where = f"{path}, item {number + 1}"
        yield Row(number, where, _object(value, where))


def _csv(path: Path, delimiter: str = ",") -> Iterator[Row]:
    reader = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    count = 0
    while True:
        start = reader.line_num + 1
        where = f"{path}, line {start}"
        # The limit is the csv module's own global: widened for the one call that reads a row, then put back.
        before = csv.field_size_limit(LONGEST_LINE)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{where} is not valid CSV: {error}") from error
        finally:
            csv.field_size_limit(before)
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice:
                raise UserError(f"{path} has two columns named {twice[0]!r}")
        elif len(cells) != len(header):
            raise UserError(f"{where} has {len(cells)} cells, but the header names {len(header)} columns")
        else:
            yield Row(count, where, dict(zip(header, cells, strict=True)))
            count += 1


def _tsv(path: Path) -> Iterator[Row]:
    return _csv(path, "\t")


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


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
