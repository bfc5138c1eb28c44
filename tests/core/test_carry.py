"""What of a parent its children read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import (
    Candidate,
    Completion,
    Preset,
    Problem,
    Request,
    Session,
    UserError,
    evolve,
    load_preset,
)
from evolve_llm.backends.scripted import Scripted
from evolve_llm.carry import Carry, tail
from evolve_llm.testing import contents, database

PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]
LINES = "\n".join(f"line {number}" for number in range(10))


def _chain(request: Request) -> Completion:
    text = f"{LINES} of {request.id}\n\\boxed{{{request.seed % 3}}}"
    return Completion(text, "stop", 10, len(text) // 4)


@given(st.text(max_size=200), st.floats(0, 1))
def test_a_tail_is_the_end_of_the_text_and_no_longer_than_its_share(text: str, share: float) -> None:
    kept = tail(text, share)
    assert text.endswith(kept)
    assert len(kept) <= len(text) * share


def test_a_tail_begins_at_a_line() -> None:
    assert tail("first line\nsecond line\nthird line", 0.6) == "third line"
    assert tail("one long line without an end", 0.5) == "without an end"[-14:]
    assert tail("short\n", 0.5) == "rt\n"  # nothing is left after the newline: better half a line than none


def test_chains_within_the_limit_are_read_whole() -> None:
    parent = Candidate("p", 0, 0, "sample", LINES, text_tokens=20)
    assert Carry(20).of(parent) is parent
    assert Carry().of(parent) is parent
    assert Carry(10).of(parent).text == "\n".join(LINES.split("\n")[-5:])


def test_children_read_tails_and_the_run_stays_reproducible(tmp_path: Path) -> None:
    asked: list[Request] = []

    def respond(request: Request) -> Completion:
        asked.append(request)
        return _chain(request)

    shape = {"population": 4, "parents": 2, "generations": 3, "sampling": {"max_tokens": 200}}
    carry = {"carry": {"policy": "tail", "tokens": 10}}
    for name, concurrency in (("a", 1), ("b", 64)):
        evolve(
            PROBLEMS, "rsa", Scripted(respond), out=tmp_path / name, concurrency=concurrency, **shape, **carry
        )
    evolve(PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "cut", budget_tokens=300, **shape, **carry)
    evolve(PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "cut", **shape, **carry)
    assert database(tmp_path / "a") == database(tmp_path / "b") == database(tmp_path / "cut")
    later = [request for request in asked if "/0/" not in request.id]
    assert later
    for request in later:
        prompt = request.prompt.messages[-1].content
        assert "line 1\n" not in prompt
        assert prompt.count("\\boxed{") >= 2  # both parents' answers, at the end of their chains
    evolve(PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "whole", **shape)
    assert contents(tmp_path / "whole") != contents(tmp_path / "a")


def test_a_copy_is_the_whole_parent(tmp_path: Path) -> None:
    run = evolve(
        PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "run", population=3, parents=2, generations=2,
        vary="reproduce", carry={"policy": "tail", "tokens": 5},
    )  # fmt: skip
    assert all(one.text.startswith("line 0") for one in run.population("p"))


def test_the_window_counts_tails_not_chains() -> None:
    async def widest(preset: Preset) -> tuple[int, int]:
        found = await Session(PROBLEMS, preset, Scripted(_chain)).estimate()
        return found.widest, found.tails

    whole, none = asyncio.run(widest(load_preset("self-aggregation")))
    short, tails = asyncio.run(widest(load_preset("markovian-rsa")))
    assert (none, tails) == (0, 4 * 4096)
    assert whole - short == 4 * 4096


@pytest.mark.parametrize("carry", [{"policy": "tail"}, {"policy": "full", "tokens": 5}, {"policy": "head"}])
def test_what_cannot_be_carried_is_said(carry: dict[str, object]) -> None:
    with pytest.raises(UserError, match="carry"):
        load_preset("rsa").override({f"carry.{key}": value for key, value in carry.items()})
