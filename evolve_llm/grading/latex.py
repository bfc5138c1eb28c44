r"""How an answer is written, taken apart: wrappers, units, tuples, sets. Text in, text out; linear time."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from evolve_llm.grading import readings
from evolve_llm.grading.normalize import plain
from evolve_llm.scheme.formats import final_boxes

Kind = Literal["tuple", "set", "list", "plain"]

_DROP = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|mathstrut)(?![a-zA-Z])|\\q?quad|(?<!\\)\\[,;:!]|~"
)
_WORDS = [
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:cdot|times|ast)(?![a-zA-Z])|\*\*?(?=\*)|[×·∙⋅]"), "*"),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\\div(?![a-zA-Z])|[÷∕⁄]"), "/"),
    (re.compile(r"\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|\\degree(?![a-zA-Z])|º"), "°"),
    (re.compile(r"\\(?:leq?|leqslant)(?![a-zA-Z])|≤|⩽|<="), r"\\le "),
    (re.compile(r"\\(?:geq?|geqslant)(?![a-zA-Z])|≥|⩾|>="), r"\\ge "),
    (re.compile(r"\\(?:neq|ne)(?![a-zA-Z])|≠|!="), r"\\ne "),
    (re.compile(r"\\lt(?![a-zA-Z])"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])"), ">"),
    (re.compile(r"\{:\}"), ":"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\(?:varnothing|emptyset)(?![a-zA-Z])|∅"), r"\\emptyset "),
    (re.compile(r"\{,\}"), ","),
]
_SYMBOLS = {
    "π": "\\pi ",
    "∞": "\\infty ",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∈": "\\in ",
    "±": "\\pm ",
    "θ": "\\theta ",
    "α": "\\alpha ",
    "β": "\\beta ",
    "λ": "\\lambda ",
    "φ": "\\phi ",
    "ω": "\\omega ",
}
_BLANK = re.compile(r"(?<!\\)\\ ")
_SPELT = re.compile(r"[0-9A-Za-z $+\-/.,=()\[\]:;%^_|']*")
"""Text in which nothing has a second spelling."""
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_ROOT = re.compile(r"(?:√|(?<![\\a-zA-Z])sqrt)\s*(?:\(([^()]{1,200})\)|(\d+|[a-zA-Z]))")
_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_UNIT = re.compile(
    r"(?s)(.*?[\d)}\]a-zA-Z])\s*"
    r"(°|\\(?:text|textrm|mathrm|mbox)\s*\{[^{}]*\}(?:\^\{?[23]\}?)?|(?<=[\d)} ])(?:"
    r"degrees?|radians?|units?|dollars?|cents?|cm|mm|km|meters?|metres?|inches|feet|miles|"
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|kg|grams?|liters?|litres?|percent(?:age)?|pct|points?|ways"
    r")(?:\^\{?[23]\}?)?)"
)
_DOUBLED = re.compile(r"\\\\(?=[a-zA-Z,;:!{}()\[\]])")
_TRIGONOMETRIC = re.compile(r"sin|cos|tan|cot|sec|csc")
_WORD = re.compile(r"[^\W\d_]{3,}(?:[ '-][^\W\d_]+)*")
_BETWEEN = re.compile(r"(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])")
_TIDY_LIMIT = 100_000
_REMEMBERED = 300


@dataclass(frozen=True)
class Parts:
    """A compound answer: its kind, its brackets (``[1,2)`` is not ``(1,2)``), its elements as written."""

    kind: Kind
    brackets: str
    elements: tuple[str, ...]


def tidy(text: str) -> str:
    """`tidied`, remembered for texts of ordinary length: references and answers come again and again."""
    return _remembered(text) if len(text) <= _REMEMBERED else tidied(text)


def tidied(text: str) -> str:
    r"""The mathematics of an answer without its wrapping and spelling variants.

    Takes the last box if there is one; drops ``$``, ``\left``, spacing commands and a final full stop;
    gives fractions, products, degrees, superscripts and relations one spelling each.
    """
    text = plain_math(text)
    if "boxed" in text or "\\fbox" in text:
        text = final_boxes(text) or text
    text = readings.joined_groups(_unwrapped(_single_backslashes(text)))
    if _SPELT.fullmatch(text) is None:
        text = _BLANK.sub(" ", _DROP.sub("", text)).replace("\\%", "%").replace("\\$", "")
        for pattern, replacement in _WORDS:
            text = pattern.sub(replacement, text)
    text = text.replace("$", "")
    for _ in range(4 if "sqrt" in text or "√" in text else 0):
        text, count = _ROOT.subn(lambda match: f"\\sqrt{{{match[1] or match[2]}}}", text)
        if not count:
            break
    text = " ".join(text.split())
    if text.endswith(".") and not text.endswith("..."):
        text = text[:-1].rstrip()
    text = readings.listed(readings.without_lead(text))
    whole = _WRAPPED.fullmatch(text)
    return readings.spaced_number(whole[1].strip() if whole else text)


_remembered = lru_cache(maxsize=8192)(tidied)


def plain_math(text: str) -> str:
    """`plain` text in which superscripts, vulgar fractions and Greek letters keep their meaning."""
    text = plain(text[:_TIDY_LIMIT])
    if text.isascii():
        return text
    text = _SUPERSCRIPT.sub(lambda match: "^{" + match.group().translate(_SUPERSCRIPTS) + "}", text)
    out = []
    for character in text:
        if character in _SYMBOLS:
            out.append(_SYMBOLS[character])
        elif not character.isascii() and unicodedata.category(character) == "No":
            top, slash, bottom = unicodedata.normalize("NFKC", character).partition("⁄")
            out.append(f"\\frac{{{top}}}{{{bottom}}}" if slash else character)
        else:
            out.append(character)
    return "".join(out)


def _single_backslashes(text: str) -> str:
    r"""LaTeX that was escaped once too often, ``\\\\frac``, as it was meant; rows of matrices keep their ends."""
    return text if "\\\\" not in text or "\\begin" in text else _DOUBLED.sub(r"\\", text)


def _unwrapped(text: str) -> str:
    text = text.strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = text[len(opening) : -len(closing)]
        wrapped = len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing)
        if wrapped and opening not in inner:
            return inner.strip()
    return text


def dense(text: str) -> str:
    """The text without the white space that separates nothing (``1 2`` keeps its space, ``( 1, 2 )`` none)."""
    return _BETWEEN.sub("\0", " ".join(text.split())).replace(" ", "").replace("\0", " ")


def split_unit(text: str) -> tuple[str, str]:
    """The text before a trailing unit, and the unit in one spelling ('' when there is none; ``%`` is one)."""
    if text.endswith("%"):
        return text[:-1].rstrip(), "%"
    match = _UNIT.fullmatch(text[-400:]) if len(text) <= 400 else None
    if match is None:
        return text, ""
    if match[2] == "°" and _TRIGONOMETRIC.search(match[1]):
        return text, ""
    unit = _WRAPPED.sub(lambda inner: inner[1], match[2]).replace("{", "").replace("}", "")
    unit = unit.strip().casefold().rstrip(".")
    unit = {
        "°": "degree",
        "percent": "%",
        "percentage": "%",
        "pct": "%",
        "metre": "meter",
        "litre": "liter",
    }.get(unit.rstrip("s"), unit.rstrip("s"))
    return match[1].rstrip(), unit


def is_word(text: str) -> bool:
    """Whether the text is ordinary words rather than a product of letters."""
    return _WORD.fullmatch(text) is not None


def too_deep(text: str, limit: int = 60) -> bool:
    """Whether brackets nest deeper than any answer needs: parsers recurse, some of them exponentially."""
    depth = 0
    for character in text:
        if character in "([{":
            depth += 1
            if depth > limit:
                return True
        elif character in ")]}":
            depth -= 1
    return False


def split(text: str) -> Parts:
    r"""A tuple or interval, set or bare list taken apart at its top-level commas; anything else is ``plain``.

    Redundant outer parentheses go. ``a \pm b`` is the list of both. ``(1,2)`` is a tuple, which is
    written like an open interval: the two are not told apart, as the text does not.
    """
    text = text.strip()
    if "\\begin" in text:
        return Parts("plain", "", (text,))
    while text[:1] == "(" and _closes_at_end(text) and len(_elements(text[1:-1])) == 1:
        text = text[1:-1].strip()
    if text[:1] == "{" and text[-1:] == "}" and _closes_at_end(text) and len(_elements(text[1:-1])) > 1:
        text = text[1:-1].strip()  # braces that only group
    if text.startswith("\\{") and text.endswith("\\}"):
        return Parts("set", "{}", tuple(_elements(text[2:-2])))
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and _closes_at_end(text):
        elements = _elements(text[1:-1])
        brackets = text[0] + text[-1]
        if len(elements) > 1:
            return Parts("tuple", brackets, tuple(elements))
    elements = _elements(text)
    if len(elements) > 1:
        return Parts("list", "", tuple(elements))
    if text.count("\\pm") == 1:
        return Parts("list", "", (text.replace("\\pm", "+"), text.replace("\\pm", "-")))
    return Parts("plain", "", (text,))


def _closes_at_end(text: str) -> bool:
    """Whether the bracket that opens the text is closed by its last character."""
    depth = 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return place == len(text) - 1
    return False


def _elements(text: str) -> list[str]:
    """The text cut at its top-level commas and semicolons; at semicolons alone where these group what has commas."""
    separators = _separators(text)
    elements, depth, start = [], 0, 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character in separators and depth == 0:
            elements.append(text[start:place].strip())
            start = place + 1
    elements.append(text[start:].strip())
    return elements


def _separators(text: str) -> str:
    if ";" not in text or "," not in text:
        return ",;"
    depth, seen = 0, set()
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character in ",;":
            seen.add(character)
    return ";" if seen == {",", ";"} else ",;"
