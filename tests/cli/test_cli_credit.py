"""``credit`` and ``plan --predict`` as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import Cli, write_problems


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
