"""Strict grammars for answers that some scorer would evaluate: nothing outside them is ever handed on.

A value is built by these functions themselves, or the text is rebuilt from the tokens they allow.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from fractions import Fraction

from evolve_llm.grading import numbers
from evolve_llm.grading.latex import too_deep
from evolve_llm.grading.normalize import plain

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "sec",
        "csc",
        "cot",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "exp",
        "log",
        "ln",
        "sqrt",
        "Abs",
    ]
)
CONSTANTS = frozenset(("pi", "E"))
_LITERAL_LENGTH = 20_000
_EXPRESSION_LENGTH = 4_000
_LARGEST_EXPONENT = 100
_LONGEST_NUMBER = 40
_BITS = 1 << 12
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|([A-Za-z_]\w*)|(\*\*|[-+*/()]))")
_ARITHMETIC = re.compile(r"[0-9+\-*/()\s]+")
_JUXTAPOSED = re.compile(r"[\d)]\s*\(|\)\s*\d|\d\s+\d|\*\s*\*|/\s*/")


class OutsideGrammarError(ValueError):
    """The answer is not written in the allowed notation."""


def literal(text: str) -> object:
    """The value of a Python literal (numbers, strings, lists, tuples, dicts). Nothing is evaluated.

    Raises OutsideGrammarError for anything else, and for what is too long or nested too deep.
    """
    if len(text) > _LITERAL_LENGTH or too_deep(text, 20):
        raise OutsideGrammarError("too large for a literal")
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise OutsideGrammarError(f"not a literal: {type(error).__name__}") from error


def arithmetic(text: str) -> tuple[Fraction, list[int]]:
    """The exact value of integers joined by ``+ - * / ( )``, and the integers in order of appearance.

    Raises OutsideGrammarError for anything else.
    """
    text = plain(text).strip()
    if len(text) > _EXPRESSION_LENGTH or not _ARITHMETIC.fullmatch(text) or _JUXTAPOSED.search(text):
        raise OutsideGrammarError("not arithmetic on integers")
    try:
        value = numbers.evaluate(" ".join(text.split()), _BITS)
    except (numbers.NotANumberError, numbers.TooLargeError) as error:
        raise OutsideGrammarError("not arithmetic on integers") from error
    return value, [int(number) for number in re.findall(r"\d+", text)]


def algebraic(text: str, symbols: Collection[str]) -> str:
    """The expression rebuilt from allowed tokens: numbers, ``+ - * / ** ( )``, the symbols, known functions.

    A function name is only followed by ``(``, other names never are; exponents are small numbers or
    brackets without further powers. Raises OutsideGrammarError for anything else.
    """
    text = plain(text).strip()
    if not text or len(text) > _EXPRESSION_LENGTH or too_deep(text, 30):
        raise OutsideGrammarError("too large for an expression")
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise OutsideGrammarError(f"unexpected {text[position : position + 10]!r}")
        position = match.end()
        number, name, operator = match.groups()
        if number and len(number) > _LONGEST_NUMBER:
            raise OutsideGrammarError("a number too long")
        if name and name not in symbols and name not in FUNCTIONS and name not in CONSTANTS:
            raise OutsideGrammarError(f"unknown name {name[:20]!r}")
        tokens.append(number or name or operator)
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if (token in FUNCTIONS and token not in symbols) != (following == "(" and token[0].isalpha()):
            raise OutsideGrammarError("a name that is called, or a function that is not")
        if token == "**":
            _exponent(tokens, place + 1)
    return " ".join(tokens)


def _exponent(tokens: list[str], place: int) -> None:
    """Raise unless the exponent that starts here is harmless."""
    while place < len(tokens) and tokens[place] == "-":
        place += 1
    if place >= len(tokens):
        raise OutsideGrammarError("no exponent")
    end, depth = place, 0
    while end < len(tokens):
        depth += (tokens[end] == "(") - (tokens[end] == ")")
        end += 1
        if depth == 0 and not tokens[end - 1].isidentifier():
            break
        if depth == 0 and (end == len(tokens) or tokens[end] != "("):
            break
    inside = tokens[place:end]
    if "**" in inside or tokens[end : end + 1] == ["**"]:
        raise OutsideGrammarError("a power in an exponent")
    if any(token[0] in "0123456789." and float(token) > _LARGEST_EXPONENT for token in inside):
        raise OutsideGrammarError("an exponent too large")
