"""``evolve-llm run``: what is printed where, and what the flags do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import Cli, Outcome

from evolve_llm.analysis.run import Run

Run_ = Callable[..., Outcome]

GENERATION_KEYS = {
    "generation", "problems", "pass@1", "pass@1_interval", "pass@N", "majority", "distinct", "candidates",
    "truncated", "failed", "ungraded", "requests", "prompt_tokens", "completion_tokens", "cached_tokens",
}  # fmt: skip


def test_json_is_one_object_with_the_documented_keys(run: Run_) -> None:
    outcome = run("--json")
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1
    found = outcome.json
    assert set(found) == {"run", "generations", "problems", "tokens"}
    assert set(found["run"]) == {
        "path", "preset", "model", "seed", "problems", "finished", "complete", "accuracy", "oracle", "attempts",
        "readings",
    }  # fmt: skip
    assert [row["generation"] for row in found["generations"]] == [0, 1, 2]
    assert all(set(row) >= GENERATION_KEYS for row in found["generations"])
    assert all(set(row) == {"id", "answer", "verdict", "rule", "candidate"} for row in found["problems"])
    assert set(found["tokens"]) == {"prompt", "completion", "cached"}


def test_the_table_goes_to_standard_output_and_the_rest_to_standard_error(run: Run_) -> None:
    outcome = run("--out", "here")
    assert outcome.err == "run directory: here (new)\n"
    for word in ("pass@1", "95 %", "pass@N", "majority", "distinct", "truncated", "failed", "prompt tokens",
                 "completion tokens", "verdict", "rule", "exact-text"):  # fmt: skip
        assert word in outcome.out
    assert "ungraded" not in outcome.out
    assert "\x1b" not in outcome.out + outcome.err


def test_the_same_command_shows_a_complete_run_again_and_asks_nothing(run: Run_) -> None:
    first = run("--json", "--out", "here")
    again = run("--json", "--out", "here", model="scripted:die_after=0")
    assert again.out == first.out
    assert "complete, nothing is left to do: 36 completions are already there" in again.err


def test_without_references_there_are_no_accuracy_columns(cli: Cli) -> None:
    Path("open.jsonl").write_text(json.dumps({"question": "Why?"}) + "\n")
    outcome = cli("run", "--model", "scripted", "--problems", "open.jsonl")
    assert outcome.code == 0
    assert "pass@1" not in outcome.out
    assert "verdict" not in outcome.out
    assert "distinct" in outcome.out


def test_an_oracle_is_called_one(run: Run_) -> None:
    flags = ("--set", "evaluate=checker", "--set", "select=tournament")
    assert "ORACLE" in run(*flags).out
    assert run(*flags, "--json").json["run"]["oracle"] is True
    assert "ORACLE" not in run().out


def test_the_default_limit_goes_with_the_default_problems_only(cli: Cli, run: Run_) -> None:
    assert run("--json").json["run"]["problems"] == 3
    assert run("--json", "--limit", "2").json["run"]["problems"] == 2
    planned = cli("plan", "--model", "scripted", "--json").json
    assert planned["problems"] == 4
    assert planned["preset"]["name"] == "smoke"


def test_flags_and_settings_reach_the_preset_the_model_and_the_problems(cli: Cli, problems: str) -> None:
    path = problems.partition("?")[0]
    outcome = cli(
        "run", "--problems", path, "--model", "scripted", "--preset", "self-aggregation", "--population", "3",
        "--parents", "2", "--generations", "2", "--max-tokens", "50", "--seed", "7", "--out", "here",
        "--set", "sampling.temperature=0.5", "--set", "select=tournament", "--set", "select.tournsize=2",
        "--set", "evaluate=agreement", "--set", "engine.answers=4|5", "--set", "problems.grader=exact", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    config = Run("here").config
    preset = config["preset"]
    assert (preset["population"], preset["parents"], preset["generations"]) == (3, 2, 2)
    assert preset["sampling"]["max_tokens"] == 50
    assert preset["sampling"]["temperature"] == 0.5
    assert preset["select"] == {"operator": "tournament", "tournsize": 2}
    assert config["seed"] == 7
    assert config["model"] == "scripted:answers=4|5"
    assert {one["answer"] for one in outcome.json["problems"]} <= {"4", "5"}


def test_a_preset_file_and_a_folder_of_prompts(cli: Cli, run: Run_) -> None:
    Path("mine.toml").write_text(cli("plan", "--model", "scripted", "--population", "2", "--toml").out)
    Path("prompts").mkdir()
    Path("prompts/sample.md").write_text("Hello. {{ question }} Answer in \\boxed{}.")
    outcome = run("--preset", "mine.toml", "--prompts", "prompts", "--out", "here", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["generations"][0]["candidates"] == 6
    assert (
        outcome.json["generations"][0]["prompt_tokens"]
        < run("--preset", "mine.toml", "--json").json["generations"][0]["prompt_tokens"]
    )


def test_a_cache_is_filled_once(run: Run_) -> None:
    first = run("--cache", "cache.db", "--out", "one", "--json").json
    second = run("--cache", "cache.db", "--out", "two", "--json", model="scripted:die_after=0").json
    assert first["generations"] == second["generations"]


def test_a_spent_budget_is_no_failure_and_a_larger_one_goes_on(run: Run_) -> None:
    whole = run("--out", "whole", "--json").json
    stopped = run("--out", "here", "--budget-tokens", "1500", "--json", "--concurrency", "2")
    assert stopped.code == 0
    assert "budget" in stopped.err
    assert "--budget-tokens" in stopped.err
    assert not stopped.json["run"]["complete"]
    assert "-" in run("--out", "here", "--budget-tokens", "1500").out
    resumed = run("--out", "here", "--json")
    assert "resuming" in resumed.err
    assert resumed.json["generations"] == whole["generations"]
    assert resumed.json["problems"] == whole["problems"]


def test_problems_without_an_answer_are_named(run: Run_) -> None:
    outcome = run(model="scripted:fail=1")
    assert outcome.code == 0
    assert "3 of 3 problems have no answer because all their candidates failed: a, b, c" in outcome.err
    assert "every candidate failed" in outcome.out


def test_more_answers_than_fit_are_counted(cli: Cli) -> None:
    Path("many.jsonl").write_text("".join(json.dumps({"question": f"{i} + 1?"}) + "\n" for i in range(25)))
    flags = ("--model", "scripted", "--problems", "many.jsonl", "--generations", "1", "--out", "here")
    assert "… 5 more: evolve-llm show here --all" in cli("run", *flags).out
    assert "more: " not in cli("show", "here", "--all").out


def test_secrets_of_the_command_line_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from evolve_llm.nouns.request import ModelInfo
    from evolve_llm.session.identity import environment

    arguments = [
        "run",
        "--set",
        "engine.api_key=sk-secret",
        "--base-url",
        "http://me:secret@host/v1",
        "--out",
        "a\udcff",
    ]
    monkeypatch.setattr("sys.argv", ["/usr/bin/evolve-llm", *arguments])
    command = environment(ModelInfo("m"), None)["command"]
    assert "secret" not in json.dumps(command)
    assert command[4] == "http://host/v1"
    "".join(command).encode()
