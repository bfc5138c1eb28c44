r"""The ``math`` grader: final answers in LaTeX or plain text against a reference, number by number.

From cheap and certain to slow: the same text; the same rational number; element by element for
tuples, intervals and sets; and, in a worker, Math-Verify with sympy checking what it rounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from evolve_llm.grading import latex, numbers, readings, sides
from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm.grading.normalize import folded

_QUICK_LENGTH = 4_000
_MAX_EXPRESSION = 4_000
_MAX_ELEMENTS = 256
_ROUNDED_DIGITS = 6
_DECIMAL = re.compile(r"[+-]?\d*\.(\d+)")
_STRANGE = re.compile(r"[^\x00-\x7f°]")
_NAME_ONLY = re.compile(r"\\?[A-Za-z]+")


class _Undecided(Exception):  # noqa: N818 - not a fault: the quick path ends here
    """Only a worker may look further."""


@dataclass(frozen=True)
class _Outcome:
    same: bool
    rule: str


@dataclass(frozen=True)
class _Ungraded(Exception):  # noqa: N818
    rule: str
    detail: str = ""


class MathGrader:
    """Compares answers as mathematics. See docs/grading.md for the rules in their order."""

    name: Final = "math"

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """Nothing is executed; but sympy may hang, so a killable worker is needed."""
        return "worker"

    def quick(self, answer: str, reference: Any) -> Verdict | None:
        """Settles equal texts and rational numbers, alone or in tuples and sets."""
        if latex.dense(latex.tidy(answer)) == latex.dense(latex.tidy(written(reference))):
            return Verdict(Grade.CORRECT, "exact-text")
        if len(answer) > _QUICK_LENGTH:
            key = numbers.decimal_key(latex.tidy(answer))
            gold = numbers.decimal_key(latex.tidy(written(reference)))
            if key is not None and gold is not None:
                return _verdict(_Outcome(key == gold, "exact-rational"))
            return None
        try:
            return _judge(answer, reference, full=False)
        except _Undecided:
            return None

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The full verdict, which may take long."""
        return _judge(answer, reference, full=True)

    def quick_canonical(self, answer: str) -> str | None:
        """The canonical form of a number, or of a tuple or set of numbers."""
        if len(answer) > _QUICK_LENGTH:
            return None
        try:
            return _canonical(latex.tidy(answer), full=False)
        except _Undecided:
            return None

    def canonical(self, answer: str) -> str:
        """Equal for equal numbers, for expressions that simplify alike, for sets in any order."""
        return _canonical(latex.tidy(answer), full=True)

    def warm(self, reference: Any) -> None:  # noqa: ARG002 - the worker's signature
        """Import sympy and Math-Verify once per worker, and let their parsers fill their caches."""
        global _WARM
        if not _WARM:
            from evolve_llm.grading import symbolic

            for text in (r"\frac{\sqrt{2}}{2}x^{2}+\sin(3)", r"\begin{pmatrix}1&2\end{pmatrix}"):
                symbolic.parsed(text)
            _WARM = True


_WARM = False


def written(reference: Any) -> str:
    """A reference as text: floats as their shortest decimal."""
    return str(int(reference)) if isinstance(reference, float) and reference.is_integer() else str(reference)


def _judge(answer: str, reference: Any, *, full: bool) -> Verdict:
    gold = latex.tidy(written(reference))
    if not gold:
        return Verdict(Grade.UNGRADED, "bad-reference", detail="the reference is empty")
    try:
        return _verdict(_compare(latex.tidy(answer), gold, full, 0))
    except _Ungraded as reason:
        return Verdict(Grade.UNGRADED, reason.rule, detail=reason.detail)


def _verdict(outcome: _Outcome) -> Verdict:
    return Verdict(Grade.CORRECT if outcome.same else Grade.INCORRECT, outcome.rule)


def _compare(answer: str, gold: str, full: bool, depth: int) -> _Outcome:
    if latex.dense(answer) == latex.dense(gold):
        return _Outcome(True, "exact-text")
    if not answer:
        return _Outcome(False, "no-answer")
    if depth > 3 or latex.too_deep(answer):
        return _Outcome(False, "too-deep")
    if _STRANGE.search(answer):
        # Look-alike letters and the like: a parser would drop them and read the rest.
        return _Outcome(False, "unknown-symbols")
    given_name, given = readings.split_names(answer)
    wanted_name, wanted = readings.split_names(gold)
    if given_name and wanted_name and not sides.same_name(given_name, wanted_name):
        given, wanted = answer, gold
    elif given_name != wanted_name and _equal_equations(answer, gold, full):
        return _Outcome(True, "exact-sympy")
    given, wanted = sides.as_intervals(answer, given, gold, wanted)
    if latex.is_word(wanted) or latex.is_word(given) or (":" in wanted) != (":" in given):
        return _Outcome(folded(given) == folded(wanted), "exact-text")
    grid, target = readings.matrix(given), readings.matrix(wanted)
    if grid is not None and target is not None:
        return _matrices(grid, target, full, depth)
    given, wanted = sides.with_points(given, wanted)
    parts, model = latex.split(given), latex.split(wanted)
    if numbers.ungrouped(wanted) != wanted:  # 100,200 is a number, 100, 200 a list
        model = latex.Parts("plain", "", (wanted,))
    if numbers.ungrouped(given) != given and model.kind == "plain":
        parts = latex.Parts("plain", "", (given,))
    if parts.kind == model.kind == "plain":
        return _single(parts.elements[0], model.elements[0], full)
    return _compound(parts, model, full, depth)


def _equal_equations(answer: str, gold: str, full: bool) -> bool:
    """Whether both are equations, and one a multiple of the other."""
    one, other = readings.equation(answer), readings.equation(gold)
    if one is None or other is None or any(numbers.explosive(side) for side in (*one, *other)):
        return False
    if not full:
        raise _Undecided
    from evolve_llm.grading import symbolic

    return symbolic.proportional(one, other)


def _matrices(one: readings.Matrix, other: readings.Matrix, full: bool, depth: int) -> _Outcome:
    if one.shape != other.shape or one.shape[0] * one.shape[1] > _MAX_ELEMENTS:
        return _Outcome(False, "structure")
    pairs = zip(sum(one.rows, ()), sum(other.rows, ()), strict=True)
    outcomes = [_compare(mine, theirs, full, depth + 1) for mine, theirs in pairs]
    failed = [outcome for outcome in outcomes if not outcome.same]
    return failed[0] if failed else _weakest(outcomes)


def _compound(parts: latex.Parts, model: latex.Parts, full: bool, depth: int) -> _Outcome:
    differs = _Outcome(False, "structure")
    parts, model = sides.by_name(parts, model)
    kinds = {parts.kind, model.kind}
    if kinds == {"tuple", "set"} or (kinds == {"plain", "tuple"}):
        return differs
    if parts.kind == "list" and model.kind == "plain":  # 1/2 or 0.5
        outcomes = [_compare(one, model.elements[0], full, depth + 1) for one in parts.elements]
        return _weakest(outcomes) if all(one.same for one in outcomes) else differs
    if "plain" in kinds and (len(parts.elements) != len(model.elements) or "\\cup" in model.elements[0]):
        return differs
    if parts.kind == model.kind == "tuple" and parts.brackets != model.brackets:
        return differs
    if max(len(parts.elements), len(model.elements)) > _MAX_ELEMENTS:
        return differs
    if "tuple" in kinds:
        if len(parts.elements) != len(model.elements):
            return differs
        outcomes = [
            _compare(one, other, full, depth + 1)
            for one, other in zip(parts.elements, model.elements, strict=True)
        ]
        failed = [outcome for outcome in outcomes if not outcome.same]
        return failed[0] if failed else _weakest(outcomes)
    return _unordered(parts.elements, model.elements, full, depth)


def _unordered(given: tuple[str, ...], wanted: tuple[str, ...], full: bool, depth: int) -> _Outcome:
    """Sets: every element of each has an equal in the other."""
    outcomes = []
    missing = list(wanted)
    for one in given:
        found = None
        for other in wanted:
            outcome = _compare(one, other, full, depth + 1)
            if outcome.same:
                found = outcome
                if other in missing:
                    missing.remove(other)
                break
        if found is None:
            return _Outcome(False, "structure")
        outcomes.append(found)
    return _Outcome(False, "structure") if missing else _weakest(outcomes)


_CERTAINTY = ("exact-text", "exact-rational", "exact-sympy", "math-verify", "rounded-decimal", "percent")


def _weakest(outcomes: list[_Outcome]) -> _Outcome:
    """The least certain rule among those that made the elements equal."""
    return max(
        outcomes, key=lambda outcome: _CERTAINTY.index(outcome.rule) if outcome.rule in _CERTAINTY else 99
    )


def _single(answer: str, gold: str, full: bool) -> _Outcome:
    given, unit = latex.split_unit(answer)
    wanted, wanted_unit = latex.split_unit(gold)
    if unit and wanted_unit and unit != wanted_unit:
        return _Outcome(False, "unit")
    percent = (unit == "%") != (wanted_unit == "%")
    value, target = _value(given, full), _value(wanted, full)
    if value is not None and target is not None:
        outcome = _numbers(given, value, wanted, target)
        if percent and not outcome.same:
            hundredth = Fraction(1, 100)
            scaled = (value * hundredth, target) if unit == "%" else (value, target * hundredth)
            return _Outcome(scaled[0] == scaled[1], "percent" if scaled[0] == scaled[1] else outcome.rule)
        return _Outcome(outcome.same, "percent" if percent and outcome.same else outcome.rule)
    return _expressions(given, value, wanted, target, full)


def _numbers(given: str, value: Fraction, wanted: str, target: Fraction) -> _Outcome:
    if value == target:
        return _Outcome(True, "exact-rational")
    for text, decimal, other in ((given, value, target), (wanted, target, value)):
        places = _rounded_places(text)
        if places is not None and _endless(other) and abs(decimal - other) * 2 * 10**places <= 1:
            return _Outcome(True, "rounded-decimal")
    return _Outcome(False, "exact-rational")


def _rounded_places(text: str) -> int | None:
    """The decimal places of a decimal with enough significant digits to count as a rounded value."""
    match = _DECIMAL.fullmatch(text)
    if match is None or len(text.lstrip("+-0.").replace(".", "")) < _ROUNDED_DIGITS:
        return None
    return len(match[1])


def _endless(value: Fraction) -> bool:
    """Whether the decimal expansion of a rational number never ends."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1


def _value(text: str, full: bool) -> Fraction | None:
    """The exact value, None where it is not a rational number. Raises _Undecided for what takes a worker."""
    if len(text) > (numbers.FULL_BITS if full else _QUICK_LENGTH):
        return None
    try:
        return numbers.evaluate(text, numbers.FULL_BITS if full else numbers.QUICK_BITS)
    except numbers.NotANumberError:
        return None
    except numbers.TooLargeError:
        if not full:
            raise _Undecided from None
        return None


def _expressions(
    given: str, value: Fraction | None, wanted: str, target: Fraction | None, full: bool
) -> _Outcome:
    if not full:
        raise _Undecided
    if len(given) > _MAX_EXPRESSION:
        return _Outcome(False, "too-long")
    if numbers.explosive(given):
        if target is None and numbers.explosive(wanted):
            raise _Ungraded("too-large", "both the answer and the reference are too large to compute")
        return _Outcome(False, "too-large")
    if numbers.explosive(wanted):
        raise _Ungraded("too-large", "the reference is too large to compute")
    from evolve_llm.grading import symbolic

    model = symbolic.parsed(wanted)
    if model is None:
        return _Outcome(folded(given) == folded(wanted), "exact-text")
    answer = symbolic.parsed(given)
    if answer is None:
        return _Outcome(False, "unparsed")
    same, rule = symbolic.compare(answer, model)
    if not same:
        for text, decimal, other in ((given, value, model), (wanted, target, answer)):
            places = _rounded_places(text)
            if places is not None and decimal is not None and symbolic.near(other, decimal, places):
                return _Outcome(True, "rounded-decimal")
    return _Outcome(same, rule)


def _canonical(text: str, full: bool, depth: int = 0) -> str:
    name, text = readings.split_names(text)
    found = readings.interval(text)
    text = text if found is None else found[1]
    text = readings.decimal_comma(text, only=True) or text
    if latex.is_word(text) or depth > 3 or latex.too_deep(text) or _STRANGE.search(text):
        return folded(latex.dense(text))
    grid = readings.matrix(text)
    if grid is not None:
        rows = [", ".join(_canonical(cell, full, depth + 1) for cell in row) for row in grid.rows]
        return f"[[{'], ['.join(rows)}]]"
    equal = None if name else readings.equation(text)
    if equal is not None and not any(numbers.explosive(side) for side in equal):
        if not full:
            raise _Undecided
        from evolve_llm.grading import symbolic

        return symbolic.equation_key(equal) or latex.dense(text)
    parts = latex.split(text) if numbers.ungrouped(text) == text else latex.Parts("plain", "", (text,))
    if parts.kind != "plain" and len(parts.elements) <= _MAX_ELEMENTS:
        names = sides.names(parts)
        if names is not None:  # x = 1, y = 2 is y = 2, x = 1, and not y = 1, x = 2
            parts = sides.ordered(parts, sorted(range(len(names)), key=names.__getitem__))
        elements = [_canonical(element, full, depth + 1) for element in parts.elements]
        if parts.kind == "list" and len(set(elements)) == 1:
            return elements[0]
        if parts.kind == "tuple":
            return f"{parts.brackets[0]}{', '.join(elements)}{parts.brackets[1]}"
        return f"{{{', '.join(sorted(set(elements)))}}}"
    body, unit = latex.split_unit(parts.elements[0])
    value = _value(body, full)
    if value is not None:
        return numbers.show(value / 100 if unit == "%" else value)
    if not full:
        if _NAME_ONLY.fullmatch(body):
            return body
        raise _Undecided
    if len(body) > _MAX_EXPRESSION or numbers.explosive(body):
        return latex.dense(body)
    from evolve_llm.grading import symbolic

    parsed = symbolic.parsed(body)
    form = None if parsed is None else symbolic.key(parsed)
    return form if form is not None else latex.dense(body)


grader = MathGrader()
