"""The pure parts of experiments/aggregation_rl: the ceiling, the paired differences, and the rule of the claims."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from evolve_llm_problems.locks import LAZINESS, Lock

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2] / "experiments"
FOLDERS = (ROOT / "aggregation_rl", ROOT / "fruit_fly")


@pytest.fixture(scope="module")
def study() -> Iterator[dict[str, ModuleType]]:
    """Its modules; their short names are forgotten afterwards, because other studies have them too."""
    path, before = list(sys.path), dict(sys.modules)
    sys.path[:0] = [str(one) for one in FOLDERS]
    for name in ("arms", "run", "ceiling", "base_rates", "batched", "sampling", "bundles", "model"):
        sys.modules.pop(name, None)
    yield {name: importlib.import_module(name) for name in ("arms", "ceiling", "run")}
    sys.path[:] = path
    for name in set(sys.modules) - set(before):
        if any(str(one) in str(getattr(sys.modules[name], "__file__", None)) for one in FOLDERS):
            del sys.modules[name]


def test_an_ideal_aggregator_copies_what_is_open_and_else_guesses_best(study: dict[str, ModuleType]) -> None:
    wheels = (5, 0, 3)
    lazy = Lock(wheels, Lock(wheels, 0).turns(5)[-1])  # the hint opens it
    hard = Lock(wheels, Lock(wheels, 0).turns(8)[-1])
    ideal, hinted = study["ceiling"].ideal, study["ceiling"].hinted
    assert LAZINESS > 0.1
    assert (hinted([lazy]), hinted([hard]), hinted([lazy, hard])) == (1.0, 0.0, 0.0)
    assert (ideal([lazy], []), ideal([hard], ["1"]), ideal([hard], ["1", "8"])) == (1.0, 0.0, 1.0)
    assert ideal([hard], ["5", "1"]) == pytest.approx(1 / 8)  # the hint and another key are refuted
    assert ideal([lazy, hard], ["18", "21"]) == 1.0  # the right key of each lock may be in another candidate
    row = {"prompt": [{"content": "<a5780.|a5780|a5037;>"}]}
    assert study["ceiling"].shown(row) == ["5"]


def test_differences_are_paired_by_problem_and_told_by_seed(study: dict[str, ModuleType]) -> None:
    difference, judged = study["run"].difference, study["run"].judged
    found = difference([[1.0, 0.6], [0.8, 0.6]], [[0.5, 0.3]])
    assert found["mean"] == pytest.approx(0.35)
    assert found["seeds"] == pytest.approx([0.4, 0.3])
    for interval, wanted, verdict in (
        ([0.1, 0.2], 1, "holds"),
        ([-0.2, -0.1], 1, "does not hold"),
        ([-0.2, -0.1], -1, "holds"),
        ([-0.1, 0.1], 1, "open"),
    ):
        assert judged({"interval": interval}, wanted) == verdict


def test_arms_differ_in_their_prompts_alone(study: dict[str, ModuleType]) -> None:
    settings = [arm.settings(1).model_dump(exclude={"kinds"}) for arm in study["arms"].ARMS.values()]
    assert settings[0] == settings[1] == settings[2]
    recipes = [study["arms"].recipe_of(arm) for arm in study["arms"].ARMS.values()]
    assert {one.tests for one in recipes} == {(study["arms"].TEST,)}
