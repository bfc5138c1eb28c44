"""Grids of colours as blocks in the terminal; the digits stay in them, so that a pipe loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evolve_llm.cli.text import printable

if TYPE_CHECKING:
    from rich.text import Text

    from evolve_llm.scheme.formats import Placed

# The colours in which ARC's own editor shows the digits 0 to 9, and the ink that can be read on each.
_INK_ON_PAPER = (
    "grey70 on #000000", "white on #0074d9", "white on #ff4136", "black on #2ecc40", "black on #ffdc00",
    "black on #aaaaaa", "white on #f012be", "black on #ff851b", "black on #7fdbff", "white on #870c25",
)  # fmt: skip
_MOST_ROWS, _MOST_CELLS = 60, 60


def drawn(text: str, grids: Sequence[Placed]) -> Text:
    """The text with each grid in it as colour blocks, in the place where it stood."""
    from rich.text import Text

    out, place = Text(), 0
    for one in grids:
        if one.start < place:
            continue
        out.append(printable(text[place : one.start]))
        if out.plain and not out.plain.endswith("\n"):
            out.append("\n")
        out.append(picture(one.rows))
        place = one.end
        if place < len(text) and text[place] != "\n":
            out.append("\n")
    out.append(printable(text[place:]))
    return out


def picture(rows: Sequence[Sequence[int]]) -> Text:
    """One grid: a digit and a blank a cell, on its colour. What lies beyond 60 by 60 cells is cut off."""
    from rich.text import Text

    lines = [_line(row[:_MOST_CELLS], len(row) > _MOST_CELLS) for row in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        lines.append(Text("…"))
    return Text("\n").join(lines)


def _line(row: Sequence[int], cut: bool) -> Text:
    from rich.text import Text

    line = Text()
    for cell in row:
        line.append(f"{cell} ", style=_INK_ON_PAPER[cell] if 0 <= cell <= 9 else "")
    line.append("…" if cut else "")
    return line
