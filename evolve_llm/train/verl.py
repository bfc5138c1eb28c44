"""A training on a cluster: the command for verl, written from the same settings, and the files it needs."""

from __future__ import annotations

import shlex
from pathlib import Path

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.train.formats import read_card
from evolve_llm.train.settings import TrainSettings

SCRIPT, REWARD = "train.sh", "reward.py"

_VERSION = """python3 -c '
from importlib.metadata import version
found = version("verl")
if found.split(".")[:2] not in (["0", "4"], ["0", "5"], ["0", "6"]):
    raise SystemExit(f"this command is for verl 0.4 to 0.6, which grade a batch at once; this is verl {found}")
' || exit 1"""


def write_verl(data: Path, model: str, out: Path, settings: TrainSettings) -> str:
    """Write ``train.sh`` and ``reward.py`` to a new folder, and return the command.

    It is written for ``verl.trainer.main_ppo`` with ``custom_reward_function`` and the batch reward manager (verl 0.4
    to 0.6; later ones grade each reply alone, and the script ends at once with them). Raises UserError where the data
    were not written for verl, the settings are none for it, or the folder holds something else, and StoreError where
    it cannot be written.
    """
    if settings.generations is not None:
        raise UserError("populations are trained by TRL; for verl leave generations out")
    card = read_card(data)
    if not (data / "verl" / "train.parquet").is_file():
        raise UserError(
            f"{data} has no verl/train.parquet; make it with evolve-llm train-data --format jsonl,verl"
        )
    if out.exists() and (not out.is_dir() or any(one.name not in (SCRIPT, REWARD) for one in out.iterdir())):
        raise UserError(f"{out} is not empty; give another --out")
    text = script(
        data.resolve(), model, out.resolve(), settings, settings.max_tokens or card["settings"]["max_tokens"]
    )
    reward = (
        '"""The reward function of this training, for verl."""\n\n'
        'from evolve_llm.train.verl_reward import compute_score\n\n__all__ = ["compute_score"]\n'
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    write_whole(out / SCRIPT, text)
    write_whole(out / REWARD, reward)
    return text


def script(data: Path, model: str, out: Path, settings: TrainSettings, max_tokens: int) -> str:
    """The shell script. Rows are not shuffled: they come in turn, so every batch is half standard prompts."""
    test = data / "verl" / "test.parquet"
    prompt = settings.max_prompt_tokens or 4 * max_tokens + 1024
    arguments = {
        "algorithm.adv_estimator": "rloo",
        "algorithm.use_kl_in_reward": str(settings.beta > 0),
        "algorithm.kl_ctrl.kl_coef": settings.beta,
        "data.train_files": data / "verl" / "train.parquet",
        "data.val_files": test if test.is_file() else data / "verl" / "train.parquet",
        "data.shuffle": "False",
        "data.train_batch_size": settings.prompts,
        "data.max_prompt_length": prompt,
        "data.max_response_length": max_tokens,
        "data.truncation": "error",
        "custom_reward_function.path": out / REWARD,
        "custom_reward_function.name": "compute_score",
        "reward_model.reward_manager": "batch",
        "actor_rollout_ref.model.path": model.removeprefix("vllm:"),
        "actor_rollout_ref.model.use_remove_padding": "True",
        "actor_rollout_ref.model.enable_gradient_checkpointing": "True",
        "actor_rollout_ref.actor.optim.lr": settings.learning_rate,
        "actor_rollout_ref.actor.optim.lr_warmup_steps": settings.warmup,
        "actor_rollout_ref.actor.use_kl_loss": "False",
        "actor_rollout_ref.actor.ppo_mini_batch_size": settings.prompts,
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 2,
        "actor_rollout_ref.actor.ulysses_sequence_parallel_size": 4,
        "actor_rollout_ref.rollout.name": "vllm",
        "actor_rollout_ref.rollout.n": settings.rollouts,
        "actor_rollout_ref.rollout.temperature": settings.temperature,
        "actor_rollout_ref.rollout.gpu_memory_utilization": 0.5,
        "actor_rollout_ref.rollout.max_num_batched_tokens": prompt + max_tokens,
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 4,
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": 4,
        "trainer.total_training_steps": settings.steps,
        "trainer.total_epochs": settings.steps,  # whichever comes first
        "trainer.save_freq": settings.save_every,
        "trainer.test_freq": -1,
        "trainer.val_before_train": "False",
        "trainer.critic_warmup": 0,
        "trainer.logger": '["console"]',
        "trainer.project_name": "evolve-llm",
        "trainer.experiment_name": out.name,
        "trainer.default_local_dir": out / "checkpoints",
    }
    if settings.lora is not None:
        arguments |= {
            "actor_rollout_ref.model.lora_rank": settings.lora,
            "actor_rollout_ref.model.lora_alpha": settings.lora_alpha or 2 * settings.lora,
            "actor_rollout_ref.model.target_modules": "all-linear",
            "actor_rollout_ref.rollout.load_format": "safetensors",  # vLLM's base; verl asks for it with LoRA
        }
    lines = [f"    {shlex.quote(f'{key}={value}')} \\" for key, value in arguments.items()]
    return "\n".join(
        [
            "#!/bin/sh",
            "# Made by evolve-llm train --algorithm verl. Needs verl, transformers<5 and evolve-llm on every node.",
            "# N_GPUS (a node) and N_NODES say where it runs.",
            _VERSION,
            "python3 -m verl.trainer.main_ppo \\",
            *lines,
            '    trainer.n_gpus_per_node="${N_GPUS:-8}" \\',
            '    trainer.nnodes="${N_NODES:-1}" "$@"',
            "",
        ]
    )
