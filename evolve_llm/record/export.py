"""A run as one table: a row a candidate, to CSV or Parquet, problem by problem in bounded memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from evolve_llm.basics.whole_file import whole_file
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.columns import STORED, Column
from evolve_llm.record.store import Store

Format = Literal["csv", "parquet"]
TableRow = dict[str, Any]

_ARROW = {str: "string", int: "int64", float: "double", bool: "bool"}


def _arrow(column: Column) -> str:
    """The Arrow type of a column."""
    if column.field in ("generation", "slot"):
        return "int32"
    if column.items is not None:
        return f"list<{_ARROW[column.items]}>"
    return _ARROW.get(column.kind, "string")


COLUMNS: dict[str, str] = {
    "uid": "string",
    **{column.field: _arrow(column) for column in STORED},
    "verdict": "string",
    "rule": "string",
    "score": "double",
    "fitness": "list<double>",
    "is_answer": "bool",
}
"""Columns with their Arrow types. In CSV, lists are JSON, booleans ``true`` and ``false``, nothing is ''."""

_BATCH_ROWS = 4096
_BATCH_CHARACTERS = 16_000_000


def candidate_row(one: Candidate, verdict: Verdict | None, *, is_answer: bool) -> TableRow:
    """One candidate as a row. A failed candidate has no verdict, whatever its empty answer would get."""
    verdict = None if one.failed else verdict
    row = {column.field: column.plain(one) for column in STORED}
    return row | {
        "uid": one.uid,
        "reason": one.reason or None,
        "reasoning": one.reasoning or None,
        "verdict": verdict.grade.value if verdict else None,
        "rule": verdict.rule if verdict else None,
        "score": verdict.score if verdict else None,
        "fitness": list(one.fitness.values) if one.fitness.valid else None,
        "is_answer": is_answer,
    }


def rows(path: str | Path) -> Iterator[TableRow]:
    """Every candidate of every finished generation, by problem, generation and slot.

    Raises UserError where ``path`` is no run directory, StoreError where it is damaged.
    """
    with Store.open_to_read(Path(path)) as store:
        answers = store.answers()
        for place in range(store.count_problems()):
            verdicts = store.verdicts(place)
            answering = answers.get(place, (None, None))[0]
            for one in store.candidates(place, texts=True):
                yield candidate_row(one, verdicts.get(one.answer), is_answer=one.uid == answering)


def export(path: str | Path, out: str | Path, format: str | None = None, *, overwrite: bool = False) -> int:
    """Write the table of a run to ``out`` and return the number of rows.

    ``format`` is ``csv`` or ``parquet``, by default what ``out`` ends in. The file appears under its name
    when it is complete. Data are written as they are: a cell may begin with ``=``, so do not open a file
    of a hostile model's output in a spreadsheet with formulas enabled.

    Raises UserError for an unknown format, an existing file without ``overwrite``, a folder that does not
    exist, and Parquet without pyarrow; StoreError when the file cannot be written.
    """
    target = Path(out)
    chosen = _format(target, format)
    if target.is_dir():
        raise UserError(f"{target} is a folder; give the path of a file")
    if target.exists() and not overwrite:
        raise UserError(f"{target} already exists; give another --out, or --force to replace it")
    if not target.parent.is_dir():
        raise UserError(f"the folder {target.parent} does not exist")
    found = rows(path)
    write = _write_csv if chosen == "csv" else _parquet_writer()
    with whole_file(target) as part:
        count: int = write(part, found)
    return count


def _format(target: Path, format: str | None) -> Format:
    suffix = target.suffix.lower().lstrip(".")
    chosen = format or suffix
    if chosen not in ("csv", "parquet"):
        what = f"unknown format {format!r}" if format else f"cannot tell the format of {target} by its name"
        raise UserError(f"{what}; the formats are csv and parquet")
    if suffix in ("csv", "parquet") and suffix != chosen:
        raise UserError(f"{target} ends in .{suffix} but the format is {chosen}; make the two agree")
    return cast(Format, chosen)


def _write_csv(part: Path, found: Iterator[TableRow]) -> int:
    count = 0
    with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")  # RFC 4180; also makes it quote a lone \r
        writer.writerow(COLUMNS)
        for row in found:
            writer.writerow([_csv_cell(row[name]) for name in COLUMNS])
            count += 1
    return count


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _parquet_writer() -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            'Parquet needs pyarrow: pip install "evolve-llm[parquet]", or write --format csv'
        ) from error

    types = {
        "string": pyarrow.string(),
        "int32": pyarrow.int32(),
        "int64": pyarrow.int64(),
        "double": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "list<string>": pyarrow.list_(pyarrow.string()),
        "list<int64>": pyarrow.list_(pyarrow.int64()),
        "list<double>": pyarrow.list_(pyarrow.float64()),
    }
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])

    def write(part: Path, found: Iterator[TableRow]) -> int:
        count = 0
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for batch in _batches(found):
                writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
                count += len(batch)
        return count

    return write


def _batches(found: Iterator[TableRow]) -> Iterator[Sequence[TableRow]]:
    """Rows in groups that are large enough for Parquet and small enough for memory."""
    batch: list[TableRow] = []
    characters = 0
    for row in found:
        batch.append(row)
        characters += len(row["text"]) + len(row["reasoning"] or "")
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
