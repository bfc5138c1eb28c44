"""docs/grading.md: its examples run, its table names every task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from evolve_llm_problems.reasoning_gym_checks import DECIDED, REFUSED
from evolve_llm_problems.reasoning_gym_grader import plain_tasks

from evolve_llm.grading.base import Grader

PAGE = (Path(__file__).parents[2] / "docs" / "grading.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_grader_works() -> None:
    scope: dict[str, Any] = {}
    exec(BLOCKS[0], scope)
    grader = scope["grader"]
    assert isinstance(grader, Grader)
    assert grader.quick("#FFcc00", "ffCC00").correct
    assert grader.quick("yellow", "ffcc00").rule == "not-a-colour"
    assert grader.quick_canonical("#FFCC00") == grader.quick_canonical("ffcc00")


def test_the_example_of_the_pool_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    exec(BLOCKS[1], {"__name__": "example"})
    assert f"prints `{capsys.readouterr().out.strip()}`" in PAGE


def test_every_reasoning_gym_task_is_accounted_for() -> None:
    factory = pytest.importorskip("reasoning_gym.factory")
    named = set(re.findall(r"`(\w+)`", PAGE)) | set(re.findall(r"^\| (\w+) \|", PAGE, re.MULTILINE))
    assert set(factory.DATASETS) - {"composite"} <= named
    assert plain_tasks() | set(DECIDED) | set(REFUSED) <= named
