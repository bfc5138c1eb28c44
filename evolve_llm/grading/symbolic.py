"""The slow part of grading mathematics: parsing LaTeX, Math-Verify, and exact checks by sympy.

Only ever called in a worker: anything here may hang, and is killed when it does. Importing this module
imports sympy and Math-Verify.
"""

from __future__ import annotations

import logging
import random
import re
from fractions import Fraction
from typing import Any

import sympy
from math_verify import LatexExtractionConfig, parse, verify

from evolve_llm.grading.numbers import show

_DIGITS = 60
_AGREE = sympy.Float("1e-45", 20)
_POINTS = 4
_DECIMAL = re.compile(r"(?<![\d.])(\d*)\.(\d+)(?![\d.])")
_DEGREES = re.compile(r"((?:\d+(?:\.\d+)?)|\([^()]*\)|\{[^{}]*\})\s*°")
_CONFIG = [LatexExtractionConfig(boxed_match_priority=-1)]

logging.getLogger("math_verify").setLevel(logging.CRITICAL)
logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)


def parsed(text: str) -> Any | None:
    """The sympy object a tidied answer denotes, exact (no floats), or None where it cannot be read.

    Degrees inside an expression become radians, decimals become fractions, and ``i`` is the imaginary
    unit where it is the only letter.
    """
    text = _DEGREES.sub(lambda match: f"({match[1]}\\cdot\\frac{{\\pi}}{{180}})", text)
    text = _DECIMAL.sub(
        lambda match: f"{{\\frac{{{int(match[1] + match[2])}}}{{1{'0' * len(match[2])}}}}}", text
    )
    if "°" in text or "$" in text:
        return None
    try:
        found = parse(
            f"${text}$", extraction_config=_CONFIG, fallback_mode="no_fallback", parsing_timeout=None
        )
    except RecursionError:
        return None
    value = next((one for one in found if isinstance(one, sympy.Basic | sympy.MatrixBase)), None)
    if isinstance(value, sympy.Expr):
        if {symbol.name for symbol in value.free_symbols} == {"i"}:
            value = value.subs(dict.fromkeys(value.free_symbols, sympy.I))
        value = value.doit()
    return value


def compare(answer: Any, gold: Any) -> tuple[bool, str]:
    """Whether two parsed answers are equal, and the rule that says so: ``exact-sympy`` or ``math-verify``.

    Closed-form numbers are compared to sixty digits and then exactly. For everything else Math-Verify
    decides, and a yes of its is taken back when the two differ at some random point.
    """
    both = isinstance(answer, sympy.Expr) and isinstance(gold, sympy.Expr)
    if both and _closed(answer) and _closed(gold):
        same = _same_number(answer, gold)
        if same is not None:
            return same, "exact-sympy"
    yes = verify([gold], [answer], float_rounding=15, numeric_precision=40, strict=True, timeout_seconds=None)
    if both:
        agree = _agree_at_points(answer, gold)
        if yes and agree is False:
            return False, "exact-sympy"
        if not yes and agree and sympy.simplify(answer - gold) == 0:
            return True, "exact-sympy"
    elif yes and not _same_leaves(answer, gold):
        return False, "exact-sympy"
    return bool(yes), "math-verify"


def proportional(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two equations, each given by its sides, are multiples of each other: the same solutions, always."""
    left, right = _difference(one), _difference(other)
    if left is None or right is None or left.free_symbols != right.free_symbols or not left.free_symbols:
        return False
    if left == 0 or right == 0 or not (left.is_polynomial() and right.is_polynomial()):
        return False
    factor = sympy.cancel(left / right)
    return bool(factor.is_number and factor != 0)


def equation_key(sides: tuple[str, str]) -> str | None:
    """A text that multiples of one polynomial equation share; a linear one is solved for ``y``, or its last letter."""
    difference = _difference(sides)
    if difference is None or not difference.free_symbols or not difference.is_polynomial():
        return None
    symbols = sorted(difference.free_symbols, key=lambda one: one.name)
    polynomial = sympy.Poly(difference, *symbols)
    if polynomial.total_degree() == 1:
        unknown = next((one for one in symbols if one.name == "y"), symbols[-1])
        solution = key(sympy.solve(difference, unknown)[0])
        return solution if unknown.name == "y" or len(symbols) == 1 else f"{unknown.name} = {solution}"
    return f"0 = {sympy.sstr(polynomial.monic().as_expr(), order='lex')}"


def _difference(sides: tuple[str, str]) -> Any | None:
    left, right = parsed(sides[0]), parsed(sides[1])
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
        return None
    found = sympy.expand(left - right)
    return found.subs({one: sympy.Symbol(one.name) for one in found.free_symbols})


def near(value: Any, decimal: Fraction, places: int) -> bool:
    """Whether a closed-form real number, rounded to that many places, is this decimal."""
    if not isinstance(value, sympy.Expr) or not _closed(value):
        return False
    difference = abs(sympy.N(value - sympy.Rational(decimal.numerator, decimal.denominator), _DIGITS))
    return bool(difference.is_comparable and difference * 2 * sympy.Integer(10) ** places <= 1)


def key(value: Any) -> str | None:
    """A text that equal values share: exact for rationals, thirty digits for other numbers, else structure."""
    if isinstance(value, sympy.core.relational.Relational):
        value = value.canonical
    if not isinstance(value, sympy.Expr):
        return f"{type(value).__name__}:{sympy.sstr(value, order='lex')}"
    if not value.free_symbols and value.is_number:
        if value.is_Rational:
            return show(Fraction(int(value.p), int(value.q)))
        if not value.is_finite and value.is_finite is not None:
            return str(sympy.sstr(value))
        return _number_key(value)
    return str(sympy.sstr(_standard(value), order="lex"))


def _number_key(value: Any) -> str | None:
    number = sympy.N(value, _DIGITS)
    real, imaginary = number.as_real_imag()
    if max(abs(real), abs(imaginary)) < sympy.Float("1e-40", 20):
        value = sympy.simplify(value)
        if value.is_Rational:
            return show(Fraction(int(value.p), int(value.q)))
        number = sympy.N(value, _DIGITS)
        real, imaginary = number.as_real_imag()
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    size = max(abs(real), abs(imaginary))
    parts = []
    for part in (real, imaginary):
        if part == 0 or abs(part) < size * _AGREE:
            parts.append("0")
            continue
        simple = sympy.nsimplify(part, rational=True, tolerance=abs(part) * _AGREE)
        small = simple.is_Rational and simple.q < 10**12
        parts.append(show(Fraction(int(simple.p), int(simple.q))) if small else sympy.sstr(sympy.N(part, 30)))
    return parts[0] if parts[1] == "0" else f"{parts[0]} + {parts[1]} i"


def _standard(value: Any) -> Any:
    """Rational functions reduced over expanded polynomials; other expressions simplified."""
    symbols = sorted(value.free_symbols, key=lambda symbol: symbol.name)
    value = value.subs({symbol: sympy.Symbol(symbol.name) for symbol in symbols})
    if value.is_polynomial():
        return sympy.expand(value)
    if value.is_rational_function():
        return sympy.cancel(sympy.together(value))
    return sympy.simplify(value)


def _closed(value: Any) -> bool:
    return bool(not value.free_symbols and value.is_number and value.is_finite is not False)


def _same_number(one: Any, other: Any) -> bool | None:
    left, right = sympy.N(one, _DIGITS), sympy.N(other, _DIGITS)
    size = max(abs(left), abs(right))
    if not size.is_comparable:
        return None
    if abs(left - right) > size * _AGREE:
        return False
    difference = sympy.simplify(one - other)
    return bool(difference == 0) if difference == 0 or difference.is_Rational else None


def _agree_at_points(one: Any, other: Any) -> bool | None:
    """Whether two expressions agree at random positive rational points; None where that cannot be computed."""
    names = sorted({symbol.name for symbol in one.free_symbols | other.free_symbols})
    generator = random.Random(0)
    compared = 0
    for _ in range(_POINTS):
        point = {name: sympy.Rational(generator.randrange(1001, 2999), 1000) for name in names}
        values = []
        for expression in (one, other):
            here = {symbol: point[symbol.name] for symbol in expression.free_symbols}
            values.append(sympy.N(expression.subs(here), _DIGITS))
        size = max(abs(values[0]), abs(values[1])) if all(value.is_number for value in values) else sympy.nan
        if not size.is_comparable or not size.is_finite:
            continue
        compared += 1
        if abs(values[0] - values[1]) > size * _AGREE:
            return False
    return True if compared else None


def _same_leaves(one: Any, other: Any) -> bool:
    """For relations, sets and matrices of one shape: no pair of numbers in the same place differs.

    Math-Verify rounds there too. Structures of different shapes are left to it.
    """
    if type(one) is not type(other):
        return True
    pairs = _pairs(one, other)
    return pairs is None or all(_agree_at_points(left, right) is not False for left, right in pairs)


def _pairs(one: Any, other: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(one, sympy.MatrixBase):
        return list(zip(list(one), list(other), strict=True)) if one.shape == other.shape else None
    if isinstance(one, sympy.Interval):
        ends = [(one.start, other.start), (one.end, other.end)]
        return [(left, right) for left, right in ends if left.is_finite and right.is_finite]
    if isinstance(one, sympy.core.relational.Relational) and one.lhs == other.lhs:
        both = isinstance(one.rhs, sympy.Expr) and isinstance(other.rhs, sympy.Expr)
        return [(one.rhs, other.rhs)] if both else None
    return None
