"""The math grader: the golden corpus, the hostile corpus, and what must hold for all numbers."""

from __future__ import annotations

import time
from fractions import Fraction

from grading_corpus import HOSTILE, RIGHT, WRONG
from grading_helpers import problem, with_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm.grading.math import grader
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.verdict import Grade, Verdict

DEADLINE = 5.0


def _all(cases: list[tuple[str, object]]) -> list[tuple[str, object, Verdict, float]]:
    async def work(pool: GradingPool) -> list[tuple[str, object, Verdict, float]]:
        out = []
        for number, (answer, reference) in enumerate(cases):
            started = time.monotonic()
            verdict = await pool.grade(problem("math", reference, str(number)), answer)
            out.append((answer[:60], reference, verdict, time.monotonic() - started))
        return out

    return with_pool(work, deadline=DEADLINE)


def test_equivalent_answers_are_correct() -> None:
    assert [case for case in _all(RIGHT) if case[2].grade is not Grade.CORRECT] == []


def test_different_answers_are_incorrect() -> None:
    assert [case for case in _all(WRONG) if case[2].grade is not Grade.INCORRECT] == []


def test_hostile_answers_get_a_verdict_in_time_and_never_correct() -> None:
    outcomes = _all(HOSTILE)
    assert [case for case in outcomes if case[2].correct] == []
    assert [case for case in outcomes if case[3] > DEADLINE + 4] == []
    # Each can be told from its reference without computing it, so no deadline is needed either.
    assert [case for case in outcomes if case[2].grade is Grade.UNGRADED] == []


def test_what_is_graded_correct_has_one_canonical_form() -> None:
    rounded = {"1.414214", "0.333333", r"50\%", "27 dollars"}  # equal by a rule, not in value
    cases = [(a, r) for a, r in RIGHT if a not in rounded and isinstance(r, str) and len(a) < 100]

    async def work(pool: GradingPool) -> list[tuple[str, str, str, str]]:
        p = problem("math", "0")
        forms = [(a, await pool.canonical(p, a), r, await pool.canonical(p, r)) for a, r in cases]
        return [form for form in forms if form[1] != form[3]]

    assert with_pool(work) == []


def test_two_texts_too_large_to_compute_are_ungraded_unless_equal() -> None:
    assert grader.grade("9^{9^{9}}", "9^{9^{9}}").correct
    assert grader.grade("9^{9^{9}}", "8^{9^{9}}").grade is Grade.UNGRADED


def test_an_empty_reference_is_ungraded() -> None:
    assert grader.grade("5", " ").rule == "bad-reference"


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A rational number and one of the ways it is written."""
    top = draw(st.integers(-(10**6), 10**6))
    bottom = draw(st.one_of(st.integers(1, 1000), st.sampled_from([1, 2, 5, 10, 100, 1000])))
    value = Fraction(top, bottom)
    sign, size = ("-" if top < 0 else ""), abs(top)
    forms = [f"{top}/{bottom}", rf"{sign}\frac{{{size}}}{{{bottom}}}", rf"{sign}\dfrac{{{size}}}{{{bottom}}}"]
    forms += [
        f"({top})/{bottom}",
        rf"\frac{{{top}}}{{{bottom}}}",
        f"${top}/{bottom}$",
        rf"\boxed{{{top}/{bottom}}}",
    ]
    if value.denominator == 1:
        forms += [
            str(value.numerator),
            f"{value.numerator:,}",
            f"{value.numerator}.0",
            f"+{value}" if top > 0 else f"{value}",
        ]
        forms += [f"{value.numerator:,}".replace(",", "{,}"), f"{value.numerator:,}".replace(",", r"\,")]
    if 1000 % value.denominator == 0:
        forms += [f"{float(value):.3f}", f"{float(value):.5f}"]
    if top > bottom and value.denominator > 1:
        whole, rest = divmod(value.numerator, value.denominator)
        forms.append(rf"{whole}\frac{{{rest}}}{{{value.denominator}}}")
    return draw(st.sampled_from(forms)), value


@settings(max_examples=400, deadline=None)
@given(spellings(), spellings())
def test_numbers_are_equal_exactly_when_their_values_are(
    one: tuple[str, Fraction], two: tuple[str, Fraction]
) -> None:
    for (answer, value), (reference, target) in ((one, two), (one, one), (two, one)):
        verdict = grader.quick(answer, reference)
        assert verdict is not None
        if verdict.rule != "rounded-decimal":
            assert verdict.correct == (value == target)
        forms = grader.quick_canonical(answer), grader.quick_canonical(reference)
        assert None not in forms
        assert (forms[0] == forms[1]) == (value == target)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("0123456789+-*/^!(){}[],.\\ abxfrcsqt%$°πа²½")), max_size=60))
def test_the_quick_path_never_raises_nor_calls_a_difference_equal(text: str) -> None:
    verdict = grader.quick(text, "987654321/1234567")
    assert verdict is None or not verdict.correct
    grader.quick_canonical(text)
