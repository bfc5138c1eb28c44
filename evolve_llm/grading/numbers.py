r"""Exact values of written numbers: ``1{,}234``, ``-0.50``, ``\frac12``, ``1\frac{1}{2}``, ``2^{10}-5!``.

Nothing is computed before its size is known, so a power tower is refused at once. Text is expected as
`evolve_llm.grading.latex.tidy` leaves it.
"""

from __future__ import annotations

import math
import re
import sys
from fractions import Fraction

QUICK_BITS = 1 << 13
FULL_BITS = 1 << 22
MAX_DEPTH = 40
_LITERAL = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_SCIENTIFIC = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))[eE]([+-]?\d{1,6})")
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_STR_DIGITS = 4000  # below the interpreter's own limit on int <-> str


class NotANumberError(ValueError):
    """The text is not a number in this notation (it may still be an expression)."""


class TooLargeError(ValueError):
    """Some number on the way has more bits than allowed."""


def decimal_key(text: str) -> str | None:
    """A text that equal plain decimals share, whatever their length; None for anything else. Linear."""
    match = _LITERAL.fullmatch(ungrouped(text))
    if match is None or not (match[2] or match[3]):
        return None
    whole, part = match[2].lstrip("0") or "0", (match[3] or "").rstrip("0")
    sign = "-" if match[1] == "-" and (whole != "0" or part) else ""
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def ungrouped(text: str) -> str:
    """The text without thousands separators, when all of it is one number written with them."""
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def evaluate(text: str, bits: int = FULL_BITS) -> Fraction:
    """The exact value of a rational number or of arithmetic on rational numbers.

    Raises NotANumberError where the text is anything else, and TooLargeError where a number on the way
    would need more than ``bits`` bits.
    """
    text = ungrouped(text)
    match = _SCIENTIFIC.fullmatch(text)
    if match:
        return _Reader(match[1], bits).whole() * _power(Fraction(10), Fraction(int(match[2])), bits)
    return _Reader(text, bits).whole()


def show(value: Fraction) -> str:
    """One text per value: ``-3/2``, ``7``; hexadecimal above some thousand digits."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) < _STR_DIGITS * 3:
        return str(value)
    return f"{value.numerator:#x}/{value.denominator:#x}"


def explosive(text: str, limit: int = 20_000) -> bool:
    r"""Whether some exponent, factorial or binomial in the text is a number too large to work with.

    Looks at every ``^``, ``!`` and ``\binom`` by itself, so it also finds those inside expressions with
    symbols, which other parsers evaluate while they parse.
    """
    for match in re.finditer(r"\\binom", text):
        try:
            _Reader(text, QUICK_BITS, match.start()).exponent()
        except TooLargeError:
            return True
        except NotANumberError:
            continue
    for place, character in enumerate(text):
        if character == "^":
            try:
                if abs(_Reader(text, QUICK_BITS, place + 1).exponent()) > limit:
                    return True
            except TooLargeError:
                return True
            except NotANumberError:
                continue
        elif character == "!":
            try:
                if _operand(text, place) > limit:
                    return True
            except TooLargeError:
                return True
            except NotANumberError:
                continue
    return False


def _operand(text: str, end: int) -> Fraction:
    """The value of what stands directly before a factorial sign."""
    closing = text[end - 1 : end]
    if closing in (")", "}"):
        depth, opening = 0, {")": "(", "}": "{"}[closing]
        for place in range(end - 1, max(-1, end - 2000), -1):
            depth += (text[place] == closing) - (text[place] == opening)
            if depth == 0:
                return _Reader(text[place + 1 : end - 1], QUICK_BITS).whole()
        raise NotANumberError
    match = re.search(r"\d+$", text[max(0, end - 2000) : end])
    if match is None:
        raise NotANumberError
    return _Reader(match.group(), QUICK_BITS).whole()


class _Reader:
    """Recursive descent over the text; every result is checked against the size limit."""

    def __init__(self, text: str, bits: int, position: int = 0) -> None:
        self.text = text
        self.bits = bits
        self.position = position
        self.depth = 0

    def whole(self) -> Fraction:
        value = self._sum()
        self._blank()
        if self.position != len(self.text):
            raise NotANumberError
        return value

    def exponent(self) -> Fraction:
        sign = 1
        self._blank()
        while self._take("-"):
            sign = -sign
        return sign * self._atom()

    def _blank(self) -> None:
        while self.position < len(self.text) and self.text[self.position] == " ":
            self.position += 1

    def _peek(self, *words: str) -> bool:
        self._blank()
        return self.text.startswith(words, self.position)

    def _take(self, word: str) -> bool:
        if self._peek(word):
            self.position += len(word)
            return True
        return False

    def _checked(self, value: Fraction) -> Fraction:
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > self.bits:
            raise TooLargeError
        return value

    def _sum(self) -> Fraction:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotANumberError
        value = self._product()
        while self._peek("+", "-"):
            sign = 1 if self._take("+") else -1
            if sign == -1:
                self._take("-")
            value = self._checked(value + sign * self._product())
        self.depth -= 1
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        divided = False
        while True:
            if self._take("*"):
                value = self._checked(value * self._signed())
            elif self._take("/"):
                divisor = self._signed()
                if divisor == 0:
                    raise NotANumberError
                value, divided = self._checked(value / divisor), True
            elif self._peek("(", "\\frac", "\\sqrt", "\\binom"):
                if divided:  # 1/2(3): nobody knows
                    raise NotANumberError
                value = self._checked(value * self._power())
            else:
                return value

    def _signed(self) -> Fraction:
        sign = 1
        signs = 0
        while self._peek("+", "-"):
            sign *= 1 if self._take("+") else -int(self._take("-"))
            signs += 1
            if signs > 2:
                raise NotANumberError
        return sign * self._power()

    def _power(self) -> Fraction:
        value = self._atom()
        while self._peek("!") and not self._peek("!!"):
            self.position += 1
            value = _factorial(value, self.bits)
        if self._take("^"):
            value = _power(value, self.exponent(), self.bits)
            if self._peek("^", "!"):
                raise NotANumberError
        return value

    def _atom(self) -> Fraction:
        if self._take("("):
            return self._closed(")")
        if self._take("{"):
            return self._closed("}")
        if self._take("\\frac"):
            top, bottom = self._argument(), self._argument()
            if bottom == 0:
                raise NotANumberError
            return top / bottom
        if self._take("\\binom"):
            return _binomial(self._argument(), self._argument(), self.bits)
        if self._take("\\sqrt"):
            degree = Fraction(2)
            if self._take("["):
                degree = self._closed("]")
            return _root(self._argument(), degree)
        return self._number()

    def _number(self) -> Fraction:
        self._blank()
        match = _NUMBER.match(self.text, self.position)
        if match is None:
            raise NotANumberError
        self.position = match.end()
        value = _literal(match.group(), self.bits)
        if value.denominator == 1 and self._peek("\\frac"):  # 1\frac{1}{2} is three halves
            self.position += len("\\frac")
            top, bottom = self._argument(), self._argument()
            if not 0 < top < bottom or top.denominator != 1 or bottom.denominator != 1:
                raise NotANumberError
            return value + top / bottom
        if self._peek(".") or _NUMBER.match(self.text, self.position):
            raise NotANumberError
        return value

    def _closed(self, bracket: str) -> Fraction:
        value = self._sum()
        if not self._take(bracket):
            raise NotANumberError
        return value

    def _argument(self) -> Fraction:
        r"""A group in braces, or one digit: ``\frac12`` is a half."""
        if self._take("{"):
            return self._closed("}")
        if self.position < len(self.text) and self.text[self.position].isdigit():
            self.position += 1
            return Fraction(int(self.text[self.position - 1]))
        raise NotANumberError


def _literal(text: str, bits: int) -> Fraction:
    longest = sys.get_int_max_str_digits()  # none in a worker
    if len(text) * 3 > bits or 0 < longest < len(text):
        raise TooLargeError
    whole, _, part = text.partition(".")
    return Fraction(int((whole + part) or "0"), 10 ** len(part))


def _power(base: Fraction, exponent: Fraction, bits: int) -> Fraction:
    if exponent.denominator != 1 or (base == 0 and exponent <= 0):
        raise NotANumberError
    if base in (0, 1, -1):
        return base if base != -1 or exponent.numerator % 2 else Fraction(1)
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) * max(size - 1, 1) > bits:
        raise TooLargeError
    return base**exponent.numerator


def _factorial(value: Fraction, bits: int) -> Fraction:
    if value.denominator != 1 or value < 0:
        raise NotANumberError
    if value > 1 and value * max(value.numerator.bit_length() - 2, 1) > bits:
        raise TooLargeError
    return Fraction(math.factorial(value.numerator))


def _binomial(n: Fraction, k: Fraction, bits: int) -> Fraction:
    if n.denominator != 1 or k.denominator != 1 or n < 0 or k < 0:
        raise NotANumberError
    if min(k, max(n - k, Fraction(0))) * n.numerator.bit_length() > bits:
        raise TooLargeError
    return Fraction(math.comb(n.numerator, k.numerator))


def _root(value: Fraction, degree: Fraction) -> Fraction:
    """The exact root where there is one in the rationals."""
    if value < 0 or degree != 2:
        raise NotANumberError
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top != value.numerator or bottom * bottom != value.denominator:
        raise NotANumberError
    return Fraction(top, bottom)
