"""Small pieces of HTML for notebooks. Everything that is put in is text, never markup: models wrote some of it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table under a title."""
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<p>{_text(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def passage(text: str, longest: int = 4000) -> str:
    """A text as it stands, its lines kept; what is longer than ``longest`` characters is cut, and says so."""
    left = len(text) - longest
    shown = text if left <= 0 else f"{text[:longest]}\n[{left:,} more characters]"
    return f'<pre style="white-space: pre-wrap">{_text(shown)}</pre>'


def _text(value: object) -> str:
    written = "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    return html.escape("".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in written))
