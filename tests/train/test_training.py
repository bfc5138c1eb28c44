"""The fly is trained, killed, gone on with, loaded by the fly's backend, and used in a run."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from train_helpers import Stopped, stop_after

from evolve_llm import Run, evolve
from evolve_llm.nouns.errors import StoreError, UserError

if not os.environ.get("CI"):  # in CI a test of training without its libraries fails
    for library in ("trl", "peft", "gguf"):
        pytest.importorskip(library)

from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.formats import write
from evolve_llm.train.groups import Drawing
from evolve_llm.train.settings import TrainSettings
from evolve_llm.train.training import Trained, train

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = {"prompts": 4, "rollouts": 4, "steps": 4, "learning_rate": 1e-3, "save_every": 2}
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'evolve-llm'; from evolve_llm.cli.main import main; main()",
]


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set of single locks: a prompt of the fly is 8 tokens long, a reply 7."""
    folder = tmp_path_factory.mktemp("locks")
    run = evolve("locks?size=60&split=train&locks=1", "fly", "fly", generations=1, out=folder / "run")
    write(
        training_set(run.path, Recipe(Drawing((0,), (2,), "none"), test_share=0.0, model="fly")),
        folder / "set",
    )
    return folder / "set"


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_twenty_steps_of_rloo_killed_and_resumed_make_a_better_fly(locks: Path, tmp_path: Path) -> None:
    out = tmp_path / "trained"
    settings = ("prompts=32", "rollouts=8", "steps=20", "learning_rate=3e-4", "beta=0", "save_every=4")
    command = [*PROGRAM, "train", str(locks), "--model", "fly", "--out", str(out)]
    command += [part for one in settings for part in ("--set", one)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = out / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (metrics.is_file() and metrics.read_text().count("\n") >= 10):
        assert first.poll() is None, "the training ended before it was killed"
        assert time.monotonic() < deadline, "the training is too slow"
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (out / "model.safetensors").exists()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "step 8/20" not in again.stderr  # from the last whole checkpoint on
    assert f"use it: evolve-llm run --model fly:{out}" in again.stderr
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    rewards = [line["reward"] for line in lines]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.05
    for name in ("reward", "zero_variance", "tokens", "truncated", "ungraded", "entropy"):
        for kind in ("standard", "aggregation"):
            assert f"{name}/{kind}" in lines[0]
    assert lines[-1]["entropy/standard"] < lines[0]["entropy/standard"]
    assert not (out / "checkpoints").exists()
    before, after = (
        evolve("locks?size=60&seed=3&locks=1", "fly", model, generations=2, out=tmp_path / name)
        for name, model in (("before", "fly"), ("after", f"fly:{out}"))
    )
    start, end = (run.generations()[0].plain()["pass@1"] for run in (before, after))
    assert end > start + 0.05
    assert before.config["model"] != after.config["model"]


def test_a_resumed_training_equals_an_uninterrupted_one(locks: Path, tmp_path: Path) -> None:
    whole = train(locks, "fly", tmp_path / "whole", TrainSettings(**SMALL))
    with pytest.raises(Stopped):
        train(locks, "fly", tmp_path / "cut", TrainSettings(**SMALL), on_step=stop_after(3))
    resumed = train(locks, "fly", tmp_path / "cut", TrainSettings(**SMALL))
    assert weights(whole.out) == weights(resumed.out)
    told = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in one.metrics]
        for one in (whole, resumed)
    ]
    assert told[0] == told[1]
    assert (whole.out / "fly.gguf").read_bytes() == (resumed.out / "fly.gguf").read_bytes()
    steps: list[dict[str, Any]] = []
    done = train(locks, "fly", tmp_path / "cut", TrainSettings(**SMALL), on_step=steps.append)
    assert (steps, done.metrics) == ([], resumed.metrics)
    with pytest.raises(UserError, match=r"settings\.beta: the run has 0\.05, now it is 0\.2"):
        train(locks, "fly", tmp_path / "cut", TrainSettings(**SMALL, beta=0.2))


@pytest.fixture(scope="module")
def adapted(locks: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A fly with a LoRA adapter, trained by GRPO."""
    settings = TrainSettings(**SMALL | {"learning_rate": 5e-2}, lora=8)
    return train(locks, "fly", tmp_path_factory.mktemp("adapted") / "out", settings, algorithm="grpo")


def test_an_adapter_fits_its_base_and_the_fly_loads_it_merged(adapted: Trained, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evolve_llm.backends.fly import FOLDER
    from evolve_llm.backends.vllm.lora import read_adapter

    assert read_adapter(adapted.out, FOLDER).rank == 8
    config = json.loads((adapted.out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "fly"
    assert str(FOLDER) not in (adapted.out / "README.md").read_text()
    assert f"--model vllm:fly --set engine.lora={adapted.out}" in adapted.hints
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(FOLDER), str(adapted.out))
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    run = evolve("locks?size=12&seed=9", "fly", f"fly:{adapted.out}", generations=2, population=4, parents=2,
                 sampling={"temperature": 0.0}, out=tmp_path / "run")  # fmt: skip
    plain = evolve("locks?size=12&seed=9", "fly", "fly", generations=1, population=4, parents=2,
                   sampling={"temperature": 0.0}, out=tmp_path / "plain")  # fmt: skip
    texts = []
    for problem, stored in run.populations():
        ids = tokenizer(f"<{problem.question}>", return_tensors="pt")
        written = model.generate(**ids, max_new_tokens=40, do_sample=False)[0, ids["input_ids"].shape[1] :]
        texts.append(tokenizer.decode(written, skip_special_tokens=True))
        assert stored[0].members[0].text == texts[-1]  # llama.cpp and transformers, the same greedy chain
    assert texts != [
        stored[0].members[0].text for _, stored in plain.populations()
    ]  # it has learnt something


def test_a_training_goes_on_from_an_adapter(adapted: Trained, locks: Path, tmp_path: Path) -> None:
    settings = TrainSettings(**SMALL | {"steps": 2, "learning_rate": 1e-9})
    further = train(locks, "fly", tmp_path / "further", settings, adapter=adapted.out)
    assert further.metrics[0]["reward"] == pytest.approx(adapted.metrics[-1]["reward"], abs=0.5)
    names = ("adapter_model.safetensors", "adapter_config.json", "fly.gguf")
    assert all((further.out / name).is_file() for name in names)
    with pytest.raises(UserError, match="leave out lora"):
        train(locks, "fly", tmp_path / "no", TrainSettings(**SMALL, lora=4), adapter=adapted.out)


def test_a_full_disk_loses_nothing(locks: Path, tmp_path: Path) -> None:
    """No file may grow beyond two megabytes, and the weights have three: nothing can be saved, then all can."""
    out, settings = tmp_path / "out", TrainSettings(**SMALL)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(StoreError, match=r"Everything up to step 0 is safe. Free some space, and repeat"):
            train(locks, "fly", out, settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = train(locks, "fly", out, settings)
    assert weights(out) == weights(train(locks, "fly", tmp_path / "whole", settings).out)
    assert len(done.metrics) == 4


def test_a_disk_that_fills_up_at_the_end_loses_nothing(
    locks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolve_llm.train import result

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    settings = TrainSettings(**SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(result, "write_gguf", full)
        with pytest.raises(StoreError, match="The training is done and its checkpoints are whole"):
            train(locks, "fly", tmp_path / "out", settings)
    steps: list[dict[str, Any]] = []
    train(locks, "fly", tmp_path / "out", settings, on_step=steps.append)
    assert steps == []
    assert weights(tmp_path / "out") == weights(train(locks, "fly", tmp_path / "whole", settings).out)


def test_what_does_not_go_together_is_said_before_weights_are_loaded(
    locks: Path, words: Run, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is not a training set"):
        train(tmp_path, "fly", tmp_path / "out")
    write(training_set(words.path, Recipe(Drawing((0,), (3,)))), tmp_path / "words", ["jsonl"])
    with pytest.raises(UserError, match=r"\d+ of \d+ prompts are too long"):
        train(tmp_path / "words", "fly", tmp_path / "out", TrainSettings(max_tokens=500))
    with pytest.raises(UserError, match=r"120 of 120 prompts are too long, .* at most 6 leave room"):
        train(locks, "fly", tmp_path / "out", TrainSettings(max_prompt_tokens=6))
    assert not (tmp_path / "out").exists()
