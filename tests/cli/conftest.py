"""Two ways to run a command, each test in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import Cli, Outcome, write_problems
from typer.testing import CliRunner

from evolve_llm.cli.main import app


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a folder of its own: the default run directory lies in the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVOLVE_LLM_DEBUG", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def cli() -> Cli:
    """Run a command in this process."""

    def invoke(*args: str, input: str | None = None) -> Outcome:
        result = CliRunner().invoke(app, list(args), input=input)
        assert "Traceback" not in result.output
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def problems(tmp_path: Path) -> str:
    """A problem set of three sums with exact answers."""
    return f"{write_problems(tmp_path / 'sums.jsonl')}?grader=exact"


@pytest.fixture
def run(cli: Cli, problems: str) -> Callable[..., Outcome]:
    """``run`` on the three sums with the scripted model; further arguments win."""

    def invoke(*args: str, model: str = "scripted") -> Outcome:
        return cli("run", "--model", model, "--problems", problems, *args)

    return invoke
