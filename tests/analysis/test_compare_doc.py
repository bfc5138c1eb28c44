"""docs/compare.md says what is so: its example runs, its table has the shape it shows, its arithmetic is right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evolve_llm.analysis.metrics import GenerationMetrics
from evolve_llm.analysis.stats import problems_needed
from evolve_llm.cli.main import app

DOC = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOC, re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for one, text in BLOCKS if one == kind]


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("evolve-llm ")]


def shape(table: str) -> list[str]:
    """What does not depend on the model's words: headings, rows and moments, without numbers."""
    return [
        re.sub(r"[\d.,k+\-–<]+", "#", " ".join(line.split()[:3]))
        for line in table.splitlines()
        if line.strip(" ─")
    ]


def test_the_example_runs_and_prints_such_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    exec(blocks("python")[0], {})
    printed = ""
    for command in commands(blocks("sh")[0]):
        found = CliRunner().invoke(app, command)
        assert found.exit_code == 0, found.output
        printed = found.stdout
    (shown,) = blocks("text")
    assert shape(printed) == shape(shown)
    assert "generation 0 is the same in both" in printed
    (lineage,) = (one for text in blocks("sh") for one in commands(text) if one[0] == "lineage")
    assert CliRunner().invoke(app, lineage).exit_code == 0
    assert (tmp_path / lineage[-1]).read_text().startswith("<svg")


def test_the_numbers_of_problems_are_right() -> None:
    rows = re.findall(r"^\| (0\.\d) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", DOC, re.MULTILINE)
    assert len(rows) == 4
    for spread, *needed in rows:
        for difference, number in zip((0.02, 0.05, 0.1), needed, strict=True):
            assert problems_needed(float(spread), difference) == int(number.replace(",", ""))


def test_every_number_about_health_is_explained() -> None:
    health = ("entropy", "share", "taken_over", "parents", "intensity", "minorities")
    for key in GenerationMetrics(0).plain():
        assert f"`{key}`" in DOC or not key.endswith(health), f"{key} is not in docs/compare.md"


FLAGS = {
    "compare": ("--partial", "--tokens", "--target", "--allow-different-seeds", "--allow-different-models"),
    "lineage": ("--out", "--sort"),
}


@pytest.mark.parametrize("command", FLAGS)
def test_every_flag_exists_and_is_explained(command: str) -> None:
    helped = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    assert [flag for flag in FLAGS[command] if flag not in helped or flag not in DOC] == []
