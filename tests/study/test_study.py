"""A study is planned first, shares what is the same, survives a dead model, and refuses a changed past."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import BackendError, BudgetReached, UserError
from evolve_llm.study import run as running
from evolve_llm.study.run import carry_out, paid_for, run_folder
from evolve_llm.study.spec import Study, read_study
from evolve_llm.study.table import results

ARMS = """
[[arms]]
name = "uniform"
preset = "smoke"
[[arms]]
name = "other finish"
preset = "smoke"
expect = "0"
set = { finish = "random" }
[[arms]]
name = "balanced"
preset = "smoke"
expect = "+"
set = { select = "balanced" }
"""


def made(tmp_path: Path, arms: str = ARMS, top: str = "") -> Study:
    sums = tmp_path / "sums.jsonl"
    lines = [{"id": f"p{n}", "question": f"{n}+1?", "answer": str(n + 1)} for n in range(6)]
    sums.write_text("".join(json.dumps(one) + "\n" for one in lines))
    file = tmp_path / "study.toml"
    head = "" if "name =" in top else 'name = "s"\n'
    file.write_text(f'{head}model = "scripted"\nproblems = "{sums}?grader=exact"\n{top}\n{arms}')
    return read_study(file)


def scripted(monkeypatch: pytest.MonkeyPatch, deaths: int = 0) -> list[Scripted]:
    """Every backend that the studies of a test make; each of the first ``deaths`` dies after 20 calls."""
    found: list[Scripted] = []

    def make(*_: object) -> Scripted:
        die = 20 if len(found) < deaths else None
        found.append(Scripted(lambda request: f"so \\boxed{{{request.seed % 7}}}", die_after=die))
        return found[-1]

    monkeypatch.setattr(running, "make_backend", make)
    return found


def carried(study: Study, folder: Path) -> dict[str, Any]:
    return asyncio.run(carry_out(study, folder))


def bytes_of(study: Study, folder: Path) -> list[bytes]:
    return [
        (run_folder(folder, arm, seed) / "run.db").read_bytes() for arm in study.arms for seed in study.seeds
    ]


def test_one_engine_answers_each_request_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = scripted(monkeypatch)
    study = made(tmp_path)
    plan = carried(study, tmp_path / "s")
    found = results(study, tmp_path / "s", plan)
    assert len(models) == 1
    assert found["paid"]["requests"] == models[0].call_count
    # Another finish asks nothing new (72), and the third arm shares generation 0 (24).
    assert found["saved"]["requests"] >= 72 + 24
    assert found["paid"]["requests"] + found["saved"]["requests"] == 3 * 72
    same, balanced = found["contrasts"]
    assert (same["expected"], same["difference"], balanced["expected"]) == ("0", 0.0, "+")
    assert plan["tests"] == 2


def test_a_study_whose_model_dies_five_times_ends_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made(tmp_path)
    scripted(monkeypatch)
    carried(study, tmp_path / "whole")
    scripted(monkeypatch, deaths=5)
    for _ in range(5):
        with pytest.raises(BackendError):
            carried(study, tmp_path / "killed")
    carried(study, tmp_path / "killed")
    assert bytes_of(study, tmp_path / "killed") == bytes_of(study, tmp_path / "whole")
    assert paid_for(tmp_path / "killed") == paid_for(tmp_path / "whole")


def test_the_plan_is_on_disk_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = scripted(monkeypatch)
    asyncio.run(carry_out(made(tmp_path), tmp_path / "s", plan_only=True))
    plan = json.loads((tmp_path / "s" / "study.json").read_text())
    assert models[0].call_count == 0
    assert plan["at_most"]["requests"] == 3 * 72
    assert plan["history"][0]["results"] == 0


def test_an_arm_added_later_is_told_with_its_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)
    carried(made(tmp_path), tmp_path / "s")
    more = made(
        tmp_path, ARMS + '[[arms]]\nname = "diverse"\npreset = "smoke"\nset = { select = "diverse" }\n'
    )
    found = results(more, tmp_path / "s", carried(more, tmp_path / "s"))
    assert [one["arm"] for one in found["contrasts"] if one["added"]] == ["diverse"]
    assert "from 0.0250 to 0.0167" in found["correction"][0]


@pytest.mark.parametrize(
    ("arms", "top", "said"),
    [
        (ARMS.replace('"balanced" }', '"diverse" }'), "", "'balanced' changed after results"),
        (ARMS, "limit = 3", "the problems of the study changed"),
        (ARMS, 'name = "t"', "holds the study 's'"),
        (ARMS, "seeds = [1]", r"seeds \[0\] have results"),
    ],
)
def test_what_has_results_cannot_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arms: str, top: str, said: str
) -> None:
    scripted(monkeypatch)
    carried(made(tmp_path), tmp_path / "s")
    with pytest.raises(UserError, match=said):
        carried(made(tmp_path, arms, top), tmp_path / "s")


def test_a_budget_that_cannot_pay_for_a_seed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = scripted(monkeypatch)
    with pytest.raises(UserError, match="may not pay for one seed"):
        carried(made(tmp_path, top="budget_tokens = 10"), tmp_path / "s")
    assert models[0].call_count == 0


def test_a_spent_budget_ends_the_study_and_a_larger_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch)
    plan = asyncio.run(carry_out(made(tmp_path), tmp_path / "s", plan_only=True))
    one_seed = plan["at_most"]["tokens"]
    seeds = f"seeds = {list(range(9))}"
    with pytest.raises(BudgetReached, match="Raise budget_tokens"):
        carried(made(tmp_path, top=f"{seeds}\nbudget_tokens = {one_seed}"), tmp_path / "s")
    assert paid_for(tmp_path / "s")[1] >= one_seed
    study = made(tmp_path, top=seeds)
    assert results(study, tmp_path / "s", carried(study, tmp_path / "s"))["seeds"] == list(range(9))


@pytest.mark.parametrize(
    ("arms", "top", "said"),
    [
        (ARMS, "[factors]\nparents = [2, 8]", "arm 'uniform, parents=8' cannot be run: .*K=8"),
        (ARMS, "seed = [1]", "no key 'seed'. Did you mean 'seeds'"),
        (ARMS.replace('expect = "+"', 'expect = "up"'), "", "arm 'balanced': expect must be"),
        (ARMS.replace("select =", "selekt ="), "", "'balanced' cannot be run: .*Did you mean 'select'"),
        ('[[arms]]\nname = "one"\npreset = "smoke"', "", "at least two arms"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, arms: str, top: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(tmp_path, arms, top)


def test_arms_are_compared_at_the_same_levels(tmp_path: Path) -> None:
    study = made(tmp_path, top="[factors]\nparents = [2, 3]")
    pairs = [(base.name, arm.name) for base, arm in study.contrasts()]
    assert ("uniform, parents=3", "balanced, parents=3") in pairs
    assert len(pairs) == 4
