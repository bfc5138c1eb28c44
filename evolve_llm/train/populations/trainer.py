"""TRL's GRPOTrainer, whose replies are the chains of populations and whose advantages are ours."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.train.populations.rollout import Populations
from evolve_llm.train.populations.sampler import Ids, TrainedModel

if TYPE_CHECKING:
    from evolve_llm.train.learning import Watched


def evolving(
    trainer_class: Any, populations: Populations, watched: Watched
) -> tuple[Any, Callable[..., list[float | None]], dict[str, Any]]:
    """A trainer class, its reward function, and the further arguments it is made with."""
    import torch

    class Evolving(trainer_class):  # type: ignore[misc]
        rows: Sequence[dict[str, Any]] = ()

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            if self.accelerator.num_processes > 1:
                raise UserError(
                    "populations are trained in one process; train on the prompts of a training set for more"
                )
            self.rows = inputs
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
            ours = torch.tensor(populations.advantages(), dtype=output["advantages"].dtype)
            output["advantages"] = ours.to(output["advantages"].device)
            if populations.end is not None:
                watched.further["reward/end"] = populations.end
            return output

    def rollout(_: list[Any], trainer: Any) -> dict[str, Any]:
        model = model_of(trainer, watched.ends, populations.longest)
        return populations.rollout(trainer.rows, model, trainer.state.global_step)

    def reward(completions: list[Any], completion_ids: list[Ids], **columns: Any) -> list[float | None]:
        return populations.reward(
            watched.reward, {**columns, "completions": completions, "completion_ids": completion_ids}
        )

    return Evolving, reward, {"rollout_func": rollout}


@contextlib.contextmanager
def made_quietly() -> Iterator[None]:
    """Make the trainer without TRL's warnings: that ``rollout_func`` may change, which tests/train would tell, and
    that the loss is not all that a paper has, which is so because it is RLOO's."""
    logger = logging.getLogger("trl.trainer.grpo_trainer")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
            yield
    finally:
        logger.setLevel(level)


def model_of(trainer: Any, ends: set[int], longest: int | None) -> TrainedModel:
    """The model of a trainer as a backend; it samples as the trainer would, by vLLM where that is set up.

    ``longest`` is the most tokens of a prompt and its reply, where that is less than the model's window.
    """

    def tokenize(conversations: list[list[dict[str, str]]]) -> list[Ids]:
        ids, _, _ = trainer._tokenize_prompts(conversations)
        return [list(map(int, one)) for one in ids]

    def sample(prompts: list[Ids]) -> tuple[list[Ids], list[list[float]] | None]:
        found, logprobs = trainer._generate_single_turn(prompts, None, {}, 1)
        return [list(map(int, one)) for one in found], logprobs

    def decode(ids: Ids) -> str:
        return str(trainer.processing_class.decode(ids, skip_special_tokens=True))

    limits = [one for one in (getattr(trainer.model.config, "max_position_embeddings", None), longest) if one]
    return TrainedModel(tokenize, sample, decode, ends, min(map(int, limits), default=None))
