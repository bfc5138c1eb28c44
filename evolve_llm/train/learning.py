"""TRL's RLOO and GRPO on a training set: exact halves, our rewards, metrics by kind, whole checkpoints.

Everything that imports torch, transformers, trl or peft is in here, inside functions: they are loaded when a training
begins.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.train import checkpoints
from evolve_llm.train.measuring import Metrics, Reply, by_kind
from evolve_llm.train.models import HINT, Base
from evolve_llm.train.ordering import KINDS, in_turn
from evolve_llm.train.populations.rollout import Populations
from evolve_llm.train.rewards import Rewards
from evolve_llm.train.settings import Algorithm, TrainSettings

COLUMNS = ("kind", "problem", "question", "format", "grader", "reference", "metadata")
"""What a reward is computed from, beside the reply."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training. ``rows`` are plain rows, ``max_tokens`` the longest reply, ``populations`` what evolves in a step
    where that is what is trained on."""

    rows: Sequence[dict[str, Any]]
    base: Base
    tokenizer: Any
    settings: TrainSettings
    algorithm: Algorithm
    max_tokens: int
    out: Path
    adapter: Path | None = None
    populations: Populations | None = None


def learn(job: Job, rewards: Rewards, on_step: Callable[[dict[str, Any]], None] | None = None) -> Any:
    """Train, from the last whole checkpoint on where there is one, and return TRL's trainer with the trained model.

    ``on_step`` is given the metrics of each step.

    Raises:
        UserError: trl or peft is missing, or there is not enough memory for what was asked.
        StoreError: The disk is full; the checkpoints before are whole.
    """
    try:
        import torch
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise UserError(f"training needs torch, transformers, trl and peft: {HINT}") from error
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    metrics = Metrics(job.out)
    checkpoint, step = checkpoints.latest(job.out)
    metrics.begin(step)
    trainer = trainer_of(job, rewards, metrics, on_step)
    try:
        with _known(checkpoint):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
    except StoreError:
        raise
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU has not enough memory for {job.settings.replies_at_once or job.settings.replies} replies at "
            "once; repeat the command with a smaller replies_at_once, or with lora=16"
        ) from error
    except Exception as error:
        said = checkpoints.written(error)
        if said is None:
            raise
        _, safe = checkpoints.latest(job.out)
        raise StoreError(
            f"cannot write to {job.out}: {said}. Everything up to step {safe} is safe. Free some space, and repeat the "
            "command to go on"
        ) from error
    return trainer


def _known(checkpoint: Path | None) -> Any:
    """Our checkpoints hold the states of random generators, which torch reads only where it is told to."""
    if checkpoint is None:
        return nullcontext()
    import numpy as np
    import torch

    kinds = [np.ndarray, np.dtype, type(np.dtype(np.uint32)), np._core.multiarray._reconstruct]  # type: ignore[attr-defined]
    return torch.serialization.safe_globals(kinds)


def trainer_of(
    job: Job, rewards: Rewards, metrics: Metrics, on_step: Callable[[dict[str, Any]], None] | None
) -> Any:
    """TRL's trainer for a job, ready to train. Raises UserError where trl or peft is missing."""
    import datasets
    from transformers import AutoModelForCausalLM, PrinterCallback, ProgressCallback

    try:
        with warnings.catch_warnings():
            if job.settings.vllm is None:
                warnings.simplefilter("ignore")  # which vLLM it supports is told even where none is used
            import peft
            import trl

            kinds = {"rloo": (trl.RLOOTrainer, trl.RLOOConfig), "grpo": (trl.GRPOTrainer, trl.GRPOConfig)}
            if (
                job.populations is not None
            ):  # only this one takes a function that samples; its loss is made RLOO's
                kinds["rloo"] = kinds["grpo"]
    except ImportError as error:
        raise UserError(f"training needs trl and peft: {HINT}") from error
    settings = job.settings
    wanted = KINDS if settings.kinds == "both" else (settings.kinds,)
    if job.populations is not None:
        wanted = ("standard",)  # one row a problem
    kinds_of_rows = [row["kind"] for row in job.rows]
    order = in_turn(kinds_of_rows, settings.prompts, settings.steps, settings.seed, wanted)
    table = datasets.Dataset.from_list([_shown(row) for row in job.rows]).select(order)
    model = AutoModelForCausalLM.from_pretrained(job.base.place, dtype="auto")
    lora = None
    if job.adapter is not None:
        model = peft.PeftModel.from_pretrained(model, str(job.adapter), is_trainable=True)
        model.peft_config[
            "default"
        ].base_model_name_or_path = job.base.place  # it may have been trained elsewhere
    elif settings.lora is not None:
        lora = peft.LoraConfig(
            r=settings.lora,
            lora_alpha=settings.lora_alpha or 2 * settings.lora,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    trainer_class, config_class = kinds[job.algorithm]
    watched = Watched(rewards, settings.rollouts, set(_ends(model, job.tokenizer)))
    trainer_class = _by_kind(trainer_class, watched)
    further: dict[str, Any] = {}
    reward: Callable[..., list[float | None]] = watched.reward
    if job.populations is not None:
        from evolve_llm.train.populations.trainer import evolving, made_quietly

        trainer_class, reward, further = evolving(trainer_class, job.populations, watched)
    with nullcontext() if job.populations is None else made_quietly():
        trainer = trainer_class(
            model=model,
            reward_funcs=reward,
            args=config_class(**_arguments(job)),
            train_dataset=table,
            processing_class=job.tokenizer,
            peft_config=lora,
            **further,
        )
    trainer.add_callback(_callback(job, metrics, watched, on_step))
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that the trainer hands on. The reference goes to the reward alone: the prompt holds none."""
    return {"prompt": row["prompt"], **{name: row[name] for name in COLUMNS}}


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a reply."""
    found = model.generation_config.eos_token_id
    listed = [found] if isinstance(found, int) else list(found or [])
    return [one for one in {*listed, tokenizer.eos_token_id} if one is not None]


def _arguments(job: Job) -> dict[str, Any]:
    """The arguments of TRL's configuration."""
    import torch

    settings = job.settings
    gpu = torch.cuda.is_available()
    at_once = settings.replies_at_once or settings.replies
    arguments: dict[str, Any] = {
        "output_dir": str(job.out / checkpoints.FOLDER),
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": settings.replies // at_once,
        "num_generations": settings.replies_each,
        "max_steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if settings.warmup else "constant",
        "warmup_steps": settings.warmup,
        "beta": settings.beta,
        "temperature": settings.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "max_completion_length": job.max_tokens,
        "shuffle_dataset": False,  # the rows come in the order of `in_turn`
        "remove_unused_columns": False,
        "disable_dropout": True,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": checkpoints.KEPT,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "report_to": "none",
        "use_cpu": not gpu,
        "bf16": gpu if settings.bf16 is None else settings.bf16,
        "gradient_checkpointing": gpu,
        "disable_tqdm": True,
    }
    if job.populations is not None:
        arguments |= {"loss_type": "luspo", "scale_rewards": "none"}  # a reply's sum over tokens, as in RLOO
    if settings.vllm == "colocate":
        arguments |= {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": settings.vllm_memory,
        }
    elif settings.vllm is not None:
        arguments |= {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": settings.vllm}
    return arguments


class Watched:
    """The reward function that TRL calls, which keeps what the metrics by kind need of the step's replies.

    ``ends`` are the tokens that end a reply: one that ends otherwise was truncated.
    """

    def __init__(self, rewards: Rewards, rollouts: int, ends: set[int]) -> None:
        self.rewards = rewards
        self.rollouts = rollouts
        self.ends = ends
        self.replies: list[Reply] = []
        self.entropies: dict[str, list[float]] = {}
        self.further: dict[str, float] = {}

    def reward(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], **columns: Any
    ) -> list[float | None]:
        """The rewards of replies, one for each. Their groups are told by a column, or are of ``rollouts`` in turn."""
        texts = [one if isinstance(one, str) else one[-1]["content"] for one in completions]
        rows = [{name: columns[name][place] for name in COLUMNS} for place in range(len(texts))]
        verdicts: list[Verdict] = self.rewards.verdicts(rows, texts)
        values = self.rewards.values(verdicts)
        groups = columns.get("group") or [str(place // self.rollouts) for place in range(len(texts))]
        for row, value, ids, group in zip(rows, values, completion_ids, groups, strict=True):
            cut = not ids or ids[-1] not in self.ends
            self.replies.append(Reply(row["kind"], value, len(ids), cut, group))
        return values

    def entropy(self, kind: str, values: Sequence[float]) -> None:
        """Count the entropies (in nats a token) of replies of a kind."""
        self.entropies.setdefault(kind, []).extend(values)

    def measured(self) -> dict[str, float]:
        """The metrics of what was seen since the last call."""
        found = by_kind(self.replies) | self.further
        found |= {f"entropy/{kind}": sum(some) / len(some) for kind, some in self.entropies.items() if some}
        self.replies, self.entropies, self.further = [], {}, {}
        return found


def _by_kind(trainer_class: Any, watched: Watched) -> Any:
    """A trainer of TRL that also tells the entropy of replies by the kind of their prompt."""
    import torch

    class ByKind(trainer_class):  # type: ignore[misc]
        _entropies: Any = None

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
            kinds = [one["kind"] == "aggregation" for one in inputs]
            output["aggregation"] = torch.tensor(kinds, device=output["completion_ids"].device)
            return output

        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
            self._entropies = found[1]
            return found

        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            loss = super()._compute_loss(model, inputs)
            if self._entropies is not None:
                mask = inputs["completion_mask"] * inputs.get(
                    "tool_mask", 1
                )  # rows that only fill up have no tokens
                tokens = mask.sum(1)
                mean = (self._entropies.detach() * mask).sum(1) / tokens.clamp(min=1)
                for kind, wanted in (("standard", False), ("aggregation", True)):
                    watched.entropy(kind, mean[(inputs["aggregation"] == wanted) & (tokens > 0)].tolist())
            return loss

    return ByKind


def _callback(
    job: Job, metrics: Metrics, watched: Watched, on_step: Callable[[dict[str, Any]], None] | None
) -> Any:
    from transformers import TrainerCallback

    class Kept(TrainerCallback):  # type: ignore[misc]
        """Writes a line of metrics a step, and marks checkpoints that are whole."""

        def __init__(self) -> None:
            self.began = time.monotonic()

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
            if "loss" not in logs:
                return  # the summary at the end
            names = ("loss", "reward", "entropy", "kl", "grad_norm", "learning_rate")
            line = {
                "step": state.global_step,
                **{name: logs[name] for name in names if logs.get(name) is not None},
            }
            line |= watched.measured()
            line["seconds"] = round(time.monotonic() - self.began, 3)
            metrics.add(line)
            if on_step is not None:
                on_step(line)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            checkpoints.mark(job.out, state.global_step)

    return Kept()
