"""The default model in the hands of a user: what goes wrong, and what is said of it before anything is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_helpers import Cli

from evolve_llm import Run
from evolve_llm.backends import fly
from evolve_llm.backends.fly import FILE_NAME, FOLDER, SUMS_NAME


def _chains(folder: Path) -> list[str]:
    """Every chain of a run, in the order of problems, generations and slots."""
    return [
        one.text
        for _, populations in Run(folder).populations()
        for population in populations
        for one in population.members
    ]


RUN = ("run", "--model", "fly", "--problems", "locks?size=1", "--out", "here")


def _installed(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
    """As if only these files of the model had been installed."""
    folder.mkdir()
    for name in names:
        shutil.copy(FOLDER / name, folder)
    find = fly.shipped_weights
    monkeypatch.setattr(fly, "shipped_weights", lambda _: find(folder))


@pytest.mark.parametrize("names", [(), (SUMS_NAME,), (FILE_NAME,)])
def test_an_incomplete_install_says_so(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...]
) -> None:
    _installed(monkeypatch, tmp_path / "model", *names)
    outcome = cli(*RUN)
    assert outcome.code == 3
    assert "the fly's weights are missing or cannot be read" in outcome.err
    assert "install evolve-llm again" in outcome.err
    assert not Path("here").exists()


def test_weights_of_another_checksum_are_not_used(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _installed(monkeypatch, tmp_path / "model", FILE_NAME, SUMS_NAME)
    with (tmp_path / "model" / FILE_NAME).open("ab") as file:
        file.write(b"\0")
    outcome = cli(*RUN)
    assert outcome.code == 3
    assert "are damaged: their SHA-256 is" in outcome.err
    assert not Path("here").exists()


@pytest.mark.model
def test_another_problem_set_is_refused_by_its_first_character(cli: Cli) -> None:
    pytest.importorskip("xllamacpp")
    Path("sums.jsonl").write_text(json.dumps({"question": "2+2?", "answer": "4"}) + "\n")
    for command in ("run", "plan"):
        outcome = cli(command, "--model", "fly", "--problems", "sums.jsonl", "--out", "here")
        assert outcome.code == 2
        assert "the fly does not know the character '+' (place 2 of '2+2?" in outcome.err
        assert "another model" in outcome.err
        assert not Path("here").exists()


@pytest.mark.model
def test_more_candidates_than_its_window_holds_are_refused(cli: Cli) -> None:
    pytest.importorskip("xllamacpp")
    outcome = cli(*RUN, "--set", "problems.locks=6", "--parents", "14")
    assert outcome.code == 2
    assert "512" in outcome.err
    assert not Path("here").exists()


@pytest.mark.model
def test_the_harder_fly_comes_with_its_locks_and_resumes(cli: Cli) -> None:
    pytest.importorskip("xllamacpp")
    small = ("--limit", "4", "--population", "4", "--generations", "3", "--parents", "2", "--json")
    planned = cli(
        "plan", "--model", "fly-hard", "--problems", "locks?laziness=0.5", "--preset", "fly", *small
    )
    assert planned.code == 0, planned.err
    whole = cli("run", "--model", "fly-hard", *small, "--out", "whole")
    assert whole.code == 0, whole.err
    assert (whole.json["run"]["model"], whole.json["run"]["preset"]) == ("llama_cpp:fly-hard", "fly")
    assert "laziness=0.5" in Path("whole/run.json").read_text("utf-8")
    given = ("--problems", "locks?laziness=0.5", "--preset", "fly")
    cut = ("run", "--model", "fly-hard", *given, *small, "--out", "cut")
    assert not cli(*cut, "--budget-tokens", "1500").json["run"]["complete"]
    again = cli(*cut)
    assert again.code == 0, again.err
    one, two = (_chains(Path(name)) for name in ("whole", "cut"))
    assert one == two
    assert len(one) == 4 * 3 * 4


@pytest.mark.model
def test_a_difficulty_it_was_not_trained_on_is_run_with_a_warning(cli: Cli) -> None:
    pytest.importorskip("xllamacpp")
    outcome = cli(*RUN, "--set", "problems.locks=5", "--generations", "2", "--population", "4", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("warning: the fly was trained on bundles of 1 to 4 locks, not of 5") == 1
    assert outcome.json["run"]["complete"]
    again = cli(
        *RUN, "--set", "problems.locks=4", "--generations", "2", "--population", "4", "--out", "other"
    )
    assert "warning" not in again.err
