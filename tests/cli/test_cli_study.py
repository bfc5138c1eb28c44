"""``study`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

from cli_helpers import Cli

FILE = """
name = "two finishes"
problems = "{problems}"
model = "scripted"
[[arms]]
name = "majority"
preset = "smoke"
[[arms]]
name = "random"
preset = "smoke"
expect = "-"
set = {{ finish = "random" }}
"""


def test_a_study_is_planned_run_and_shown_with_ordinary_commands(
    cli: Cli, problems: str, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").write_text(FILE.format(problems=problems))
    plan = cli("study", "study.toml", "--plan", "--json").json
    assert (plan["at_most"]["runs"], plan["tests"]) == (2, 1)
    assert json.loads(Path("studies/two-finishes/study.json").read_text()) == plan
    done = cli("study", "study.toml")
    assert (done.code, "sharing saved 36 requests" in done.out) == (0, True)
    data = cli("study", "study.toml", "--json").json
    assert set(data) == {
        *(
            "name",
            "places",
            "seeds",
            "quoted",
            "contrasts",
            "paid",
            "saved",
            "replayed",
            "spared",
            "correction",
        ),
    }
    assert data["paid"]["requests"] == 36
    assert set(data["contrasts"][0]) == {
        *("where", "arm", "against", "quoted", "expected", "null", "added", "replayed", "baseline", "value"),
        *("difference", "interval", "tokens", "problems", "spread", "p", "p_holm"),
        *("why", "peeked", "detectable"),
    }
    runs = sorted(map(str, Path("studies/two-finishes/runs").glob("*/*")))
    assert cli("compare", *runs).code == cli("show", runs[0]).code == 0


def test_a_wrong_study_file_spends_nothing(cli: Cli, problems: str, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(FILE.format(problems=problems).replace('"smoke"', '"smok"'))
    wrong = cli("study", "study.toml")
    assert (wrong.code, "Did you mean 'smoke'" in wrong.err) == (2, True)
    assert not Path("studies").exists()
