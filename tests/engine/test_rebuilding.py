"""Prompts made again from a stored run are those that were sent, to the character."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve_llm import Problem, evolve
from evolve_llm.engine.rebuilding import Asked, prompts_of
from evolve_llm.nouns.errors import UserError
from evolve_llm.record.paging import PagedReader
from evolve_llm.record.run_files import read_run_json
from evolve_llm.scheme.preset import builtin_presets

ASKED = [Problem("p", "What is 1 + 1?", "boxed", "math", "2")]


def _all(path: Path) -> dict[str, list[Asked]]:
    config = read_run_json(path)["config"]
    with PagedReader(path) as reader:
        return {one.uid: prompts_of(reader, config, 0, one.uid) for one in reader.candidates(0)}


@pytest.mark.parametrize("preset", sorted(builtin_presets()))
def test_every_prompt_of_every_preset_has_the_digest_of_what_was_sent(preset: str, tmp_path: Path) -> None:
    evolve(ASKED, preset, "scripted", out=tmp_path / "run")
    found = _all(tmp_path / "run")
    assert all(one.exact for asked in found.values() for one in asked)
    assert sum(map(len, found.values())) >= 4


def test_a_variation_of_several_calls_gives_each_of_its_prompts(tmp_path: Path) -> None:
    evolve(
        ASKED, "rsa", "scripted", out=tmp_path / "run", population=4, parents=2, generations=2,
        vary="summarize_aggregate", finish="final_aggregate",
    )  # fmt: skip
    found = _all(tmp_path / "run")
    assert [one.address.purpose for one in found["1.0"]][-1] == "vary"
    assert len(found["1.0"]) == 3
    assert all(one.exact for asked in found.values() for one in asked)
    assert len(found["1.4"]) == 1  # the chain that concludes


def test_other_templates_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "sample.md").write_text("Say it otherwise: {{ question }} \\boxed{}")
    evolve(
        ASKED, "rsa", "scripted", out=tmp_path / "run", population=3, parents=2, generations=2, prompts=folder
    )
    found = _all(tmp_path / "run")
    assert not any(one.exact for one in found["0.0"])
    assert found["0.0"][0].prompt.messages[-1].content


def test_no_code_that_only_the_run_names_is_imported(tmp_path: Path) -> None:
    evolve(ASKED, "rsa", "scripted", out=tmp_path / "run", population=2, parents=2, generations=2)
    config = read_run_json(tmp_path / "run")["config"]
    config["preset"]["vary"] = [{"operator": "antigravity:fly"}]
    with (
        PagedReader(tmp_path / "run") as reader,
        pytest.raises(UserError, match="no code that only a run names"),
    ):
        prompts_of(reader, config, 0, "1.0")


def test_a_stranger_is_not_found(tmp_path: Path) -> None:
    evolve(ASKED, "rsa", "scripted", out=tmp_path / "run", population=2, parents=2, generations=2)
    config = read_run_json(tmp_path / "run")["config"]
    with PagedReader(tmp_path / "run") as reader, pytest.raises(UserError, match="no candidate"):
        prompts_of(reader, config, 0, "9.9")
