"""The store by itself: what it cannot hold is refused, and what it holds already stays."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from evolve_llm import Completion, Generation, Problem, Request, StoreError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.outcome import Failure
from evolve_llm.record import store
from evolve_llm.record.store import Store
from evolve_llm.testing import Behaviour, contents, database, run_directory

PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]
CONFIG = {"problems": {"count": 1}}


def test_a_count_no_database_can_hold_ends_the_run_with_one_clear_error_and_resumes() -> None:
    behaviour = Behaviour()

    def respond(request: Request) -> Completion | BaseException:
        said = behaviour(request)
        if absurd and request.id == "p/1/0/vary/0":
            assert isinstance(said, Completion)
            return replace(said, prompt_tokens=10**30)
        return said

    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(behaviour), out=out)
        whole = database(out)
    absurd = True
    with run_directory() as out:
        with pytest.raises(StoreError, match="cannot store what it was given"):
            evolve(PROBLEMS, "smoke", Scripted(respond), out=out, concurrency=1)
        assert len(contents(out)["completions"]) >= 4
        absurd = False
        assert evolve(PROBLEMS, "smoke", Scripted(respond), out=out).complete
        assert database(out) == whole


def test_what_arrives_together_is_committed_together_and_read_back_whole() -> None:
    outcomes = {
        Address(0, 0, "vary", 0): Completion("a\0b \u2028", "length", 3, 4, 1, "thought"),
        Address(0, 1, "vary", 0): Completion(""),
        Address(0, 1, "evaluate", 3): Failure("timeout", "after 5 s"),
    }

    async def write() -> None:
        with Store.open_for_run(out, CONFIG, {}, PROBLEMS) as opened:
            waiting = [opened.put(0, address, "digest", 7, outcome) for address, outcome in outcomes.items()]
            waiting[0].cancel()  # whoever leaves takes nobody else's commit along
            await waiting[1]
            assert all(one.done() for one in waiting)

    with run_directory() as out:
        asyncio.run(write())
        with Store.open_to_read(out) as opened:
            recalled = opened.recall(0)
            assert {address: one.outcome for address, one in recalled.items()} == outcomes
            assert {one.prompt for one in recalled.values()} == {"digest"}
            assert opened.spent() == 7
            assert opened.finished() == set()


def test_closing_commits_what_is_pending() -> None:
    async def write() -> None:
        opened = Store.open_for_run(out, CONFIG, {}, PROBLEMS)
        opened.put(0, Address(0, 0, "vary", 0), "digest", 7, Completion("kept"))
        opened.close()
        opened.close()

    with run_directory() as out:
        asyncio.run(write())
        assert [row[7] for row in contents(out)["completions"]] == ["kept"]


def test_a_run_that_ends_while_somebody_reads_it_is_compacted_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A log that a reader holds on to must not be left beside a new file: it would be taken for its own."""
    connect = store.connect

    def impatient(file: Path, *, writable: bool) -> sqlite3.Connection:
        db = connect(file, writable=writable)
        db.execute("PRAGMA busy_timeout = 20")
        return db

    readers: list[sqlite3.Connection] = []

    def read_on(generation: Generation) -> None:  # noqa: ARG001
        if not readers:
            readers.append(sqlite3.connect(out / "run.db", isolation_level=None))
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT count(*) FROM completions").fetchall()

    monkeypatch.setattr(store, "connect", impatient)
    with run_directory() as quiet:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=quiet)
        expected = database(quiet)
    with run_directory() as out:
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, on_generation=read_on).complete
        assert database(out) != expected
        readers[0].close()
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out).complete
        assert database(out) == expected
        assert not [path.name for path in out.iterdir() if path.name.startswith("run.db-")]
