"""Graders that compare text, and the normalisation under all of them."""

from __future__ import annotations

import pytest

from evolve_llm.grading.normalize import folded, lined, plain, spaced
from evolve_llm.grading.text import exact, option, option_letter
from evolve_llm.nouns.verdict import Grade


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("ＡＢ１", "AB1"),
        ("4\u200b2", "42"),
        ("−5", "-5"),
        ("٣", "3"),
        ("a\u00a0b", "a b"),
        ("2²", "2²"),
        ("а", "а"),
    ],
)
def test_plain_changes_spelling_only(written: str, wanted: str) -> None:
    assert plain(written) == wanted


def test_white_space_and_case() -> None:
    assert spaced("  a \n\t b ") == "a b"
    assert folded(" Straße ") == "strasse"
    assert lined("\r\n a  \r\nb \n\n") == "a\nb"


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [("Paris", " paris\n", True), ("Pаris", "Paris", False), ("5", 5, True), ("x" * 1_000_000, "x", False)],
)
def test_exact(answer: str, reference: object, same: bool) -> None:
    assert exact.quick(answer, reference).correct is same
    assert exact.grade(answer, reference).rule == "exact-text"


@pytest.mark.parametrize(
    "text", ["C", "c", "(C)", "C.", r"\text{C}", "**C**", "[C]", " C) ", "Ｃ", r"\textbf{(C)}"]
)
def test_an_option_letter_however_written(text: str) -> None:
    assert option_letter(text) == "C"
    assert option.quick(text, "C").correct


@pytest.mark.parametrize("text", ["", "CD", "C or D", "С", "1", "The answer is C", "(" * 1000])
def test_what_is_no_option(text: str) -> None:
    assert option.quick(text, "C").grade is Grade.INCORRECT
    assert option.quick("C", text).grade is Grade.UNGRADED


def test_canonical_forms() -> None:
    assert option.canonical("(c)") == option.canonical("C") == "C"
    assert exact.canonical(" A  b") == exact.canonical("a B")
