"""A study is planned first, shares what is the same, survives a dead model, and refuses a changed past."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from study_helpers import ARMS, carried, made, scripted

from evolve_llm.nouns.errors import BackendError, BudgetReached, UserError
from evolve_llm.study.places import run_folder
from evolve_llm.study.run import carry_out, paid_for
from evolve_llm.study.spec import Study
from evolve_llm.study.table import results


def bytes_of(study: Study, folder: Path) -> list[bytes]:
    return [
        (run_folder(folder, study.places[0], arm, seed) / "run.db").read_bytes()
        for arm in study.arms
        for seed in study.seeds
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
    assert plan["at_most"]["requests"] == 2 * 72  # the other finish is replayed
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
        (ARMS, "limit = 3", "the problems or the model of the study changed"),
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
