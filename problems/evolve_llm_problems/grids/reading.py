"""Grids in text: rows of digits, nested lists, tables and matrices, wherever they stand in a chain.

A grid is a block of lines that are rows (digits with or without blanks, commas or bars between them), or a
nested list of digits. One pass over the text each; the patterns never give back what they took, so hostile text costs
no more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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


def grids_in(text: str) -> list[Placed]:
    """Every grid of a text in order, each with where it stands and its rows, which may be ragged.

    A block of one line counts only where no other block does, since a lone number is rarely a grid.
    """
    nested = [*_nested(text, _NESTED), *_nested(text, _QUOTED)]
    found = sorted([*nested, *_blocks(_without(text, nested))], key=lambda one: one.start)
    several = [one for one in found if len(one.rows) > 1 or one in nested]
    return several or found


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


def _nested(text: str, pattern: re.Pattern[str]) -> list[Placed]:
    found = []
    for match in pattern.finditer(text):
        rows = [_cells(a or b) for a, b in _INNER.findall(match[0][1:-1])]
        if rows and None not in rows:
            found.append(Placed(match.start(), match.end(), tuple(row for row in rows if row is not None)))
    return found


def _cells(text: str) -> tuple[int, ...] | None:
    """The cells of a row of digits, set apart or not; None where a number has several digits beside others."""
    pieces = text.replace(",", " ").split()
    if len(pieces) == 1:
        return tuple(map(int, pieces[0]))
    return tuple(map(int, pieces)) if all(len(piece) == 1 for piece in pieces) else None


def _without(text: str, taken: Iterable[Placed]) -> str:
    """The text with what was read already struck out and LaTeX's matrices as lines, every place where it was."""
    for one in taken:
        text = text[: one.start] + "x" * (one.end - one.start) + text[one.end :]
    if "\\" not in text:
        return text
    text = _MATRIX.sub(lambda match: "\n" + " " * (len(match[0]) - 1), text)
    return text.replace("\\\\", " \n")


def _blocks(text: str) -> list[Placed]:
    """Runs of lines that are rows; rows that each stand between single blank lines are one run too."""
    runs: list[Placed] = []
    gaps: list[int] = []  # blank lines before each run, 2 for anything else
    place, gap = 0, 2
    for line in text.split("\n"):
        row, end = _row(line), place + len(line)
        if row is not None and gap == 0:
            runs[-1] = Placed(runs[-1].start, end, (*runs[-1].rows, row))
        elif row is not None:
            runs.append(Placed(place, end, (row,)))
            gaps.append(gap)
        if row is not None:
            gap = 0
        elif not line.strip():
            gap = min(2, gap + 1)
        elif gap or not _is_rule(line):
            gap = 2
        place = end + 1
    return _joined(runs, gaps)


def _joined(runs: Sequence[Placed], gaps: Sequence[int]) -> list[Placed]:
    """Runs of one row with one blank line between them made one grid."""
    found: list[Placed] = []
    loose = False  # the last one found is made of single rows
    for run, gap in zip(runs, gaps, strict=True):
        single = len(run.rows) == 1
        if single and loose and gap == 1:
            found[-1] = Placed(found[-1].start, run.end, found[-1].rows + run.rows)
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
    "grid", last_grid, files("evolve_llm_problems.grids").joinpath("prompts"), pictures=grids_in
)
