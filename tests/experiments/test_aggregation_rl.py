"""The pure parts of experiments/aggregation_rl: the ceiling, paired differences, equal tokens, judging, the arms."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from evolve_llm_problems.locks import LAZINESS, Lock

from evolve_llm import Run, evolve
from evolve_llm.train.dataset import problems_of

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2] / "experiments"
NAMES = ("arms", "ceiling", "run", "sweep", "on_a_gpu", "rl_measures")
FOLDERS = (ROOT / "aggregation_rl", ROOT / "fruit_fly")


@pytest.fixture(scope="module")
def study() -> Iterator[dict[str, ModuleType]]:
    """Its modules; their short names are forgotten afterwards, because other studies have them too."""
    path, before = list(sys.path), dict(sys.modules)
    sys.path[:0] = [str(one) for one in FOLDERS]
    for name in (
        "arms",
        "run",
        "ceiling",
        "sweep",
        "on_a_gpu",
        "base_rates",
        "batched",
        "sampling",
        "bundles",
        "model",
    ):
        sys.modules.pop(name, None)
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path[:] = path
    for name in set(sys.modules) - set(before):
        if any(str(one) in str(getattr(sys.modules[name], "__file__", None)) for one in FOLDERS):
            del sys.modules[name]


def small_run(study: dict[str, ModuleType], folder: Path) -> Run:
    """The fly itself, because a scripted model opens no lock."""
    fly = study["arms"].batched_fly()
    return evolve("locks?size=12", "fly", fly, generations=3, population=4, parents=2, out=folder / "run")


def test_an_ideal_aggregator_copies_what_is_open_and_else_guesses_best(study: dict[str, ModuleType]) -> None:
    wheels = (5, 0, 3)
    lazy = Lock(wheels, Lock(wheels, 0).turns(5)[-1])  # the hint opens it
    hard = Lock(wheels, Lock(wheels, 0).turns(8)[-1])
    ideal, hinted = partial(study["ceiling"].ideal, laziness=LAZINESS), study["ceiling"].hinted
    assert LAZINESS > 0.1
    assert (hinted([lazy]), hinted([hard]), hinted([lazy, hard])) == (1.0, 0.0, 0.0)
    assert (ideal([lazy], []), ideal([hard], ["1"]), ideal([hard], ["1", "8"])) == (1.0, 0.0, 1.0)
    assert ideal([hard], ["5", "1"]) == pytest.approx(1 / 8)  # the hint and another key are refuted
    assert ideal([lazy, hard], ["18", "21"]) == 1.0  # the right key of each lock may be in another candidate
    rare = study["ceiling"].ideal([lazy], [], laziness=0.05)  # where the hint is bad, another key is likelier
    assert rare == 0.0 < study["ceiling"].ideal([hard], [], laziness=0.05) == pytest.approx(1 / 9)
    row = {"prompt": [{"content": "<a5780.|a5780|a5037;>"}]}
    assert study["ceiling"].shown(row) == ["5"]


def test_differences_are_paired_by_problem_and_told_by_seed(study: dict[str, ModuleType]) -> None:
    difference, judged = study["rl_measures"].difference, study["rl_measures"].judged
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


def test_a_run_is_read_at_a_number_of_tokens(study: dict[str, ModuleType], tmp_path: Path) -> None:
    run = small_run(study, tmp_path)
    shares, tokens = study["rl_measures"].progress(run)
    rows = [row.plain() for row in run.generations()]
    assert [sum(some) / 12 for some in zip(*shares, strict=True)] == pytest.approx(
        [r["pass@1"] for r in rows]
    )
    assert 0 < rows[0]["pass@1"] < rows[-1]["pass@1"]
    spent = [(row["prompt_tokens"] + row["completion_tokens"]) / 12 for row in rows]
    assert tokens == pytest.approx([sum(spent[: place + 1]) for place in range(3)])
    at = study["rl_measures"]._at
    for budget, value in ((50, 0.2), (100, 0.2), (250, 0.3), (400, 0.4), (500, 0.5), (900, 0.6)):
        assert at([100, 400, 600], [0.2, 0.4, 0.6], budget) == pytest.approx(value)
    assert study["rl_measures"].at_tokens(run, tokens[-1]) == [some[-1] for some in shares]


def test_every_arm_is_judged_against_standard_and_the_reference(study: dict[str, ModuleType]) -> None:
    finals = {"reference": [[0.5, 0.6, 0.5]], "standard": [[0.1, 0.2, 0.2]], "later": [[0.9, 0.9, 0.8]]}
    found = study["run"].claims(finals, ("standard", "later"))
    assert [one[:2] for one in found] == ["a:", "b:", "c:"]
    assert {one["verdict"] for one in found.values()} == {"holds"}


@pytest.mark.parametrize("name", ["fly", "fly-hard"])
def test_arms_differ_in_their_prompts_alone(study: dict[str, ModuleType], name: str) -> None:
    fly, arms = study["arms"].FLIES[name], study["arms"].ARMS
    tuning = study["arms"].Tuning(2e-4, 0.3, 40)
    first = [
        arms[one].settings(1, tuning).model_dump(exclude={"kinds"}) for one in ("standard", "paper", "later")
    ]
    assert first[0] == first[1] == first[2]
    assert (first[0]["learning_rate"], first[0]["beta"], first[0]["steps"]) == (2e-4, 0.3, 40)
    assert all(fly.test in fly.recipe(arms[one]).tests for one in fly.arms)
    assert fly.weights.is_file()


def test_no_problem_decides_the_recipe_and_trains(study: dict[str, ModuleType]) -> None:
    hard = study["arms"].FLIES["fly-hard"]
    sides = [{one.question for one in problems_of(spec)} for spec in (hard.train, hard.sweep, hard.test)]
    assert [len(side) for side in sides] == [400, 120, 200]
    assert not sides[0] & (sides[1] | sides[2])
    assert not sides[1] & sides[2]
    assert study["sweep"].SEED not in study["arms"].SEEDS


def test_reading_counts_children_of_exactly_one_right_candidate(
    study: dict[str, ModuleType], tmp_path: Path
) -> None:
    run = small_run(study, tmp_path)
    found = study["rl_measures"].reading(run)
    expected: dict[int, list[bool]] = {}
    for _, stored in run.populations():
        verdicts = {uid: verdict.correct for one in stored for uid, verdict in one.verdicts.items()}
        for child in (one for some in stored[1:] for one in some.members):
            right = [verdicts[uid] for uid in child.parents]
            if sum(right) == 1:
                expected.setdefault(right.index(True), []).append(verdicts[child.uid])
    assert len(expected) == 2
    assert found["children"] == [len(expected[place]) for place in sorted(expected)]
    assert found["right"] == [
        pytest.approx(sum(expected[place]) / len(expected[place]), abs=1e-3) for place in sorted(expected)
    ]


def test_every_arm_samples_as_many_chains_a_step(study: dict[str, ModuleType]) -> None:
    arms, on_a_gpu = study["arms"], study["on_a_gpu"]
    for name, arm in arms.ARMS.items():
        assert arm.settings(0).replies == 144
        wide = on_a_gpu.settings_of(name, arms.Tuning())
        assert (wide.replies, wide.bf16, wide.learning_rate) == (768, False, arm.settings(0).learning_rate)
        assert (wide.generations, wide.kinds) == (arm.settings(0).generations, arm.settings(0).kinds)
