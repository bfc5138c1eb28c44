"""No text of a model or a problem file reaches the terminal as anything but text (invariant I9)."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Cli
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from evolve_llm.cli import show_problem
from evolve_llm.cli.tables import print_results
from evolve_llm.cli.text import json_printable, one_line, printable
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.export import candidate_row

NASTY = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m\x9d0;x\x9c\x85\x07\x08\r",
    "[bold red]markup[/] [/nothing] [link=http://evil]x[/link] :smile:",
    "a\u202egnp.exe\u2066\u200b\ufeff",
    "\ud800\U000e0041\x00",
    "x" * 5000,
    "\u2028\u2029\v\f\t\n",
)
texts = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(codec=None, max_codepoint=0xFF)),
    st.lists(st.sampled_from(NASTY) | st.text(max_size=5)).map("".join),
)


def harmless(shown: str) -> bool:
    """Whether a terminal could only print it."""
    return all(one == "\n" or unicodedata.category(one) not in ("Cc", "Cf", "Cs") for one in shown)


@given(texts)
@example("".join(NASTY))
def test_printable_leaves_text_only_and_is_idempotent(text: str) -> None:
    shown = printable(text)
    assert harmless(shown)
    assert printable(shown) == shown


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Zs")) | st.just("\n")))
def test_plain_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


@given(texts, st.integers(1, 80))
def test_one_line_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert harmless(shown)
    assert "\n" not in shown
    assert len(shown) <= limit


@given(texts)
def test_json_is_the_same_data_without_anything_a_terminal_acts_on(text: str) -> None:
    document = json_printable(json.dumps({"text": text}, ensure_ascii=False))
    found = json.loads(document)["text"]
    assert found.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    assert harmless(document)


def test_a_long_hostile_text_takes_no_longer_than_it_is_long() -> None:
    for piece in ("\x1b]", "\x1b[", "\x9d", "\x1b[0", "\x1bP\x07"):
        assert harmless(printable(piece * 200_000))


def _result(identity: str, answer: str, rule: str) -> dict[str, Any]:
    row = {
        "generation": 0, "problems": 1, "pass@1": 0.5, "pass@1_interval": [0.0, 1.0], "pass@N": 1.0, "majority": 0.0,
        "distinct": 1.0, "candidates": 1, "truncated": 0, "failed": 0, "ungraded": 1, "requests": 1,
        "prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0,
    }  # fmt: skip
    problem = {"id": identity, "answer": answer, "verdict": "correct", "rule": rule, "candidate": "0.0"}
    run = {
        "path": identity, "preset": answer, "model": rule, "seed": 0, "problems": 1, "finished": 1, "complete": True,
        "accuracy": 1.0, "oracle": True,
    }  # fmt: skip
    return {"run": run, "generations": [row], "problems": [problem] * 30, "tokens": {}}


@given(texts, texts, texts)
@example("\n".join(NASTY), "\n".join(NASTY), "\n".join(NASTY))
def test_the_table_of_a_run_is_harmless(identity: str, answer: str, rule: str) -> None:
    out = Console(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    print_results(out, _result(identity, answer, rule))
    assert harmless(out.file.getvalue())  # type: ignore[attr-defined]


@given(texts)
@example("\n".join(NASTY))
def test_a_problem_and_a_candidate_are_shown_harmlessly(text: str) -> None:
    one = Candidate(text or "x", 0, 0, text, text, text, text, parents=("0.0",), reason=text)
    verdict = Verdict(Grade.CORRECT, text)
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            show_problem, "console", lambda: Console(file=shown, width=120, markup=False, emoji=False)
        )
        show_problem.print_candidate(
            {**candidate_row(one, verdict, is_answer=True), "copied": False, "children": []}
        )
        answers = [{"answer": text, "votes": 1, "verdict": "correct", "rule": text}]
        member = {
            "uid": "0.0",
            "operator": text,
            "parents": [],
            "status": "ok",
            "answer": text,
            "verdict": None,
        }
        show_problem.print_problem(
            {
                "id": text,
                "question": text,
                "format": "boxed",
                "reference": text,
                "finished": True,
                "answer": text,
                "candidate": "0.0",
                "verdict": "correct",
                "lineage": [member],
                "generations": [{"generation": 0, "pass@1": 1.0, "failed": 1, "answers": answers}],
            }
        )
    assert harmless(shown.getvalue())


def hostile_model(_: object) -> str:
    """A model whose every answer attacks the terminal; see the test below."""
    return f"<answer>{NASTY[0]}{NASTY[1]}{NASTY[2]}{NASTY[3]}{NASTY[4]}</answer>"


def test_every_command_survives_a_hostile_model(cli: Cli) -> None:
    row = {"id": "a\x1b[2J[red]", "question": "Why\x1b[2J?\u202e", "answer": "\x1b[5m"}
    Path("hostile.jsonl").write_text(json.dumps(row))
    flags = ("--model", "scripted:test_cli_hostile:hostile_model")
    spec = "hostile.jsonl?grader=exact&format=tags"
    commands: dict[str, Callable[[], Any]] = {
        "run": lambda: cli("run", *flags, "--problems", spec, "--out", "here"),
        "run --json": lambda: cli("run", *flags, "--problems", spec, "--out", "here", "--json"),
        "show": lambda: cli("show", "here"),
        "problem": lambda: cli("show", "here", "--problem", row["id"]),
        "candidate": lambda: cli("show", "here", "--candidate", "1.0"),
        "generation": lambda: cli("show", "here", "--generation", "1"),
        "json": lambda: cli("show", "here", "--candidate", "1.0", "--json"),
        "regrade": lambda: cli("regrade", "here"),
        "ask": lambda: cli("ask", *flags, "Why\x1b[2J?"),
        "plan": lambda: cli("plan", *flags, "--problems", spec),
        "unknown": lambda: cli("show", "here", "--problem", "\x1b[2J"),
        "no such file": lambda: cli("run", *flags, "--problems", "\x1b[2J.jsonl"),
    }
    for name, command in commands.items():
        outcome = command()
        assert outcome.code == (2 if name in ("unknown", "no such file") else 0), (name, outcome.err)
        assert harmless(outcome.out), name
        assert harmless(outcome.err), name
    assert "[bold red]markup[/]" in cli("show", "here").out
