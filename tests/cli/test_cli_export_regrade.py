"""``export`` and ``regrade``: the whole run out, and new verdicts in."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import PROBLEMS, Cli, Outcome, write_problems

from evolve_llm.analysis.run import Run
from evolve_llm.nouns.errors import UserError
from evolve_llm.record import export as exporting
from evolve_llm.record.export import COLUMNS, export, rows
from evolve_llm.record.regrade import regrade
from evolve_llm.record.store import Store
from evolve_llm.session.session import evolve

Run_ = Callable[..., Outcome]

AWKWARD = 'a "quoted", cell\r\nwith\rbreaks\n\x00 a NUL, =1+1, \u202e and ü'


def awkward_model(_: object) -> str:
    """A model whose text is hard to put into a table."""
    return f"{AWKWARD}<answer>{AWKWARD}</answer>"


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [_typed(row) for row in csv.DictReader(file)]


def _typed(row: dict[str, str]) -> dict[str, Any]:
    """A row of CSV as the documentation says to read it."""
    found: dict[str, Any] = {}
    for name, kind in COLUMNS.items():
        cell = row[name]
        if kind == "string":
            found[name] = cell if cell or name == "text" else None
        elif cell == "":
            found[name] = None
        else:
            found[name] = json.loads(cell)
    return found


@pytest.mark.parametrize(
    "model", ["scripted:fail=0.2,truncate=0.2", "scripted:test_cli_export_regrade:awkward_model"]
)
@pytest.mark.parametrize("fitness", [[], ["--set", "evaluate=agreement", "--set", "select=tournament"]])
def test_what_is_exported_is_what_is_stored(cli: Cli, run: Run_, model: str, fitness: list[str]) -> None:
    run("--out", "here", *fitness, model=model)
    stored = list(rows("here"))
    assert len(stored) == 36
    assert set(stored[0]) == set(COLUMNS)
    assert "36 candidates" in cli("export", "here", "--out", "out.csv").err
    assert _read_csv(Path("out.csv")) == stored

    parquet = pytest.importorskip("pyarrow.parquet")
    assert cli("export", "here", "--out", "out.parquet").code == 0
    assert parquet.read_table("out.parquet").to_pylist() == stored
    assert sorted(path.name for path in Path().glob("*out*")) == ["out.csv", "out.parquet"]


def test_exactly_the_answers_are_marked(run: Run_) -> None:
    outcome = run("--out", "here", "--json")
    marked = {row["problem"]: row["uid"] for row in rows("here") if row["is_answer"]}
    assert marked == {one["id"]: one["candidate"] for one in outcome.json["problems"]}


def test_large_runs_go_out_in_pieces(run: Run_, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(exporting, "_BATCH_ROWS", 5)
    run("--out", "here")
    export("here", "out.parquet")
    assert parquet.ParquetFile("out.parquet").num_row_groups == 8
    assert parquet.read_table("out.parquet").num_rows == 36


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--out", "out.xlsx"], "csv and parquet"),
        (["--out", "out"], "csv and parquet"),
        (["--out", "out.csv", "--format", "json"], "csv and parquet"),
        (["--out", "out.csv", "--format", "parquet"], "make the two agree"),
        (["--out", "there.csv"], "--force"),
        (["--out", "folder", "--format", "csv"], "is a folder"),
        (["--out", "nowhere/out.csv"], "does not exist"),
    ],
)
def test_export_refuses_what_it_cannot_do(cli: Cli, run: Run_, flags: list[str], told: str) -> None:
    run("--out", "here")
    Path("there.csv").write_text("mine")
    Path("folder").mkdir()
    outcome = cli("export", "here", *flags)
    assert outcome.code == 2
    assert told in outcome.err
    assert Path("there.csv").read_text() == "mine"
    assert not list(Path().glob(".*.part"))


def test_force_replaces_and_a_missing_pyarrow_is_explained(
    cli: Cli, run: Run_, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--out", "here")
    Path("there.csv").write_text("mine")
    assert cli("export", "here", "--out", "there.csv", "--force").code == 0
    assert len(_read_csv(Path("there.csv"))) == 36
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    outcome = cli("export", "here", "--out", "out.parquet")
    assert outcome.code == 2
    assert 'pip install "evolve-llm[parquet]"' in outcome.err


# ---------------------------------------------------------------- regrade


def _references(path: Path, **answers: str) -> str:
    rows = [{**row, "answer": answers.get(row["id"], row["answer"])} for row in PROBLEMS]
    return f"{write_problems(path, rows)}?grader=exact"


def test_grading_again_changes_nothing_and_leaves_the_same_bytes(cli: Cli, run: Run_) -> None:
    run("--out", "here")
    before = Path("here/run.db").read_bytes()
    outcome = cli("regrade", "here", "--json")
    assert outcome.json["changed"] == 0
    assert outcome.json["graded"] > 3
    assert Path("here/run.db").read_bytes() == before


def test_new_references_change_verdicts_and_nothing_else(cli: Cli, run: Run_, tmp_path: Path) -> None:
    run("--out", "here", "--json")
    answers = {row["problem"]: row["answer"] for row in rows("here") if row["is_answer"]}
    before = [{**row, "verdict": 0, "rule": 0, "score": 0} for row in rows("here")]
    spec = _references(tmp_path / "new.jsonl", b="wrong", a=answers["a"])
    outcome = cli("regrade", "here", "--problems", spec, "--json").json
    assert outcome["references"] == 1 + (answers["a"] != "5")
    assert {one["problem"] for one in outcome["changes"]} >= {"b"}
    assert all(one["before"] != one["after"] for one in outcome["changes"])
    assert [{**row, "verdict": 0, "rule": 0, "score": 0} for row in rows("here")] == before
    found = {one.id: one for one in Run("here").results()}
    assert found["a"].verdict is not None
    assert found["a"].verdict.correct
    assert found["b"].verdict is not None
    assert not found["b"].verdict.correct
    assert not cli("regrade", "here", "--problems", spec, "--json").json["changes"]
    text = cli("regrade", "here", "--problems", _references(tmp_path / "old.jsonl"))
    assert "incorrect (exact-text)" in text.out


def test_a_regraded_run_equals_a_run_with_these_references(cli: Cli, run: Run_, tmp_path: Path) -> None:
    run("--out", "here")
    spec = _references(tmp_path / "new.jsonl", b="1", c="2")
    cli("regrade", "here", "--problems", spec)
    again = cli("run", "--model", "scripted", "--problems", spec, "--out", "here", "--json")
    assert "complete, nothing is left to do" in again.err
    fresh = cli("run", "--model", "scripted", "--problems", spec, "--out", "fresh", "--json")
    assert again.json["generations"] == fresh.json["generations"]
    assert Path("here/run.db").read_bytes() == Path("fresh/run.db").read_bytes()


def test_other_problems_are_refused_with_the_difference(cli: Cli, run: Run_, tmp_path: Path) -> None:
    run("--out", "here")
    before = Path("here/run.db").read_bytes()
    cases = {
        "lack 1 of the 3 problems of the run: 'c'": PROBLEMS[:2],
        "other questions": [{**row, "question": "What is 1 + 1?"} for row in PROBLEMS],
        "no reference for 'a'": [{"id": row["id"], "question": row["question"]} for row in PROBLEMS],
    }
    for told, listed in cases.items():
        outcome = cli("regrade", "here", "--problems", str(write_problems(tmp_path / "other.jsonl", listed)))
        assert outcome.code == 2
        assert told in outcome.err
    assert Path("here/run.db").read_bytes() == before
    more = [*reversed(PROBLEMS), {"id": "d", "question": "1 + 1?", "answer": "2"}]
    spec = f"{write_problems(tmp_path / 'more.jsonl', more)}?grader=exact"
    assert cli("regrade", "here", "--problems", spec).code == 0
    assert Path("here/run.db").read_bytes() == before


def test_an_unfinished_run_keeps_the_references_it_was_begun_with(
    cli: Cli, run: Run_, tmp_path: Path
) -> None:
    run("--out", "here", "--budget-tokens", "1000", "--concurrency", "1")
    outcome = cli("regrade", "here", "--problems", _references(tmp_path / "new.jsonl", b="1"))
    assert outcome.code == 2
    assert "First finish the run" in outcome.err
    assert cli("regrade", "here").code == 0
    assert run("--out", "here", "--json").json["run"]["complete"]


def test_killed_in_the_middle_every_problem_is_graded_wholly_one_way(
    run: Run_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--out", "here")
    spec = _references(tmp_path / "new.jsonl", a="1", b="1", c="1")
    replace, calls = Store.replace_verdicts, []

    def dying(store: Store, order: int, *rest: Any) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(order)
        replace(store, order, *rest)

    monkeypatch.setattr(Store, "replace_verdicts", dying)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(regrade("here", problems=spec))
    references = [problem.reference for problem in Run("here").problems()]
    assert references == ["1", "13", "101"]
    assert len(Run("here").results()) == 3
    monkeypatch.setattr(Store, "replace_verdicts", replace)
    asyncio.run(regrade("here", problems=spec))
    assert [problem.reference for problem in Run("here").problems()] == ["1", "1", "1"]
    assert run("--out", "here").code == 2  # the run now belongs to the new references


def test_regrade_takes_problem_objects_and_refuses_without_a_run(run: Run_) -> None:
    run("--out", "here")
    found = asyncio.run(regrade("here", problems=Run("here").problems()))
    assert found.changes == ()
    with pytest.raises(UserError, match="not a run directory"):
        asyncio.run(regrade("nowhere"))


def test_runs_without_references_have_no_verdicts_to_change(cli: Cli) -> None:
    Path("open.jsonl").write_text(json.dumps({"question": "Why?"}))
    evolve("open.jsonl", preset="smoke", model="scripted", out="here")
    assert cli("regrade", "here", "--json").json == {
        "graded": 0,
        "references": 0,
        "changed": 0,
        "changes": [],
        "readings": [],
    }
