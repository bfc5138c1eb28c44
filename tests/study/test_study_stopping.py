"""Arms end at looks that allow for looking; halving ends the worse half; a resumed study decides the same again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from study_helpers import made, scripted

from evolve_llm.analysis.run import Run
from evolve_llm.nouns.errors import BackendError, UserError
from evolve_llm.study.places import run_folder
from evolve_llm.study.run import carry_out, values_of
from evolve_llm.study.spec import Stopping, Study
from evolve_llm.study.stopping import ends, level
from evolve_llm.study.table import came, results
from evolve_llm.study.words import closing_lines

FOUR = "".join(
    f'[[arms]]\nname = "{name}"\npreset = "smoke"\nset = {{ "sampling.max_tokens" = {tokens} }}\n'
    for name, tokens in (("base", 40), ("worse", 41), ("same", 42), ("better", 43))
)


def values(study: Study, **shares: float) -> dict[str, list[float | None]]:
    """Every arm's accuracy, the same on each problem."""
    return {arm.name: [shares[arm.name]] * 200 for arm in study.arms}


def test_looks_end_with_the_last_problem() -> None:
    assert Stopping(20).looks(50) == [20, 40, 50]
    assert Stopping(20, halving=True).looks(200) == [20, 40, 80, 160, 200]
    assert Stopping(20).looks(20) == [20]
    assert Stopping(20).looks(7) == [7]


def test_an_arm_ends_once_it_is_settled_and_the_baseline_with_the_last(tmp_path: Path) -> None:
    study = made(tmp_path, FOUR, top="stopping = { look = 20 }")
    shares = values(study, base=0.5, worse=0.1, same=0.5, better=0.9)
    found = ends(study, shares, 200, 200)
    assert found["worse"].why == found["better"].why == "settled"
    assert found["worse"].problems == found["better"].problems < 200
    assert found["worse"].difference == pytest.approx(-0.4)
    assert found["same"].why == "all"
    assert found["base"].problems == 200
    assert ends(study, shares, 200, 20) == {name: end for name, end in found.items() if end.problems <= 20}
    assert level(study) == 0.05 / 3


def test_without_its_arms_a_baseline_ends(tmp_path: Path) -> None:
    study = made(tmp_path, FOUR, top="stopping = { look = 20 }")
    found = ends(study, values(study, base=0.5, worse=0.0, same=0.0, better=1.0), 200, 200)
    assert found["base"].problems == max(found[name].problems for name in ("worse", "same", "better")) < 200


def test_halving_ends_the_worse_half_and_says_so(tmp_path: Path) -> None:
    study = made(tmp_path, FOUR, top="stopping = { look = 5, halving = true }")
    found = ends(study, values(study, base=0.5, worse=0.48, same=0.5, better=0.52), 20, 20)
    assert (found["worse"].problems, found["worse"].why) == (5, "halving")
    assert (found["same"].problems, found["same"].why) == (10, "halving")
    assert (found["better"].problems, found["better"].why) == (20, "all")


def carried(study: Study, folder: Path) -> dict[str, Any]:
    return asyncio.run(carry_out(study, folder))


RIGHT = {40: 0.3, 41: 0.3, 42: 1.0, 43: 0.3}


def lettered(monkeypatch: pytest.MonkeyPatch, deaths: int = 0) -> None:
    """A model that knows every answer with a probability that its limit of tokens gives away."""

    def answer(request: Any) -> str:
        number = int(request.id.split("/")[0].removeprefix("p"))
        share = RIGHT[request.sampling.max_tokens]
        return f"\\boxed{{{number + 1 if request.seed % 100 < 100 * share else -1}}}"

    scripted(monkeypatch, deaths, answer)


def test_a_study_that_stops_early_runs_less_and_ends_the_same_after_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made(tmp_path, FOUR, top="stopping = { look = 10 }", problems=40)
    lettered(monkeypatch)
    plan = carried(study, tmp_path / "whole")
    assert plan["stopping"]["looks"] == [10, 20, 30, 40]
    found = results(study, tmp_path / "whole", plan)
    same = next(one for one in found["contrasts"] if one["arm"] == "same")
    assert (came(same), same["why"]) == ("+", "settled")
    assert same["problems"] < 40
    folder = run_folder(tmp_path / "whole", study.places[0], study.arms[2], 0)
    assert sum(one.finished for one in Run(folder).results()) == same["problems"]
    assert found["spared"]["problems"] == 40 - same["problems"]
    assert any("more different from its baseline than it is" in line for line in closing_lines(found))
    lettered(monkeypatch, deaths=5)
    for _ in range(5):
        with pytest.raises(BackendError):
            carried(study, tmp_path / "killed")
    again = results(study, tmp_path / "killed", carried(study, tmp_path / "killed"))
    assert again == found
    at = study.places[0]
    for arm in study.arms:
        assert values_of(study, at, arm, tmp_path / "killed", 40) == values_of(
            study, at, arm, tmp_path / "whole", 40
        )


def test_problems_are_shuffled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = made(tmp_path, FOUR, top="stopping = { look = 10 }", problems=20)
    lettered(monkeypatch)
    carried(study, tmp_path / "s")
    ids = [one.id for one in Run(run_folder(tmp_path / "s", study.places[0], study.arms[0], 0)).problems()]
    assert sorted(ids) == sorted(f"p{n}" for n in range(20))
    assert ids != [f"p{n}" for n in range(20)]


def test_seeds_cannot_be_added_to_what_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lettered(monkeypatch)
    carried(made(tmp_path, FOUR, top="stopping = { look = 3 }"), tmp_path / "s")
    with pytest.raises(UserError, match="seeds cannot be added"):
        carried(made(tmp_path, FOUR, top="seeds = [0, 1]\nstopping = { look = 3 }"), tmp_path / "s")
    with pytest.raises(UserError, match="the stopping of the study changed"):
        carried(made(tmp_path, FOUR, top="stopping = { look = 4 }"), tmp_path / "s")


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("stopping = { look = 1 }", "at least 2"),
        ("stopping = { look = 20, halving = 1 }", "true or false"),
        ("stopping = 20", "must be a table"),
        ("stopping = { loook = 20 }", "Did you mean 'look'"),
        ('stopping = { look = 20 }\nquoted = [{ moment = "equal tokens" }]', "whose moment is equal tokens"),
    ],
)
def test_wrong_stopping_is_refused(tmp_path: Path, top: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(tmp_path, FOUR, top=top)
