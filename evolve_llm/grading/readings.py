r"""How answers are worded: prose around a value, lists in words, names before values, inequalities, matrices.

Text in, text out, linear in its length; no reading changes what a number is. Which reading applies where is
decided in ``math``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPACE = r"(?:\\[,;:! ]|~|\{,\}|\{\\[,;:!]\}|,\\!|\{,\\!\})"
_THIN_GROUPS = re.compile(rf"(?<![\d.,])\d{{1,3}}(?:{_SPACE}\s*\d{{3}})+(?![\d])")
_SEPARATOR = re.compile(rf"{_SPACE}\s*")
_SPACED_GROUPS = re.compile(r"([+-]?)(\d{1,3}(?: \d{3})+)(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"([+-]?)(\d+),(\d+)")
_LEAD = re.compile(
    r"(?:[A-Za-z][A-Za-z' -]{2,80}?\s(?:is|are|equals|equal to|will be|was)|[A-Za-z][A-Za-z' -]{2,80}?\s?:)\s*"
    r"(?=[-+\d\\({\[|$])"
)
_TEXT_LEAD = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]{0,120})\}\s*(?=\S)")
_SAYS = re.compile(
    r"[A-Za-z][A-Za-z' -]{2,100}\s(?:is|are|equals|equal to|will be|was|=)|[A-Za-z' ]{2,100}[:=]"
)
_AND = re.compile(
    r"\\(?:text|textrm|mathrm|mbox)\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![a-z])|\\lor(?![a-zA-Z])"
)
_GLUED = re.compile(r"(?<=[\d)}\]])(?:and|or)(?=[A-Za-z]\(|[-\d(\\{])")
_COMMAS = re.compile(r",(?:\s*,)+")
_NAME = r"(?:\\?[A-Za-z]+(?:_(?:\{[^{}]{1,12}\}|\w))?'?(?:\([A-Za-z0-9]{1,3}\))?|\|?[A-Z]{2,3}\|?|\\angle [A-Z]{1,3})"
_NAMES = rf"\(\s*{_NAME}(?:\s*,\s*{_NAME}){{1,7}}\s*\)|{_NAME}\s*:\s*{_NAME}|{_NAME}"
_ASSIGNED = re.compile(rf"({_NAMES})\s*(?:=|\\in(?![a-zA-Z]))(?!=)\s*(.+)", re.DOTALL)
_FUNCTIONS = re.compile(r"\\(?:sqrt|frac|sin|cos|tan|log|ln|pm|pi|infty|binom|text|begin|left|cup)")
_BASE = re.compile(r"\\?[A-Za-z]+")
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![a-zA-Z])|[<>=]")
_VARIABLE = re.compile(r"\\?[A-Za-z]+(?:_(?:\{\w+\}|\w))?(?:\([A-Za-z]\))?")
_MATRIX = re.compile(
    r"(?:[(\[]\s*)?\\begin\s*\{(?:[pbB]?matrix|smallmatrix|array)\}(?:\s*\{[lcr| ]*\})?(.*?)"
    r"\\end\s*\{(?:[pbB]?matrix|smallmatrix|array)\}(?:\s*[)\]])?",
    re.DOTALL,
)
_ROW = re.compile(r"\\\\(?:\[[^\]]*\])?|\\cr(?![a-zA-Z])")


def joined_groups(text: str) -> str:
    r"""Thousands written with thin spaces, joined: ``11,\! 111`` and ``32\,349`` have no separator left."""
    if "\\" not in text and "{" not in text and "~" not in text:
        return text
    return _THIN_GROUPS.sub(lambda match: _SEPARATOR.sub("", match.group()), text)


def spaced_number(text: str) -> str:
    """``1 000`` and ``-12 345.5`` as one number, where the whole text is one; anything else as it is."""
    match = _SPACED_GROUPS.fullmatch(text)
    return text if match is None else match[1] + match[2].replace(" ", "") + (match[3] or "")


def decimal_comma(text: str, *, only: bool) -> str | None:
    """The number with a decimal comma as one with a point, None where that is no reading of the text.

    ``only``: where no other reading is possible: ``0,5`` and ``1000,99`` are no thousands, and no list is
    written without a space after a number of four digits; ``1,22`` may be a list.
    """
    match = _DECIMAL_COMMA.fullmatch(text)
    if match is None:
        return None
    thousands = len(match[3]) == 3 and len(match[2]) <= 3 and not match[2].startswith("0")
    if thousands:
        return None
    certain = match[2] == "0" or (len(match[2]) > 3 and len(match[3]) <= 2)
    return f"{match[1]}{match[2]}.{match[3]}" if certain or not only else None


def without_lead(text: str) -> str:
    """What is said of a value, dropped: ``The answer is 42`` is 42."""
    if not text[:1].isalpha() and not text.startswith("\\"):
        return text
    match = _TEXT_LEAD.match(text)
    if match is not None and _SAYS.fullmatch(match[1].strip()):
        return text[match.end() :]
    match = _LEAD.match(text)
    return text[match.end() :] if match is not None else text


def listed(text: str) -> str:
    """A list in words with commas: ``1 and 2 or 3`` is ``1, 2, 3``. Words that join words are left alone."""
    if "and" not in text and "or" not in text:
        return text
    if not any(character.isdigit() or character in "\\=" for character in text):
        return text
    found = _GLUED.sub(",", _AND.sub(",", text))
    return _COMMAS.sub(",", found).strip(" ,")


def split_names(text: str) -> tuple[str, str]:
    r"""The names and the rest of ``x = 5``, ``(p,q) = (3,2)``, ``A:B = 1``, ``f(x) = 2`` or ``x \in [1,2]``.

    ('', text) where there is no such thing.
    """
    if "=" not in text and "\\in" not in text:
        return "", text
    match = _ASSIGNED.fullmatch(text)
    if match is None or _FUNCTIONS.match(match[1]) or any(sign in match[2] for sign in "=<>"):
        return "", text
    return "".join(match[1].split()), match[2].strip()


def base_of(name: str) -> str:
    """The letter of a name: ``x`` of ``x_1`` and of ``x_{2}``."""
    match = _BASE.match(name.lstrip("(|"))
    return name if match is None else match.group()


def interval(text: str) -> tuple[str, str] | None:
    r"""The variable, and the interval that an inequality says it is in, as written: ``-2 \le x < 7`` is ``[-2,7)``.

    None for anything else. ``x > 5`` is ``(5,\infty)``.
    """
    if "<" not in text and ">" not in text and "\\le " not in text and "\\ge " not in text:
        return None
    if "=" in text.replace("\\le ", "").replace("\\ge ", "") or len(text) > 400:
        return None
    pieces, signs = [piece.strip() for piece in _split_relations(text)], _signs(text)
    if len(signs) == 1 and len(pieces) == 2:
        if _VARIABLE.fullmatch(pieces[0]):
            return (pieces[0], _half(signs[0], pieces[1])) if pieces[1] else None
        if _VARIABLE.fullmatch(pieces[1]) and pieces[0]:
            return pieces[1], _half(_turned(signs[0]), pieces[0])
        return None
    if len(signs) != 2 or len(pieces) != 3 or not _VARIABLE.fullmatch(pieces[1]):
        return None
    if signs[0][0] != signs[1][0] or not pieces[0] or not pieces[2]:
        return None
    low, high = (pieces[0], pieces[2]) if signs[0][0] == "<" else (pieces[2], pieces[0])
    first, last = (signs[0], signs[1]) if signs[0][0] == "<" else (signs[1], signs[0])
    return pieces[1], f"{'[' if first[1:] else '('}{low},{high}{']' if last[1:] else ')'}"


def _signs(text: str) -> list[str]:
    """The order relations of a text, ``<`` or ``>``, with ``=`` where they include equality."""
    found = []
    for match in _RELATION.finditer(text):
        sign = {"\\le": "<=", "\\ge": ">=", "<": "<", ">": ">"}.get(match.group())
        if sign is None:
            return []
        found.append(sign)
    return found


def _split_relations(text: str) -> list[str]:
    return _RELATION.split(text)


def _turned(sign: str) -> str:
    return {"<": ">", ">": "<"}[sign[0]] + sign[1:]


def _half(sign: str, end: str) -> str:
    closed = bool(sign[1:])
    if sign[0] == "<":
        return f"(-\\infty,{end}{']' if closed else ')'}"
    return f"{'[' if closed else '('}{end},\\infty)"


@dataclass(frozen=True)
class Matrix:
    """The entries of a matrix as written, row by row."""

    rows: tuple[tuple[str, ...], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.rows[0])


def matrix(text: str) -> Matrix | None:
    r"""A whole text that is one matrix (``pmatrix``, ``bmatrix``, or ``array`` in brackets); None for anything else."""
    if "\\begin" not in text:
        return None
    while text.startswith("(") and text.endswith(")") and text[1:].lstrip().startswith("\\begin"):
        inner = _MATRIX.fullmatch(text)
        if inner is not None:
            break
        text = text[1:-1].strip()
    match = _MATRIX.fullmatch(text)
    if match is None or "\\begin" in match[1]:
        return None
    rows = [row for row in _ROW.split(match[1].replace("\\hline", "")) if row.strip()]
    cells = tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows)
    if not cells or len({len(row) for row in cells}) != 1 or not all(cell for row in cells for cell in row):
        return None
    return Matrix(cells)


def equation(text: str) -> tuple[str, str] | None:
    """The two sides of one equation; None for anything else."""
    if text.count("=") != 1 or any(sign in text for sign in ("<", ">", "\\le ", "\\ge ", "\\ne ", "!=")):
        return None
    left, _, right = text.partition("=")
    return (left.strip(), right.strip()) if left.strip() and right.strip() else None
