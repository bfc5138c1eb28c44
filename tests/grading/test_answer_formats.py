"""Answer extraction: the last answer wins, and a megabyte of anything takes a moment."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.scheme import formats

ALL = [formats.boxed, formats.tags, formats.option, formats.code, formats.text]
MEGABYTE = 1_000_000
BULK = [
    r"\boxed{", "{", "}", "\\", r"\boxed{}", r"\boxed{1}", r"\boxed ", "<answer>", "</answer>", "<answer>1</answer>",
    "```\n", "```", "`", "\n", " ", "(", "A\n", "answer is ", "The answer is (A",
    "* ", "é", "\x00", "(\n", "Aa)", "[ \t",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"so \boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed{a \boxed{3}", "3"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{a\}b}", r"a\}b"),
        (r"\fboxed{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"} \boxed{7} {", "7"),
        (r"\\boxed{7}", "7"),
        (r"\boxed{}", None),
        (r"\boxed 7", None),
        ("7", None),
    ],
)
def test_the_last_complete_box(text: str, found: str | None) -> None:
    assert formats.last_boxed(text) == found


@pytest.mark.parametrize("piece", BULK)
@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_a_megabyte_of_anything_is_linear(form: formats.AnswerFormat, piece: str) -> None:
    text = piece * (MEGABYTE // len(piece))
    started = time.monotonic()
    form.extract(text)
    form.extract(r"\boxed{5}" + text + "5")
    assert time.monotonic() - started < 5.0


PIECES = ["{", "}", "\\", "a", "b", " ", "\n", "<", ">", "`", "A", r"\boxed{", "<answer>", "```"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_extraction_never_raises_and_boxes_balance(text: str) -> None:
    for form in ALL:
        form.extract(text)
    inside = formats.last_boxed(rf"{text} \boxed{{42}}")
    assert inside == "42" or "\\" in text


def test_options() -> None:
    assert formats.last_option("I think the answer is (C).") == "C"
    assert formats.last_option("First A\n\nB\n") == "B"
    assert formats.last_option(r"\boxed{\text{D}}") == "D"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("ANSWER: (C)", "C"),
        ("Final Answer: **E**", "E"),
        ("The answer is B because the others fail.", "B"),
        ("The answer is A good deal harder.", "A good deal harder"),
        ("Option A is wrong. The answer is D.", "D"),
        ("The answer is not A but B", None),
    ],
)
def test_stated_options(text: str, letter: str | None) -> None:
    assert formats.last_option(text) == letter
