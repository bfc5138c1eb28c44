"""docs/variation_and_fitness.md says what is there, and its code runs."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from evolve_llm_operators.verification import self_verify

from evolve_llm import Preset, Problem, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme import registry
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import contents, run_directory

DOC = (Path(__file__).parents[2] / "docs" / "variation_and_fitness.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)


@pytest.mark.parametrize("kind", ["vary", "evaluate"])
def test_every_operator_is_in_the_tables(kind: str) -> None:
    names = [name.split(".")[1] for name in registry.available("operator") if name.startswith(f"{kind}.")]
    assert names
    assert [name for name in names if f"| `{name}`" not in DOC] == []


def test_the_defaults_are_the_stated_ones() -> None:
    for name, parameter in inspect.signature(self_verify).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and name != "templates":
            shown = str(parameter.default)
            shown = f'`"{shown}"`' if name == "mode" else shown.lower()
            assert f"| `{name}` | {shown} |" in DOC


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_settings_work(text: str) -> None:
    data: dict[str, Any] = {
        "name": "doc",
        "population": 4,
        "parents": 2,
        "generations": 2,
        "vary": "aggregate",
    }
    build(Preset.from_plain(data | tomllib.loads(text)))


def test_the_example_operator_runs() -> None:
    (code,) = blocks("python")
    scope: dict[str, Any] = {}
    exec(code, scope)
    preset = {"name": "doc", "population": 3, "generations": 2, "vary": scope["rubber_duck"]}
    with run_directory() as out:
        model = Scripted(lambda *_: "\\boxed{4}", record=True)
        evolve([Problem("p", "What is 2 + 2?", "boxed")], Preset.from_plain(preset), model, out=out)
        assert {row[6] for row in contents(out)["candidates"]} == {"ok"}
    assert len(model.calls) == 3 + 3 * 2
