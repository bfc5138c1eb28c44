r"""Closing instructions about \boxed{} and <answer> go; what belongs to the question stays."""

import pytest
from evolve_llm_problems.instructions import split_instruction
from hypothesis import given
from hypothesis import strategies as st

INSTRUCTIONS = [
    (r"Let's think step by step and output the final answer within \boxed{}.", "boxed"),
    (r"Please reason step by step, and put your final answer within \boxed{}.", "boxed"),
    (r"Put your final answer inside \boxed{}.", "boxed"),
    (r"Return your final response within \boxed{}.", None),  # no word for the answer: left alone
    (
        "Let's think step by step and output the final answer between <answer> and </answer> tags.",
        "tags",
    ),
    (
        r"Think step by step and output the final correct option letter within \boxed{}; for example \boxed{A}.",
        "option",
    ),
]


@pytest.mark.parametrize(("instruction", "form"), INSTRUCTIONS)
@pytest.mark.parametrize("joint", [" ", "\n", "\n\n"])
def test_known_instructions_are_taken_off(instruction: str, form: str | None, joint: str) -> None:
    question = "Find $m+n$."
    bare, found, hint = split_instruction(question + joint + instruction)
    if form is None:
        assert (bare, found, hint) == (question + joint + instruction, "", None)
    else:
        assert (bare, found, hint) == (question, instruction, form)


@pytest.mark.parametrize(
    "question",
    [
        r"Give the remainder modulo 9 in \boxed{}.",
        r"What does \boxed{} do in LaTeX?",
        r"Find $m$. Write the answer as a fraction in lowest terms within \boxed{}.",
        r"Put your final answer within \boxed{}.",
        "What is 1+1?",
        "Which tag closes <answer>?",
    ],
)
def test_what_belongs_to_the_question_stays(question: str) -> None:
    assert split_instruction(question) == (question, "", None)


def test_a_separate_step_by_step_goes_with_it() -> None:
    text = "What is 2+2? Let's think step by step. Put the final answer within \\boxed{}."
    assert split_instruction(text)[0] == "What is 2+2?"


@given(st.text())
def test_nothing_is_invented_and_nothing_but_an_ending_lost(text: str) -> None:
    bare, instruction, form = split_instruction(text)
    assert text.startswith(bare)
    assert instruction in text
    assert (form is None) == (instruction == "")
    assert form is not None or bare == text
