"""What a person may have meant by a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, at_most: int = 2) -> str:
    """`` Did you mean 'a' or 'b'?`` with a space before it, or an empty text where nothing known is close."""
    near = difflib.get_close_matches(name, list(known), n=at_most, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def among(name: str, known: list[str], *, shown: int = 10) -> str:
    """`` Did you mean …? It has: …``: the nearest ones and the first of all, for a list that may be long."""
    listed = ", ".join(known[:shown]) + (", …" if len(known) > shown else "")
    return f"{did_you_mean(name, known)} It has: {listed}"
