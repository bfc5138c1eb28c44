"""What ``doctor`` says of an installation that lacks something, and of the folder it is called in."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import Cli

from evolve_llm.cli import checks


def _told(cli: Cli, name: str) -> dict[str, object]:
    (found,) = (one for one in cli("doctor", "--json").json["checks"] if one["name"] == name)
    return dict(found)


def test_without_hypothesis_it_says_what_cannot_be_done_and_the_command_that_helps(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checks.find_spec
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "hypothesis" else real(name))
    told = _told(cli, "optional packages")
    assert told["detail"] == "not installed: hypothesis (for evolve-llm check)"
    assert told["fix"] == 'pip install "evolve-llm[check]"'
    assert not told["ok"]
    assert not told["needed"], "a run works without it"


@pytest.mark.parametrize("file", ["random.py", "select/__init__.py", "deap.py", "evolve_llm/__init__.py"])
def test_a_file_that_hides_a_module_from_the_users_scripts_is_told(cli: Cli, file: str) -> None:
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).touch()
    Path("operators.py").touch()
    told = _told(cli, "current folder")
    assert str(told["detail"]).startswith(f"{file.partition('/')[0]}: ")
    assert not told["ok"]
    assert not told["needed"]


def test_other_names_and_folders_of_data_are_nobodys_business(cli: Cli) -> None:
    for name in ("operators.py", "selection.py", "my_random.py", "json.txt"):
        Path(name).touch()
    for name in ("problems", "random", "runs"):
        Path(name).mkdir()
    assert _told(cli, "current folder")["ok"]


def test_a_checkout_does_not_hide_itself(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(checks.__file__).parents[2])
    assert _told(cli, "current folder")["ok"]
