"""Grids in text: rows of digits, nested lists, tables and matrices, wherever they stand in a chain.

A grid is a block of lines that are rows (digits with or without blanks, commas or bars between them), or a
nested list of digits. One pass over the text each; the patterns never give back what they took, so hostile text costs
no more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from evolve_llm.scheme.formats import AnswerFormat, Placed, last_boxed, last_tagged

LARGEST = 30
"""Rows, and cells of a row, of the largest grid in ARC."""

_NESTED = re.compile(r"[\[(]\s*+(?:[\[(][\d\s,]*+[\])][\s,]*+)++[\])]")
_QUOTED = re.compile(r"[\[(]\s*+(?:\"[\d ]++\"[\s,]*+|'[\d ]++'[\s,]*+)++[\])]")
_INNER = re.compile(r"[\[(]([\d\s,]*+)[\])]|[\"']([\d ]++)[\"']")
_MATRIX = re.compile(r"\\(?:begin|end)\{[a-z]{0,12}\*?\}(?:\{[lcr|@{}]{0,64}\})?|\\hline")
_ROW = re.compile(r"\d(?:[ \t,|&]+\d)*|\d+")
_LABEL = re.compile(r"(?:row|r)[ \t]*\d{1,2}[ \t]*[:|=.)-][ \t]*", re.IGNORECASE)
_RULE = re.compile(r"[|+: \t-]*-[|+: \t-]*")
_EDGES = " \t\r\v\f\"'`*[](),;|&$"
_LONGEST_LINE = 4_000

Rows = tuple[tuple[int, ...], ...]


def every_grid(text: str) -> list[Placed]:
    """Every grid of a text in order, each with where it stands and its rows, which may be ragged."""
    nested = _nested(text)
    return sorted([*nested, *_blocks(_without(text, nested))], key=lambda one: one.start)


def grids_in(text: str) -> list[Placed]:
    """As ``every_grid``; a single row counts only where there is nothing else: a lone number is rarely a grid."""
    found = every_grid(text)
    return [one for one in found if len(one.rows) > 1 or text[one.start] in "[("] or found


def last_grid(text: str) -> str | None:
    """The grid in the last box or ``<answer>`` tags, else the last in the text, as rows of digits; or None.

    One row a line, cells set apart by blanks, whatever the chain wrote. A ragged grid is given as it is: an
    earlier one is not the answer.
    """
    marked = last_tagged(text) or last_boxed(text)
    for part in (marked, text):
        found = grids_in(part) if part else []
        if found:
            return written(found[-1].rows)
    return None


def written(rows: Iterable[Sequence[int]]) -> str:
    """Rows of digits, one a line, cells set apart by blanks: how grids are shown to the model."""
    return "\n".join(" ".join(map(str, row)) for row in rows)


def _nested(text: str) -> list[Placed]:
    found = []
    for match in (*_NESTED.finditer(text), *_QUOTED.finditer(text)):
        rows = [_cells(a or b) for a, b in _INNER.findall(match[0][1:-1])]
        if rows and None not in rows:
            found.append(Placed(match.start(), match.end(), tuple(row for row in rows if row is not None)))
    return found


def _cells(text: str) -> tuple[int, ...] | None:
    """The cells of a row of digits, set apart or not; None where a number has several digits beside others."""
    pieces = text.replace(",", " ").split()
    if len(pieces) == 1:
        return tuple(map(int, pieces[0]))
    return tuple(map(int, pieces)) if pieces and all(len(piece) == 1 for piece in pieces) else None


def _without(text: str, taken: Iterable[Placed]) -> str:
    """The text with what was read already struck out and LaTeX's matrices as lines, every place where it was."""
    pieces, place = [], 0
    for one in sorted(taken, key=lambda one: one.start):
        pieces += [text[place : one.start], "x" * (one.end - one.start)]
        place = one.end
    text = "".join([*pieces, text[place:]])
    if "\\" not in text:
        return text
    text = _MATRIX.sub(lambda match: "\n" + " " * (len(match[0]) - 1), text)
    return text.replace("\\\\", " \n")


@dataclass(slots=True)
class _Run:
    """Lines that are rows, and how many blank lines stood before them (2: or anything else)."""

    start: int
    end: int
    rows: list[tuple[int, ...]]
    gap: int


def _blocks(text: str) -> list[Placed]:
    """Runs of lines that are rows; rows that each stand between single blank lines are one run too."""
    runs: list[_Run] = []
    place, gap = 0, 2
    for line in text.split("\n"):
        row, end = _row(line), place + len(line)
        if row is not None and gap == 0:
            runs[-1].rows.append(row)
            runs[-1].end = end
        elif row is not None:
            runs.append(_Run(place, end, [row], gap))
            gap = 0
        elif not line.strip():
            gap = min(2, gap + 1)
        elif gap or not _is_rule(line):
            gap = 2
        place = end + 1
    return [Placed(one.start, one.end, tuple(one.rows)) for one in _joined(runs)]


def _joined(runs: Iterable[_Run]) -> list[_Run]:
    """Runs of one row with one blank line between them made one grid."""
    found: list[_Run] = []
    loose = False  # the last one found is made of single rows
    for run in runs:
        single = len(run.rows) == 1
        if single and loose and run.gap == 1:
            found[-1].rows += run.rows
            found[-1].end = run.end
        else:
            found.append(run)
        loose = single
    return found


def _is_rule(line: str) -> bool:
    """Whether a line only draws the head of a table: ``|---|---|``."""
    return len(line) < _LONGEST_LINE and _RULE.fullmatch(line.strip()) is not None


def _row(line: str) -> tuple[int, ...] | None:
    if len(line) > _LONGEST_LINE:
        return None
    line = line.lstrip("> \t")
    label = _LABEL.match(line)
    line = line[label.end() if label else 0 :].strip(_EDGES)
    return _cells(re.sub(r"[|&]", " ", line)) if _ROW.fullmatch(line) else None


answer_format = AnswerFormat(
    "grid", last_grid, files("evolve_llm_problems.grids").joinpath("prompts"), pictures=every_grid
)
