"""The answer of a chain that boxes none: read from its last statement.

For problem sets whose model was not asked for a box. What a chain says last is a guess about what it means, so
verdicts that rest on it name this reading.
"""

from __future__ import annotations

import re

_TAIL = 4_000
"""Characters of a chain's end that are looked at."""

_TOKEN = re.compile(r"<\|")
_COURTESY = re.compile(r"(?:I hope (?:it|this)|Please let me|Let me know|Feel free)[^\n]*$", re.IGNORECASE)
_SAID = re.compile(
    r"(?:final\s+answer|\banswer|\bsolution)s?\b[*_:]*\s*(?:(?:is|are)\b|:|=)?\s*", re.IGNORECASE
)
_END = re.compile(r"[.!?](?=\s|$)|\n")
_IS = re.compile(r"\b(?:is|are|equals|be)\b[*_:]*")
_SPAN = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_WORD = re.compile(r"(?<![\\A-Za-z])(?!and\b|or\b|sqrt\b|sin\b|cos\b|tan\b|log\b|ln\b|pi\b)[A-Za-z]{3,}")
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[-+]?\$?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?\s*(?:\\?%)?")


def last_statement(text: str) -> str | None:
    """What the last sentence about an answer says; else the last formula, or number, of the last sentence."""
    tail = text[-_TAIL:]
    special = _TOKEN.search(tail)
    tail = _COURTESY.sub("", (tail[: special.start()] if special else tail).rstrip()).rstrip()
    if not tail:
        return None
    for match in reversed(list(_SAID.finditer(tail))):
        found = _value(_sentence(tail[match.end() :]))
        if found is not None:
            return found
    lines = [line for line in tail.split("\n") if line.strip()]
    sentences = [one for one in re.split(r"(?<=[.!?])\s+", lines[-1]) if one.strip()]
    return _value(sentences[-1].rstrip(" .!?")) if sentences else None


def _sentence(text: str) -> str:
    text = text.lstrip(" *_\n")
    formula = _SPAN.match(text)
    if formula is not None and "\n" in formula.group():
        return next(part for part in formula.groups() if part)
    end = _END.search(text)
    return text[: end.start()] if end else text


def _value(said: str) -> str | None:
    """The mathematics of a sentence: what follows its verb, else its last formula, else its last number."""
    said = said.strip(" *_`\"'\n")
    rest = _IS.split(said)[-1].strip(" *_`:\"'")
    for candidate in (rest, said):
        says = any(character.isdigit() or character == "\\" for character in candidate)
        if says and _WORD.search(_SPAN.sub(" ", candidate)) is None:
            return candidate
    for place in (rest, said):
        spans = [next(part for part in match.groups() if part) for match in _SPAN.finditer(place)]
        if spans:
            return spans[-1].strip()
    numbers = _NUMBER.findall(rest) or _NUMBER.findall(said)
    return numbers[-1].strip() if numbers else None
