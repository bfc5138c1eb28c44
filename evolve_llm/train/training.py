"""``train``: from a training set and a model to a trained model, in one resumable call."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.train import checkpoints
from evolve_llm.train.formats import read_card, read_rows
from evolve_llm.train.measuring import Metrics
from evolve_llm.train.models import (
    base_of,
    check_adapter,
    check_lengths,
    prompt_lengths,
    tokenizer_of,
    window_of,
)
from evolve_llm.train.rewards import Rewards
from evolve_llm.train.rows import problem_of
from evolve_llm.train.settings import Algorithm, TrainSettings


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: where it is, its metrics a step, and how to use the model."""

    out: Path
    metrics: list[dict[str, Any]]
    hints: tuple[str, ...]


def train(
    data: str | Path,
    model: str,
    out: str | Path,
    settings: TrainSettings | None = None,
    *,
    algorithm: Algorithm = "rloo",
    adapter: str | Path | None = None,
    prompts: str | Path | None = None,
    unsafe_local: bool = False,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a model on a training set. The same call goes on from the last checkpoint, or returns what is done.

    Args:
        data: A folder that ``evolve-llm train-data`` made.
        model: ``fly``, a folder with a model, or a name on the hub.
        out: The folder of the training.
        settings: How to train.
        algorithm: ``rloo`` or ``grpo``.
        adapter: A LoRA adapter of the model to go on from.
        prompts: The folder of templates that the run of the training set was given, if any. Populations are
            evolved with them.
        unsafe_local: Whether to grade without a sandbox if none is available.
        on_step: Called with the metrics of each step.

    Raises:
        UserError: The data, the model, the adapter and the settings do not go together, or ``out`` holds
            something else.
        SandboxUnavailable: The graders need a sandbox that cannot be had.
        StoreError: The disk is full. What was done stays.
    """
    chosen = settings or TrainSettings()
    place = Path(data)
    card, rows = read_card(place), read_rows(place)
    if not rows:
        raise UserError(
            f"the training set {place} has no training rows; make it again with evolve-llm train-data"
        )
    base = base_of(model)
    given = None if adapter is None else Path(adapter)
    if given is not None:
        if chosen.lora is not None:
            raise UserError("--adapter goes on from an adapter, whose rank it has; leave out lora")
        check_adapter(given, base)
    tokenizer = tokenizer_of(base)
    max_tokens = chosen.max_tokens or int(card["settings"]["max_tokens"])
    evolved = None
    if chosen.generations is not None:
        from evolve_llm.train.populations.preset import preset_of

        if algorithm != "rloo":
            raise UserError(
                f"populations are credited by leave-one-out; --algorithm {algorithm} has no use for generations"
            )
        rows = [row for row in rows if row["kind"] == "standard"]  # one a problem
        evolved = preset_of(card, chosen, max_tokens)
    elif prompts is not None:
        raise UserError("--prompts is for populations; the prompts of the training set are written already")
    check_lengths(
        prompt_lengths(tokenizer, rows), rows, max_tokens, window_of(base), chosen.max_prompt_tokens
    )
    described = _described(place, model, given, chosen, algorithm, max_tokens)
    if evolved is not None:
        described["preset"] = evolved.plain()
    target = Path(out)
    with Rewards(chosen.reward, workers=_workers(), unsafe_local=unsafe_local) as rewards:
        rewards.require([problem_of(row) for row in rows])
        done = checkpoints.open_training(target, described)
        if not done:
            from evolve_llm.train.learning import Job, learn
            from evolve_llm.train.result import save

            populations = None
            if evolved is not None:
                from evolve_llm.train.populations.rollout import Populations

                populations = Populations(evolved, chosen, target, None if prompts is None else Path(prompts))
            job = Job(rows, base, tokenizer, chosen, algorithm, max_tokens, target, given, populations)
            trainer = learn(job, rewards, on_step)
            save(trainer, tokenizer, base, target)
            checkpoints.describe(target, described, done=True)
            checkpoints.remove_all(target)
    adapted = chosen.lora is not None or given is not None
    return Trained(
        target, Metrics(target).read(), hints(target, base.given, base.gguf is not None, adapted=adapted)
    )


def hints(out: Path, base: str, fly: bool, *, adapted: bool) -> tuple[str, ...]:
    """How a run uses what was trained, an option a line."""
    whole = f"--model vllm:{base} --set engine.lora={out}" if adapted else f"--model vllm:{out}"
    return (f"--model fly:{out}", whole) if fly else (whole,)


def _described(
    data: Path, model: str, adapter: Path | None, settings: TrainSettings, algorithm: str, max_tokens: int
) -> dict[str, Any]:
    """What the weights depend on: a folder belongs to exactly one of these."""
    digest = hashlib.sha256((data / "data" / "train.jsonl").read_bytes()).hexdigest()
    return {
        "algorithm": algorithm,
        "model": model,
        "adapter": None if adapter is None else str(adapter),
        "data": digest,
        "run": read_card(data)["run"]["run"],
        "max_tokens": max_tokens,
        "settings": settings.described(),
    }


def _workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
