"""Which arms are replayed from another's record, and that the claim is true of what the model was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from study_helpers import carried, made, scripted

from evolve_llm.scheme.preset import load_preset
from evolve_llm.study.replay import source_of
from evolve_llm.study.spec import Arm
from evolve_llm.study.table import results

RSA = {"population": 6, "parents": 2, "generations": 3}
FEW = {"population": 4, "parents": 2, "generations": 1}


def arm(name: str, **changes: Any) -> Arm:
    return Arm(name, name, {}, load_preset("smoke").override({**RSA, **changes}), "?", False)


@pytest.mark.parametrize(
    ("changes", "replayed"),
    [
        ({"finish": "random"}, True),
        ({"generations": 2}, True),
        ({"generations": 1, "population": 4, "parents": 1, "select": "balanced"}, True),
        ({"stop": [{"operator": "consensus", "share": 0.9}]}, True),
        ({"finish": "final_aggregate"}, False),
        ({"generations": 4}, False),
        ({"population": 4}, False),
        ({"generations": 1, "population": 8}, False),
        ({"select": "balanced"}, False),
        ({"sampling.temperature": 0.5}, False),
    ],
)
def test_what_takes_less_of_the_same_populations_is_replayed(changes: dict[str, Any], replayed: bool) -> None:
    recorded = arm("recorded")
    wanted = arm("wanted", **changes)
    assert source_of(wanted, [recorded, wanted]) is (recorded if replayed else None)


def test_an_arm_that_stops_less_is_not_replayed_from_one_that_stops() -> None:
    stops = arm("stops", stop=[{"operator": "consensus", "share": 0.9}])
    assert source_of(arm("goes on"), [stops]) is None
    assert source_of(arm("stops too", stop=stops.preset.plain()["stop"], finish="random"), [stops]) is stops


def test_what_is_called_replayed_asks_the_model_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = scripted(monkeypatch)
    text = """
    [[arms]]
    name = "whole"
    preset = "smoke"
    [[arms]]
    name = "random member"
    preset = "smoke"
    set = { finish = "random" }
    [[arms]]
    name = "two generations"
    preset = "smoke"
    set = { generations = 2 }
    [[arms]]
    name = "vote of three"
    preset = "smoke"
    set = { generations = 1, population = 3, parents = 1, vary = "refine" }
    """
    study = made(tmp_path, text)
    plan = carried(study, tmp_path / "s")
    assert [one["replayed_from"] for one in plan["arms"].values()] == [None, "whole", "whole", "whole"]
    assert models[0].call_count == plan["arms"]["whole"]["requests"]
    found = results(study, tmp_path / "s", plan)
    assert found["replayed"] == found["saved"]
    assert [one["replayed"] for one in found["contrasts"]] == ["whole"] * 3
