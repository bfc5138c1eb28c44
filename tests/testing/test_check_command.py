"""``evolve-llm check`` on a stranger's operators: plain words, and exit codes a script can use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evolve_llm.cli.main import app

MINE = """
import random
from evolve_llm import selection

@selection(blind=True)
def good(individuals, k):
    return random.sample(individuals, k)

@selection(blind=True)
def greedy(individuals, k):
    return individuals[: k + 1]

def stingy(parents, offspring, n):
    return list(offspring[: n - 1])

def unknown(a, b):
    return a
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """``run(*arguments)`` in a folder that holds ``mine.py``."""
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["check", *(one.replace("mine:", f"{name}:") for one in arguments)])
        return done.exit_code, done.output

    return call


def test_a_healthy_operator(run) -> None:  # type: ignore[no-untyped-def]
    code, said = run("mine:good")
    assert code == 0, said
    assert "as select" in said
    assert "its contract is kept" in said


def test_a_broken_one_and_its_smallest_example(run) -> None:  # type: ignore[no-untyped-def]
    code, said = run("mine:greedy")
    assert code == 5
    assert "asked for groups of [1] from [0.0:" in said
    assert "properties are broken" in said


def test_the_kind_is_told_from_the_parameters_or_asked_for(run) -> None:  # type: ignore[no-untyped-def]
    code, said = run("mine:stingy", "--json")
    found = json.loads(said)
    assert (code, found["kind"], found["kept"]) == (5, "replace", False)
    broken = {one["property"]: one["detail"] for one in found["properties"] if one["outcome"] == "broken"}
    assert "must return 1 different members" in broken["gives the right number of different members"]
    code, said = run("mine:unknown")
    assert code == 2
    assert "--kind" in said


def test_built_in_names_and_their_parameters(run) -> None:  # type: ignore[no-untyped-def]
    assert run("stop.consensus")[0] == 0
    code, said = run("stop.token_budget")
    assert code == 2
    assert "--set tokens=VALUE" in said
    assert run("stop.token_budget", "--set", "tokens=10")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("select.unifrom",), "Did you mean 'select.uniform'"),
        (("nothing",), "module:name"),
        (("no_such_module:f",), "cannot be imported"),
        (("mine:absent",), "cannot be imported"),
        (("mine:good", "--kind", "sorcery"), "unknown kind"),
        (("mine:good", "--set", "k=3", "--set", "z=1"), "has no parameter"),
        (("mine:good", "--claim", "majority"), "operators of the kind 'finish'"),
        (("mine:good", "--claim", "glory"), "unknown claim"),
        (("select.uniform", "--kind", "vary"), "of the kind 'select'"),
    ],
)
def test_what_does_not_exist_is_said_before_anything_runs(run, arguments, complaint: str) -> None:  # type: ignore[no-untyped-def]
    code, said = run(*arguments)
    assert code == 2, said
    assert complaint in " ".join(said.split())


def test_it_needs_hypothesis_and_no_pytest() -> None:
    """As in a user's installation: pytest hidden it works, hypothesis hidden it says what to install."""
    script = "import sys; sys.modules[{!r}] = None; from evolve_llm.cli.main import main; main()"
    for hidden, code, words in (
        ("pytest", 0, "contract is kept"),
        ("hypothesis", 2, "pip install 'evolve-llm[check]'"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script.format(hidden), "check", "stop.consensus"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert words in done.stdout + done.stderr
