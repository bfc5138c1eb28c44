"""Populations that the trained fly evolves itself, by our engine, under TRL."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import Stopped, stop_after

from evolve_llm import Run, evolve
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BackendError, UserError
from evolve_llm.nouns.request import Prompt, Request, Sampling
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.formats import write
from evolve_llm.train.groups import Drawing
from evolve_llm.train.populations.preset import preset_of
from evolve_llm.train.populations.sampler import TrainedModel
from evolve_llm.train.settings import TrainSettings, train_settings

SMALL = {
    "prompts": 2, "rollouts": 2, "generations": 2, "population": 3, "parents": 2, "steps": 3, "learning_rate": 1e-3,
    "save_every": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locks")
    run = evolve("locks?size=30&split=train&locks=1", "fly", "fly", generations=1, out=folder / "run")
    made = training_set(run.path, Recipe(Drawing((0,), (2,), "none"), test_share=0.0))
    write(made, folder / "set", ["jsonl"])
    return folder / "set"


@pytest.fixture
def libraries() -> None:
    if not os.environ.get("CI"):
        for library in ("trl", "peft", "gguf"):
            pytest.importorskip(library)


def test_settings_of_populations_go_together() -> None:
    assert train_settings(None, {"generations": 3, "prompts": 3, "rollouts": 2}).replies == 144
    for changes, said in (
        ({"population": 4}, "population is a setting of populations"),
        ({"generations": 2, "kinds": "standard"}, "populations make their own prompts"),
        ({"generations": 2, "pass_k": 2}, "write credit=pool too"),
        ({"generations": 2, "credit": "pool", "pass_k": 16, "rollouts": 2}, "below the 16 chains"),
        ({"generations": 2, "credit": "mine"}, "lineage"),
        ({"generations": 1}, "greater than or equal to 2"),
    ):
        with pytest.raises(UserError, match=said):
            train_settings(None, changes)


def test_the_preset_is_the_one_of_the_training_set_with_the_sizes_of_the_training(locks: Path) -> None:
    card = json.loads((locks / "card.json").read_text())
    found = preset_of(card, TrainSettings(**SMALL), 33)
    assert (found.name, found.population, found.parents, found.generations) == ("fly", 3, 2, 2)
    assert (found.sampling.max_tokens, found.sampling.temperature, found.finish.operator) == (
        33,
        1.0,
        "random",
    )
    with pytest.raises(UserError, match=r"parents .K=4. cannot exceed population .N=3."):
        preset_of(card, TrainSettings(**SMALL | {"parents": 4}), 33)
    del card["preset"]
    with pytest.raises(UserError, match="make it again"):
        preset_of(card, TrainSettings(**SMALL), 33)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)))
def test_what_waits_together_is_one_batch_in_the_order_of_addresses(order: list[int]) -> None:
    batches: list[list[list[int]]] = []

    def sample(prompts: list[list[int]]) -> tuple[list[list[int]], None]:
        batches.append(prompts)
        return [[*prompt, 9] if prompt[0] else [1] for prompt in prompts], None

    model = TrainedModel(
        lambda some: [[int(one[0]["content"])] for one in some],
        sample,
        lambda ids: "".join(map(str, ids)),
        {9},
        50,
    )

    async def work() -> list[Any]:
        asked = [
            Request("p", Address(0, slot, "vary", 0), Prompt.user(str(slot)), Sampling(), 0) for slot in order
        ]
        return await asyncio.gather(*(model.generate(one) for one in asked))

    found = asyncio.run(work())
    assert batches == [[[slot] for slot in range(6)]]
    assert [one.text for one in found] == [f"{slot}9" if slot else "1" for slot in order]
    assert [one.finish_reason for one in found] == ["stop" if slot else "length" for slot in order]
    assert model.replies["p", Address(0, 3, "vary", 0)].completion_ids == [3, 9]


def test_a_trainer_that_fails_ends_the_run_with_its_own_error() -> None:
    def sample(_: list[list[int]]) -> Any:
        raise MemoryError("full")

    model = TrainedModel(lambda some: [[1] for _ in some], sample, str, set(), None)

    async def work() -> None:
        await model.generate(Request("p", Address(0, 0, "vary", 0), Prompt.user("x"), Sampling(), 0))

    with pytest.raises(BackendError, match="MemoryError"):
        asyncio.run(work())
    assert isinstance(model.failure, MemoryError)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("libraries")
def test_a_training_on_populations_resumes_exactly_and_leaves_its_last_step_as_a_run(
    locks: Path, tmp_path: Path
) -> None:
    from evolve_llm.train.training import train

    whole = train(locks, "fly", tmp_path / "whole", TrainSettings(**SMALL))
    with pytest.raises(Stopped):
        train(locks, "fly", tmp_path / "cut", TrainSettings(**SMALL), on_step=stop_after(2))
    resumed = train(locks, "fly", tmp_path / "cut", TrainSettings(**SMALL))
    assert (whole.out / "model.safetensors").read_bytes() == (resumed.out / "model.safetensors").read_bytes()
    assert [line["step"] for line in resumed.metrics] == [1, 2, 3]
    for line in whole.metrics:
        assert {"reward/standard", "reward/aggregation", "reward/end", "kl", "entropy/aggregation"} <= set(
            line
        )
    last = Run(whole.out / "populations")
    assert last.complete
    shapes = {(len(stored), len(stored[-1].members)) for _, stored in last.populations(texts=False)}
    assert (len(last.problems()), shapes) == (4, {(2, 3)})
    assert all(problem.reference is None for problem in last.problems())  # none is near the model


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("credit", ["lineage", "pool"])
def test_populations_make_a_better_fly(locks: Path, tmp_path: Path, credit: str) -> None:
    from evolve_llm.train.training import train

    sizes = {"prompts": 8, "rollouts": 4, "population": 4, "steps": 12, "learning_rate": 5e-4, "beta": 0.0}
    found = train(locks, "fly", tmp_path / "out", TrainSettings(**SMALL | sizes | {"credit": credit}))
    ends = [line["reward/end"] for line in found.metrics]
    assert sum(ends[-4:]) > sum(ends[:4])


@pytest.mark.usefixtures("libraries")
def test_what_populations_cannot_be_trained_with_is_refused(locks: Path, tmp_path: Path) -> None:
    from evolve_llm.train.training import train
    from evolve_llm.train.verl import write_verl

    chosen = TrainSettings(**SMALL)
    with pytest.raises(UserError, match="window"):  # the prompts of generation 1 are longer than 10 tokens
        train(locks, "fly", tmp_path / "c", TrainSettings(**SMALL, max_prompt_tokens=10))
    with pytest.raises(UserError, match="leave-one-out"):
        train(locks, "fly", tmp_path / "a", chosen, algorithm="grpo")
    with pytest.raises(UserError, match="--prompts is for populations"):
        train(locks, "fly", tmp_path / "a", TrainSettings(), prompts=tmp_path)
    with pytest.raises(UserError, match="leave generations out"):
        write_verl(locks, "fly", tmp_path / "b", chosen)
