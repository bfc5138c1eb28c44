"""What is quoted and corrected, several places, the pilot, and the written report."""

from __future__ import annotations

import asyncio
import csv
import json
import zlib
from pathlib import Path

import pytest
from study_helpers import ARMS, carried, made, scripted
from typer.testing import CliRunner

from evolve_llm.cli.main import app
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.request import Request
from evolve_llm.study.costs import curves_of, seconds_a_token
from evolve_llm.study.pilot import carry_out_pilot
from evolve_llm.study.run import carry_out, paid_for
from evolve_llm.study.spec import read_study
from evolve_llm.study.table import as_expected, came, results

QUOTED = (
    'quoted = [{ metric = "majority" }, { metric = "answer" }, { moment = 1 }, { moment = "equal tokens" }]'
)


def test_every_quoted_number_is_corrected_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)
    study = made(tmp_path, top=QUOTED)
    plan = carried(study, tmp_path / "s")
    found = results(study, tmp_path / "s", plan)
    assert plan["tests"] == 2 * 4
    assert found["quoted"] == [
        "majority at the end", "answer at the end", "pass@1 after generation 1", "pass@1 at equal tokens",
    ]  # fmt: skip
    assert len(found["contrasts"]) == 8
    assert all(one["p_holm"] >= one["p"] for one in found["contrasts"])


def test_correction_none_leaves_p_values_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)
    study = made(tmp_path, top='correction = "none"')
    found = results(study, tmp_path / "s", carried(study, tmp_path / "s"))
    assert [one["p_holm"] for one in found["contrasts"]] == [None, None]


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ('quoted = [{ metric = "pass" }]', "metric must be one of"),
        ('quoted = [{ moment = "start" }]', "moment must be"),
        ("quoted = [{ moment = 7 }]", "arm 'uniform' has no generation 7"),
        ('quoted = [{ metric = "answer", moment = 1 }]', "a run gives its answer at the end"),
        ('quoted = [{}, { metric = "pass@1" }]', "lists a number twice"),
        ("quoted = []", "must be a list of tables"),
        ('correction = "bonferroni"', "correction must be one of holm, none"),
        ("pilot = 3", "pilot must name a problem set"),
    ],
)
def test_what_cannot_be_quoted_is_refused(tmp_path: Path, top: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(tmp_path, top=top)


def test_arms_are_compared_in_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = scripted(monkeypatch)
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "o", "question": "2+2?", "answer": "4"}\n')
    study = made(tmp_path, also=[f"{other}?grader=exact"])
    plan = carried(study, tmp_path / "s")
    found = results(study, tmp_path / "s", plan)
    assert len(models) == 1
    assert [one["count"] for one in plan["places"]] == [6, 1]
    assert plan["tests"] == 4
    assert {one["where"] for one in found["contrasts"]} == {one.name for one in study.places}
    assert len(list((tmp_path / "s").glob("runs/*/*/run.json"))) == 6


def test_two_models_are_asked_each_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = scripted(monkeypatch)
    made(tmp_path)
    text = (
        (tmp_path / "study.toml")
        .read_text()
        .replace('model = "scripted"', 'model = ["scripted", "scripted:echo"]')
    )
    (tmp_path / "study.toml").write_text(text)
    study = read_study(tmp_path / "study.toml")
    found = results(study, tmp_path / "s", carried(study, tmp_path / "s"))
    assert len(models) == 2
    assert all(one.call_count for one in models) or found["paid"]["requests"] == models[0].call_count
    assert len(found["contrasts"]) == 4


def test_a_pilot_gives_the_spread_and_the_time_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: Request) -> str:
        told = zlib.crc32(f"{request.prompt.messages}{request.seed}".encode())
        return f"{told} \\boxed{{{int(request.id[1]) + 2 if told % 2 else 0}}}"

    scripted(monkeypatch, answer=answer)
    other = tmp_path / "pilot.jsonl"
    rows = [{"id": f"q{n}", "question": f"{n}+2?", "answer": str(n + 2)} for n in range(4)]
    other.write_text("".join(json.dumps(one) + "\n" for one in rows))
    study = made(tmp_path, top=f'pilot = "{other}?grader=exact"\nspread = 0.9')
    before = asyncio.run(carry_out(study, tmp_path / "s", plan_only=True))
    assert (before["spread"], before["spread_from"], before["hours"]) == (0.9, "stated", None)
    measured = asyncio.run(carry_out_pilot(study, tmp_path / "s"))
    assert (measured["problems"], set(measured["spreads"])) == (4, {"other finish", "balanced"})
    assert "difference" not in json.dumps(measured)
    assert paid_for(tmp_path / "s") == (0, 0)
    after = asyncio.run(carry_out(study, tmp_path / "s", plan_only=True))
    assert after["spread_from"] == "pilot on 4 problems"
    assert after["spread"] == max(measured["spreads"].values())
    assert after["hours"] >= 0
    assert after["expected_tokens"] == round(measured["tokens"] / 4 * 6)


def test_a_pilot_on_the_studys_own_problems_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch)
    study = made(tmp_path, top=f'pilot = "{tmp_path / "sums.jsonl"}?grader=exact"')
    with pytest.raises(UserError, match="6 problems of the pilot"):
        asyncio.run(carry_out_pilot(study, tmp_path / "s"))
    with pytest.raises(UserError, match="names no pilot"):
        asyncio.run(carry_out_pilot(made(tmp_path), tmp_path / "s"))


def test_the_report_has_expectation_result_tables_and_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made(tmp_path, ARMS.replace('name = "balanced"', 'name = "=balanced_$|x"'))
    command = ["study", str(tmp_path / "study.toml"), "--out", str(tmp_path / "s"), "--report"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    out = tmp_path / "s" / "report"
    assert {one.name for one in out.iterdir()} == {
        "report.md", "contrasts.tex", "contrasts.csv", "forest.svg", "forest.png", "curves.svg", "curves.png",
        "pages.html",
    }  # fmt: skip
    text = (out / "report.md").read_text()
    assert text.index("## What was expected, and what came") < text.index("## What could not have been seen")
    assert "\\=balanced" in text or "=balanced\\_\\$\\|x" in text
    with (out / "contrasts.csv").open() as file:
        assert [row["arm"] for row in csv.DictReader(file)] == ["other finish", "'=balanced_$|x"]
    assert "balanced\\_\\$" in (out / "contrasts.tex").read_text()


def test_curves_count_calls_and_tokens_as_if_nothing_were_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch)
    study = made(tmp_path)
    carried(study, tmp_path / "s")
    curves = curves_of(study, study.places[0], tmp_path / "s", "pass@1")
    assert set(curves) == {"uniform", "other finish", "balanced"}
    assert [round(one.calls, 6) for one in curves["uniform"]] == [4, 8, 12]
    assert all(a.tokens < b.tokens for a, b in zip(curves["balanced"], curves["balanced"][1:], strict=False))


def test_the_time_of_a_token_is_fitted_and_never_negative() -> None:
    work = [{"prompt_tokens": p, "completion_tokens": c, "seconds": 0.001 * p + 0.02 * c}
            for p, c in ((1000, 10), (50, 400), (800, 90))]  # fmt: skip
    assert seconds_a_token(work) == pytest.approx((0.001, 0.02))
    assert (
        min(seconds_a_token([{**one, "seconds": 5 - one["completion_tokens"] / 100} for one in work]) or ())
        >= 0
    )
    assert seconds_a_token(work[:1]) is None


def test_words_for_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)
    study = made(tmp_path)
    row = results(study, tmp_path / "s", carried(study, tmp_path / "s"))["contrasts"][0]
    up = {**row, "p_holm": 0.01, "difference": 0.1, "expected": "-"}
    assert (came(up), as_expected(up)) == ("+", "no")
    assert as_expected({**up, "expected": "+"}) == "yes"
    assert as_expected({**up, "expected": "?"}) == ""
    assert as_expected({**up, "p_holm": 0.2}) == "open"
