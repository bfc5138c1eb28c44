"""Every page that a reader types along with: its files, its Python, its commands and what they print."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT, blocks, commands, run_page
from typer.testing import CliRunner

from evolve_llm.cli.main import app

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/index.md",
    "docs/tutorial.md",
    "docs/concepts.md",
    "docs/cli.md",
    "docs/context.md",
    "docs/operators.md",
    "docs/new_operator.md",
    "docs/deap.md",
    "docs/run_directory.md",
    "docs/grids_and_choices.md",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; modules imported from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before, python, numpy = set(sys.modules), random.getstate(), np.random.get_state()
    yield tmp_path
    random.setstate(python)
    np.random.set_state(numpy)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_is_what_happens(page: str, folder: Path) -> None:
    run_page(ROOT / page, folder)


@pytest.mark.slow
def test_the_worked_examples_keep_their_contracts(folder: Path) -> None:
    """One of each kind, and what `evolve-llm check` says of each of them."""
    page = (ROOT / "docs" / "operators.md").read_text("utf-8")
    parts = [block.body for block in blocks(page) if block.title.startswith("mine.py")]
    (folder / "mine.py").write_text("\n\n".join(parts), "utf-8")
    kinds = re.findall(r"^@(\w+)\(.*\n(?:async )?def (\w+)", "\n".join(parts), re.MULTILINE)
    assert {kind for kind, _ in kinds} == {
        "selection", "variation", "evaluation", "replacement", "finishing", "stopping", "adaptation",
    }  # fmt: skip
    for _, name in kinds:
        found = CliRunner().invoke(app, ["check", f"mine:{name}"])
        assert found.exit_code == 0, found.output


def test_a_new_operator_takes_ten_lines_and_two_commands() -> None:
    """From an empty file to a finished comparison against ``uniform``."""
    first, *rest = blocks((ROOT / "docs" / "new_operator.md").read_text("utf-8"))
    assert first.language == "python"
    assert len([line for line in first.body.splitlines() if line.strip()]) <= 10
    assert "@selection" in first.body
    assert "uniform" in first.body
    assert max(map(len, first.body.splitlines())) <= 110  # ten lines as anybody would write them
    assert ";" not in re.sub(r'"""[^"]*"""', "", first.body)
    console = next(block for block in rest if block.language == "console")
    typed = [command for command, *_ in commands(console.body)]
    assert len(typed) == 2
    assert typed[-1].startswith("evolve-llm compare")
