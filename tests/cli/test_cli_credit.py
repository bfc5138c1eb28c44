"""``credit``, stored and asked, and ``plan --predict`` as a user calls them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest
from cli_helpers import Cli, start, write_problems


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> str:
    out = str(tmp_path / "run")
    done = cli("run", "--problems", str(write_problems(tmp_path / "p.jsonl")), "--model", "scripted", "--preset", "rsa",
               "--population", "6", "--parents", "2", "--generations", "4", "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    return out


def test_credit_prints_the_curve_and_where_the_right_parent_stood(cli: Cli, run: str) -> None:
    done = cli("credit", run)
    assert done.code == 0, done.err
    assert "children of 3 problems" in done.out
    assert "How often a child is right, by its right parents" in done.out
    data = cli("credit", run, "--json").json
    assert {point["parents"] for point in data["curve"]} <= {1, 2}
    wrong = cli("credit", run + "-none")
    assert (wrong.code, "is not a run directory" in wrong.err) == (2, True)


def test_plan_foretells_other_settings_and_opens_no_model(cli: Cli, run: str, tmp_path: Path) -> None:
    flags = ("plan", "--problems", str(tmp_path / "p.jsonl"), "--model", "llama_cpp:/nowhere.gguf", "--preset", "rsa",
             "--population", "8", "--parents", "4", "--generations", "3", "--predict", run)  # fmt: skip
    done = cli(*flags)
    assert done.code == 0, done.err
    assert "expected for N=8, K=4, T=3" in done.out
    assert "no run given had K=4" in done.out
    data = cli(*flags, "--budget-tokens", "30000", "--json").json
    assert len(data["pass@1"]) == 3
    assert data["budget_per_problem"] == 10_000
    assert all(one["tokens"] <= 10_000 for one in data["best"])


ASK = ("--ask", "--children", "12", "--repeats", "3", "--json")


def test_asking_says_its_price_and_then_what_parents_are_worth(cli: Cli, run: str, tmp_path: Path) -> None:
    priced = cli("credit", run, *ASK, "--model", "scripted", "--plan")
    assert priced.json["requests"] == priced.json["replays"] * 3
    assert not (tmp_path / "run" / "asked.db").exists()
    told = cli("credit", run, *ASK[:-1], "--model", "scripted")
    assert told.code == 0, told.err
    assert f"at most {priced.json['requests']:,} requests to scripted" in told.err
    for title in ("What is lost without one parent", "What a parent is worth", "put first, and put last"):
        assert title in told.out
    again = cli("credit", run, *ASK, "--model", "scripted")
    assert again.json["recorded"] == again.json["requests"] == priced.json["requests"]
    assert again.json["sections"][0]["parents"] == 2
    cut = cli("credit", run, *ASK, "--model", "scripted", "--budget-tokens", "9000", "--concurrency", "1")
    assert (cut.code, cut.json["spent"]) == (0, True)
    assert "the budget of 9,000 tokens ended it" in cut.err
    few = cli("credit", run, *ASK, "--model", "scripted", "--budget-tokens", "1", "--concurrency", "1")
    assert (few.code, few.out) == (0, "")


def test_asking_killed_and_repeated_ends_as_if_it_had_not_been(cli: Cli, run: str, tmp_path: Path) -> None:
    whole = cli("credit", run, *ASK, "--model", "scripted", "--cache", str(tmp_path / "whole.db")).json
    cache = tmp_path / "killed.db"
    slow = ("credit", run, *ASK, "--model", "scripted:delay=0.05,capacity=2", "--cache", str(cache))
    kept = 0
    for _ in range(2):
        process = start(*slow)
        until = time.monotonic() + 60
        while _replies(cache) < kept + 5 and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        process.communicate()
        kept = _replies(cache)
        assert 0 < kept < whole["requests"]
    resumed = cli("credit", run, *ASK, "--model", "scripted", "--cache", str(cache)).json
    assert resumed["recorded"] == kept
    assert resumed["sections"] == whole["sections"]


def _replies(cache: Path) -> int:
    with contextlib.suppress(sqlite3.Error):
        db = sqlite3.connect(f"file:{cache}?mode=ro", uri=True)
        try:
            return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])
        finally:
            db.close()
    return 0


def test_asking_refuses_what_it_cannot_do(cli: Cli, run: str) -> None:
    for flags, message in (
        (("--ask",), "--ask needs --model, the model of the run (it says 'scripted')"),
        (("--ask", "--model", "scripted", run), "--ask takes one run"),
        (("--model", "scripted"), "--model is for asking the model; write --ask too"),
        (("--children", "3"), "--children is for asking"),
        (("--ask", "--model", "scripted:seed=3"), "the run's model is 'scripted', not 'scripted:seed=3'"),
        (("--ask", "--model", "scripted", "--set", "population=3"), "only engine.KEY can be set here"),
        (("--ask", "--model", "scripted", "--replay", "nothing"), "the replays are without, order, shapley"),
        (("--ask", "--model", "scripted", "--cache", "/nowhere/a.db"), "/nowhere/a.db does not exist"),
    ):
        done = cli("credit", run, *flags)
        assert (done.code, message in done.err) == (2, True), done.err
    dead = cli("credit", run, "--ask", "--model", "scripted", "--set", "engine.die_after=9")
    assert (dead.code, "died after 9 calls" in dead.err) == (3, True)


def test_the_fly_is_asked_again(cli: Cli, tmp_path: Path) -> None:
    """A real engine: what it writes again from the stored prompts is as often right as what is stored."""
    out = str(tmp_path / "locks")
    done = cli("run", "--model", "fly", "--problems", "locks?size=6&seed=3", "--preset", "fly", "--population", "6",
               "--parents", "2", "--generations", "3", "--beside", "none", "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    found = cli("credit", out, "--ask", "--model", "fly", "--children", "12", "--repeats", "2", "--json")
    assert found.code == 0, found.err
    assert found.json["children"] == 12
    (section,) = found.json["sections"]
    assert abs(section["again"]["value"]) < 0.5
    difference = section["as_sent"]["value"] - section["nobody"]["value"]
    assert section["shared"]["value"] == pytest.approx(difference)
