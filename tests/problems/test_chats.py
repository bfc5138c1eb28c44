"""A column of chat messages as the question: what becomes of each role, and of an answer at the end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from evolve_llm_problems.chats import ROLES, Chat, read_chat
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.problem_sets import load_problems


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def one(tmp_path: Path, row: dict[str, Any], options: str = "") -> Problem:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (problem,) = load_problems(f"{path}{options}")
    return problem


@pytest.mark.parametrize(
    ("messages", "question", "answer"),
    [
        ([said("user", "1+1?")], "1+1?", None),
        ([said("system", "Be brief."), said("user", "1+1?")], "Be brief.\n\n1+1?", None),
        ([said("developer", "Be brief."), said("user", "1+1?")], "Be brief.\n\n1+1?", None),
        ([said("user", "1+1?"), said("user", "Quick!")], "1+1?\n\nQuick!", None),
        ([said("user", "1+1?"), said("assistant", "2")], "1+1?", "2"),
        ([said("user", "1+1?"), said("assistant", "Well."), said("assistant", "2")], "1+1?", "Well.\n\n2"),
        (
            [
                said("system", "Be brief."),
                said("user", "1+1?"),
                said("assistant", "2"),
                said("user", "Plus 1?"),
            ],
            "Be brief.\n\nUser: 1+1?\n\nAssistant: 2\n\nUser: Plus 1?",
            None,
        ),
        (
            [
                said("user", "a"),
                said("assistant", "b"),
                said("system", "c"),
                said("user", "d"),
                said("assistant", "e"),
            ],
            "User: a\n\nAssistant: b\n\nSystem: c\n\nUser: d",
            "e",
        ),
        ([said("assistant", "Hello."), said("user", "1+1?")], "Assistant: Hello.\n\nUser: 1+1?", None),
        ([{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}], "1+1?", "2"),
        (
            [said("user", [{"type": "text", "text": "1+1"}, {"type": "text", "text": "= ?"}])],
            "1+1\n= ?",
            None,
        ),
    ],
)
def test_a_chat_is_one_question(messages: list[Any], question: str, answer: str | None) -> None:
    assert read_chat(messages, "here") == Chat(question, answer)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "the user asks nothing"),
        ([said("system", "Be brief.")], "the user asks nothing"),
        ([said("user", " ")], "the user asks nothing"),
        ([said("assistant", "2")], "the user asks nothing"),
        (
            [said("user", "x"), said("tool", "y"), said("user", "z")],
            "a message of role 'tool'.*system, developer, user",
        ),
        ([said("user", "x"), {"content": "y"}], "a message of role None"),
        ([{"role": ["user"], "content": "x"}], r"a message of role \['user'\]"),
        ([said("user", None)], "something other than text"),
        ([said("user", [{"type": "video_url", "video_url": "x"}])], "something other than text and pictures"),
        ([said("user", "x"), said("assistant", None)], "something other than text"),
        (["x"], "a message of the question is of type str"),
    ],
)
def test_what_is_no_chat_is_refused(messages: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^here: .*{message}"):
        read_chat(messages, "here")


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(ROLES)), st.text(st.sampled_from("xyz"), min_size=1)), max_size=6
    )
)
def test_every_text_is_kept_once_and_in_order(turns: list[tuple[str, str]]) -> None:
    marked = [(role, f"<{place}:{text}>") for place, (role, text) in enumerate(turns)]
    messages = [said(role, text) for role, text in marked]
    if not any(ROLES[role] == "User" for role, _ in turns):
        with pytest.raises(UserError):
            read_chat(messages, "here")
        return
    chat = read_chat(messages, "here")
    whole = chat.question + (chat.answer or "")
    places = [whole.index(text) for _, text in marked]
    assert places == sorted(places)
    assert all(whole.count(text) == 1 for _, text in marked)


@pytest.mark.parametrize("column", ["messages", "conversations", "prompt", "Messages"])
def test_the_column_is_found(tmp_path: Path, column: str) -> None:
    chat = [said("user", "1+1?"), said("assistant", r"It is \boxed{2}.")]
    problem = one(tmp_path, {column: chat})
    assert (problem.question, problem.reference, problem.grader) == ("1+1?", "2", "math")


def test_an_answer_column_goes_before_what_the_assistant_says(tmp_path: Path) -> None:
    chat = [said("user", "1+1?"), said("assistant", r"It is \boxed{3}.")]
    assert one(tmp_path, {"messages": chat, "answer": "2"}).reference == "2"
    assert one(tmp_path, {"messages": chat, "gold": 4}, "?answer=gold").reference == "4"
    assert one(tmp_path, {"messages": chat, "gold": None}, "?answer=gold").reference is None, "it was named"


def test_a_text_of_a_question_goes_before_a_chat(tmp_path: Path) -> None:
    problem = one(tmp_path, {"messages": [said("user", "no")], "question": "yes?", "answer": "1"})
    assert problem.question == "yes?"
    assert one(tmp_path, {"messages": [], "instruction": "yes?"}).question == "yes?"


def test_an_answer_at_the_end_never_reaches_the_question(tmp_path: Path) -> None:
    chat = [said("user", "1+1? Put your final answer within \\boxed{}."), said("assistant", "#### 2")]
    problem = one(tmp_path, {"messages": chat})
    assert (problem.question, problem.format, problem.reference) == ("1+1?", "boxed", "2")
    assert "2" not in problem.question + json.dumps(dict(problem.metadata))


def test_a_chat_in_a_cell_and_in_a_parquet_file(tmp_path: Path) -> None:
    chat = [said("user", "1+1; or so?"), said("assistant", "2")]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["id", "messages"], ["x", json.dumps(chat)]])
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table.from_pylist([{"id": "x", "messages": chat}])
    parquet.write_table(table, tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        (problem,) = load_problems(str(tmp_path / name))
        assert (problem.id, problem.question, problem.reference) == ("x", "1+1; or so?", "2"), name
