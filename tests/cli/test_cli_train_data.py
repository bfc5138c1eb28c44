"""``train-data`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Cli, write_problems


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> str:
    rows = [{"id": f"sum/{n}", "question": f"What is {n} + 3?", "answer": str(n + 3)} for n in range(24)]
    out = str(tmp_path / "run")
    problems = str(write_problems(tmp_path / "p.jsonl", rows))
    done = cli(
        *("run", "--problems", problems, "--model", "scripted", "--preset", "rsa", "--population", "6"),
        *("--parents", "2", "--generations", "2", "--out", out),
    )
    assert done.code == 0, done.err
    return out


def test_a_training_set_is_made_and_told(cli: Cli, run: str, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = cli("train-data", run, "--out", str(out), "--generations", "0,1", "--k", "2,3", "--seed", "4")
    assert done.code == 0, done.err
    assert "Training groups by their right candidates" in done.out
    assert f"written to {out}" in done.err
    lines = (out / "data" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines[:2]] == ["standard", "aggregation"]
    card = cli("train-data", run, "--out", str(out), "--force", "--json", "--test-share", "0").json
    assert set(card) == {
        "format", "evolve-llm", "run", "settings", "preset", "splits", "run_curve", "checked", "left_out"
    }  # fmt: skip
    assert card["splits"]["test"]["rows"] == 0
    assert not (out / "data" / "test.jsonl").exists()


def test_the_command_for_a_cluster_is_printed_and_written(cli: Cli, run: str, tmp_path: Path) -> None:
    data, out = str(tmp_path / "set"), tmp_path / "cluster"
    assert cli("train-data", run, "--out", data).code == 0
    flags = ("train", data, "--model", "some/model", "--out", str(out), "--algorithm", "verl")
    done = cli(*flags, "--set", "beta=0.1")
    assert done.code == 0, done.err
    assert "verl.trainer.main_ppo" in done.out
    assert "data.train_batch_size=256" in done.out  # the paper's, where no recipe is named
    assert "algorithm.kl_ctrl.kl_coef=0.1" in (out / "train.sh").read_text()
    assert set(cli(*flags, "--json").json) == {"out", "script"}


def test_a_training_that_cannot_be_is_refused_with_exit_code_2(cli: Cli, run: str, tmp_path: Path) -> None:
    data, out = str(tmp_path / "set"), str(tmp_path / "out")
    assert cli("train-data", run, "--out", data).code == 0
    for flags, said in (
        (("--algorithm", "ppo"), "--algorithm is rloo, grpo or verl"),
        (("--set", "beta"), "--set takes KEY=VALUE"),
        (("--set", "betta=1"), "Did you mean 'beta'?"),
        (("--recipe", "paper"), "unknown recipe 'paper'"),
        (("--model", "llama_cpp:x.gguf"), "cannot be trained"),
        (("--adapter", str(tmp_path / "none")), "there is no such folder"),
    ):
        done = cli("train", data, "--model", "fly", "--out", out, *flags)
        assert (done.code, said in done.err) == (2, True), done.err
    assert not Path(out).exists()
    assert "is a run; make a training set of it" in cli("train", run, "--model", "fly", "--out", out).err


def test_what_cannot_be_is_said_with_exit_code_2(cli: Cli, run: str, tmp_path: Path) -> None:
    out = str(tmp_path / "set")
    for flags, said in (
        (("--k", "two"), "--k takes numbers separated by commas"),
        (("--filter", "all"), "--filter is mixed or none"),
        (("--generations", "5"), "the run has the generations 0 to 1"),
        (("--test", run, "--test-share", "0"), "training problem(s) are also in"),
        (("--test", "no-such-set"), "no-such-set"),
        (("--preset", "rsaa"), "unknown preset 'rsaa'"),
    ):
        done = cli("train-data", run, "--out", out, *flags)
        assert (done.code, said in done.err) == (2, True), done.err
    assert not Path(out).exists()
    assert cli("train-data", run, "--out", run).code == 2
