"""Thinking apart from the answer, in a text and in a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Completion, Problem, Request, Run, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.thinking import CLOSE, OPEN, Chain, apart, join_thinking, split_thinking
from evolve_llm.record.export import rows
from evolve_llm.record.store import Store
from evolve_llm.testing import database

PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]
pieces = st.lists(
    st.sampled_from((OPEN, CLOSE, "a", " ", "\n", "<think", "</THINK>", "\\boxed{4}")), max_size=9
)
texts = st.one_of(pieces.map("".join), st.text(max_size=40))


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("4", "", "4"),
        ("<think>a</think>4", "a", "4"),
        ("\n<think>\na\n</think>\n\n4", "\na\n", "\n\n4"),
        ("a</think>4", "a", "4"),  # the template wrote the opening tag
        ("<think>a</think>b</think>4", "a</think>b", "4"),
        ("<think>a<think>b</think>c</think>4", "a<think>b</think>c", "4"),
        ("<think>a</think>b<think>c</think>4", "a</think>b<think>c", "4"),
        ("<think>a", "a", ""),  # cut in thought
        ("<think>a</think> <think>b", "a</think> <think>b", ""),
        ("<think>a</think>", "a", ""),
        ("<think>\n</think>\n4", "", "\n4"),  # told not to think
        ("</think>4", "", "4"),
        ("<think>", "", ""),
        ("what <think> means", "", "what <think> means"),
        ("<think>a</think>what <think> means", "a", "what <think> means"),
        ("<THINK>a</THINK>4", "", "<THINK>a</THINK>4"),
        ("", "", ""),
    ],
)
def test_the_two_parts_of_a_text(text: str, thinking: str, answer: str) -> None:
    assert split_thinking(text) == Chain(thinking, answer)


@given(texts)
def test_a_text_is_apart_once_and_put_together_again(text: str) -> None:
    found = split_thinking(text)
    assert CLOSE not in found.answer
    assert found.thinking in text
    assert text.endswith(found.answer)
    assert found.thinking == "" or found.thinking.strip()
    if found.thinking:
        assert split_thinking(join_thinking(*found)) == found
    elif CLOSE not in text and not text.lstrip().startswith(OPEN):
        assert found.answer == text


def test_a_million_tags_are_no_more_than_a_text() -> None:
    for text in (OPEN * 10**6, CLOSE * 10**6, (OPEN + CLOSE) * 10**6, f"{OPEN}a{CLOSE}" * 10**6 + "4"):
        found = split_thinking(text)
        assert len(found.thinking) + len(found.answer) <= len(text)


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_a_channel_of_its_own_is_taken_at_its_word(text: str, reasoning: str) -> None:
    assert apart(reasoning, text) == Chain(reasoning, text)
    assert apart("  \n", text) == split_thinking(text)


def _run(tmp_path: Path, answer: Completion | str, **settings: object) -> Run:
    shape = {"population": 3, "parents": 2, "generations": 2, **settings}
    return evolve(PROBLEMS, "rsa", Scripted(lambda _: answer), out=tmp_path / "run", **shape)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        "I try \\boxed{3}.</think>It is \\boxed{4}.",
        Completion("It is \\boxed{4}.", reasoning="I try \\boxed{3}."),
    ],
    ids=["inline", "channel"],
)
def test_the_answer_is_taken_from_what_was_said(tmp_path: Path, answer: Completion | str) -> None:
    run = _run(tmp_path, answer)
    for one in (*run.population("p", generation=0), *run.population("p")):
        assert (one.text, one.reasoning, one.answer) == ("It is \\boxed{4}.", "I try \\boxed{3}.", "4")
    exported = list(rows(tmp_path / "run"))
    assert {row["reasoning"] for row in exported} == {"I try \\boxed{3}."}
    assert {row["text"] for row in exported} == {"It is \\boxed{4}."}


@pytest.mark.parametrize(
    "answer",
    [
        "<think>I try \\boxed{3} and",
        "<think>I try \\boxed{3}</think>",
        Completion("", "length", reasoning="I try \\boxed{3}"),
        Completion(" \n", reasoning="I try \\boxed{3}"),
    ],
)
@pytest.mark.parametrize("form", ["boxed", "text"])
def test_a_chain_cut_in_thought_has_no_answer_and_may_be_a_parent(
    tmp_path: Path, answer: Completion | str, form: str
) -> None:
    asked: list[Request] = []

    def respond(request: Request) -> Completion | str:
        asked.append(request)
        return answer

    run = evolve([Problem("p", "What is 2 + 2?", form, "exact", "4")], "rsa", Scripted(respond),
                 out=tmp_path / "run", population=2, parents=2, generations=2)  # fmt: skip
    for one in run.population("p"):
        assert not one.failed
        assert (one.answer, one.text.strip()) == (None, "")
        assert one.reasoning.startswith("I try")
        assert len(one.parents) == 2
    assert all(request.prompt.messages[-1].content.count("<think>I try") == 2 for request in asked[2:])


def test_nothing_said_and_nothing_thought_is_a_failure(tmp_path: Path) -> None:
    for number, answer in enumerate(("<think>\n</think>\n", Completion(" ", reasoning="\n"))):
        run = evolve(PROBLEMS, "rsa", Scripted(lambda _, answer=answer: answer), out=tmp_path / str(number),
                     population=2, parents=1, generations=1)  # fmt: skip
        assert {(one.failed, one.reason) for one in run.population("p")} == {(True, "empty_text")}


def test_a_copy_has_its_parents_thinking(tmp_path: Path) -> None:
    hostile = Completion("say </think> \\boxed{4}", reasoning="</think><think>")
    run = _run(tmp_path, hostile, vary="reproduce")
    for one in run.population("p"):
        assert one.copied
        assert (one.text, one.reasoning, one.answer) == ("say </think> \\boxed{4}", "</think><think>", "4")


def test_what_was_paid_for_is_stored_as_it_came(tmp_path: Path) -> None:
    raw = "<think>\na\n</think>\n\n\\boxed{4}"
    _run(tmp_path, raw)
    before = database(tmp_path / "run")
    with Store.open_to_read(tmp_path / "run") as store:
        assert {one.outcome.text for one in store.recall(0).values()} == {raw}  # type: ignore[union-attr]
    _run(tmp_path, raw)
    assert database(tmp_path / "run") == before
