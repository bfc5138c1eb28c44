"""The arms of the study, as PREREGISTRATION.md has them, and the reference's run that all candidates come from."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm import Run, evolve
from evolve_llm.backends.base import Backend
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.groups import Drawing
from evolve_llm.train.settings import TrainSettings

sys.path.insert(0, str(Path(__file__).parent.parent / "fruit_fly"))
from batched import batched_fly

TRAIN = "locks?size=400&seed=11&split=train"
TEST = "locks?size=200&seed=2026"
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to train. ``drawing`` is None for standard prompts alone."""

    drawing: Drawing | None

    def settings(self, seed: int, steps: int = 50) -> TrainSettings:
        """Equal for all arms but for the kinds of prompts."""
        return TrainSettings(
            prompts=12,
            rollouts=12,
            steps=steps,
            learning_rate=1e-4,
            beta=0.1,
            kinds="standard" if self.drawing is None else "both",
            seed=seed,
            save_every=25,
        )


ARMS = {
    "standard": Arm(None),
    "paper": Arm(Drawing((0,), (4,), "none")),
    "later": Arm(Drawing((0, 1, 2), (2, 4, 8), "mixed")),
}


def reference_run(runs: Path) -> Run:
    """The reference's run on the training problems. Where it is complete, several processes may read it."""
    out = runs / "reference-train"
    if (out / "run.json").is_file() and Run(out).complete:
        return Run(out)
    return evolve(TRAIN, "fly", batched_fly(), generations=3, seed=11, out=out)


def recipe_of(arm: Arm) -> Recipe:
    """How an arm's training set is made. The standard rows are the same in all."""
    return Recipe(arm.drawing or Drawing((0,), (4,), "none"), test_share=0.0, tests=(TEST,), seed=11)


def rows_of(run: Run, arm: Arm) -> list[dict[str, Any]]:
    """The plain training rows of an arm."""
    return [row.plain() for row in training_set(run.path, recipe_of(arm)).train]


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


class Crossed:
    """Generation 0 from one model, all later ones from another: what a trained model makes of the reference's start."""

    def __init__(self, first: Backend, then: Backend) -> None:
        self.first, self.then = first, then
        self.identity = f"crossed:{first.identity}+{then.identity}"
        self.capacity = then.capacity

    async def start(self) -> ModelInfo:
        """Load both."""
        await self.first.start()
        return await self.then.start()

    async def generate(self, request: Request) -> Completion:
        """Ask the model of the request's generation."""
        return await (self.then if request.address.generation else self.first).generate(request)

    async def count_tokens(self, prompt: Prompt) -> int:
        """The same for both."""
        return await self.then.count_tokens(prompt)

    async def close(self) -> None:
        """Close both."""
        await self.first.close()
        await self.then.close()
