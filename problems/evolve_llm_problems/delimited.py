"""Tables as text, as programs really write them: CSV with commas, semicolons, tabs or bars.

Spreadsheets write semicolons where the comma is the decimal sign, begin with a byte order mark or a line ``sep=;``,
and end with empty columns and empty rows. All of that is read; what could be a damaged file is refused.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.lines import LONGEST_LINE, Row, read_lines

DELIMITERS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def named_delimiter(text: str) -> str:
    """The character that a user means: itself, or ``tab``, ``comma``, ``semicolon``, ``bar``. Raises UserError."""
    delimiter = _NAMES.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n\x00':
        raise UserError(
            f"the delimiter {text!r} is not one character; write for example delimiter=tab or delimiter=;"
        )
    return delimiter


def guessed_delimiter(header: str, known: Collection[str]) -> str:
    """The delimiter of a table, by its line of column names: it finds the most ``known`` names there, in lower case.

    Where several find as many, the one that makes the most columns; then the first of DELIMITERS.
    """

    def found(delimiter: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return (0, 0)
        return (len({cell.strip().lower() for cell in cells}.intersection(known)), len(cells))

    return max(DELIMITERS, key=found)


def read_delimited(path: Path, delimiter: str | None, known: Collection[str]) -> Iterator[Row]:
    """The rows of a table with a header, lazily; ``delimiter`` None: guessed, with the ``known`` column names.

    Raises UserError for two columns of one name, a row of another length than the header's, and broken quotes.
    """
    lines: Iterator[str] = (line for _, line in read_lines(path))
    skipped = 0
    for first in lines:
        said = _SEPARATOR_LINE.fullmatch(first)
        if said and skipped == 0:
            delimiter = delimiter or said[1]
        elif first.strip():
            lines = itertools.chain([first], lines)
            delimiter = delimiter or guessed_delimiter(first, known)
            break
        skipped += 1
    yield from _rows(path, lines, delimiter or ",", skipped)


def _rows(path: Path, lines: Iterator[str], delimiter: str, skipped: int) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    count = 0
    while True:
        where = f"{path}, line {skipped + reader.line_num + 1}"
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
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(path, cells)
        else:
            yield Row(count, where, _values(where, header, cells))
            count += 1


def _header(path: Path, cells: list[str]) -> list[str]:
    """The column names; a spreadsheet's columns to the right of them, which have none, are left out."""
    names = [cell.strip() for cell in cells]
    while not names[-1]:
        names.pop()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path} has two columns named {twice[0]!r}")
    return names


def _values(where: str, header: list[str], cells: list[str]) -> dict[str, str]:
    kept, beyond = cells[: len(header)], cells[len(header) :]
    if len(kept) < len(header) or any(cell.strip() for cell in beyond):
        raise UserError(
            f"{where} has {len(cells)} cells, but the header names {len(header)} columns; a cell with the delimiter "
            "in it must stand in quotes, and ?delimiter=C says which one it is"
        )
    return dict(zip(header, kept, strict=True))
