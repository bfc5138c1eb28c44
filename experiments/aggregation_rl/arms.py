"""The flies and the arms of the study, and the reference's run that all candidates come from.

PREREGISTRATION.md has those of the fly, and PREREGISTRATION_HARD.md those of the harder fly.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm_problems.locks import LAZINESS

from evolve_llm import Run, evolve
from evolve_llm.backends.base import Backend
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.formats import write
from evolve_llm.train.groups import Drawing
from evolve_llm.train.settings import TrainSettings
from evolve_llm.train.training import train

sys.path.insert(0, str(Path(__file__).parent.parent / "fruit_fly"))
from batched import batched_fly

RESULTS = Path(__file__).parent / "results"
MODELS = Path(__file__).parents[2] / "evolve_llm" / "models"
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a sweep decides. ``steps`` are updates of the weights."""

    learning_rate: float = 1e-4
    beta: float = 0.1
    steps: int = 50


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to train. ``drawing`` is None for standard prompts alone.

    ``evolved`` are the settings of populations that the model evolves itself, with as many chains a step.
    """

    drawing: Drawing | None
    evolved: dict[str, Any] | None = None

    def settings(self, seed: int, tuning: Tuning = Tuning()) -> TrainSettings:
        """Equal for all arms but for what is sampled in a step: 144 chains in all."""
        sampled: dict[str, Any] = {"prompts": 12, "rollouts": 12}
        if self.evolved is not None:
            sampled = {"population": 6, "parents": 4, "rollouts": 2, **self.evolved}
        elif self.drawing is None:
            sampled["kinds"] = "standard"
        return TrainSettings(
            **sampled,
            steps=tuning.steps,
            learning_rate=tuning.learning_rate,
            beta=tuning.beta,
            seed=seed,
            save_every=25,
        )


ARMS = {
    "standard": Arm(None),
    "paper": Arm(Drawing((0,), (4,), "none")),
    "later": Arm(Drawing((0, 1, 2), (2, 4, 8), "mixed")),
    "paragator": Arm(None, {"generations": 2, "prompts": 6, "credit": "pool"}),
    "population": Arm(None, {"generations": 3, "prompts": 3, "population": 8, "credit": "lineage"}),
}


@dataclass(frozen=True, slots=True)
class Fly:
    """A model that ships, its problems, and who is trained. ``sweep`` are training problems that decide the recipe.

    ``laziness`` is the share of locks that the hint opens, which the problems are asked for too.
    """

    name: str
    laziness: float
    train: str
    test: str
    sweep: str | None = None
    arms: tuple[str, ...] = ("standard", "paper", "later")

    @property
    def weights(self) -> Path:
        """Before any training."""
        return MODELS / self.name / "model.safetensors"

    @property
    def results(self) -> Path:
        """Where its figures are kept."""
        return RESULTS / self.name

    def runs(self, folder: Path) -> Path:
        """Where its trainings and runs lie: those of the fly directly in the folder."""
        return folder if self.name == "fly" else folder / self.name

    def recipe(self, arm: Arm) -> Recipe:
        """How an arm's training set is made. The standard rows are the same in all."""
        tests = (self.test,) if self.sweep is None else (self.test, self.sweep)
        return Recipe(arm.drawing or Drawing((0,), (4,), "none"), test_share=0.0, tests=tests, seed=11)

    def tuning(self) -> Tuning:
        """What its sweep chose, or the fixed settings of the fly. Raises FileNotFoundError before the sweep."""
        if self.sweep is None:
            return Tuning()
        return Tuning(**json.loads((self.results / "sweep.json").read_text("utf-8"))["chosen"])


FLIES = {
    "fly": Fly("fly", LAZINESS, "locks?size=400&seed=11&split=train", "locks?size=200&seed=2026"),
    "fly-hard": Fly(
        "fly-hard",
        0.5,
        "locks?size=400&seed=11&split=train&laziness=0.5",
        "locks?size=200&seed=2026&laziness=0.5",
        "locks?size=120&seed=14&split=train&laziness=0.5",
        tuple(ARMS),
    ),
}


def reference_run(fly: Fly, runs: Path) -> Run:
    """The reference's run on the training problems. Where it is complete, several processes may read it."""
    out = runs / "reference-train"
    if (out / "run.json").is_file() and Run(out).complete:
        return Run(out)
    return evolve(fly.train, "fly", batched_fly(fly.weights), generations=3, seed=11, out=out)


def set_of(fly: Fly, runs: Path, name: str) -> Path:
    """The folder of an arm's training set. Where it is made, several processes may read it."""
    data = runs / f"set-{name}"
    if not (data / "card.json").is_file():
        write(training_set(reference_run(fly, runs).path, fly.recipe(ARMS[name])), data, ["jsonl"])
    return data


def trained(fly: Fly, runs: Path, name: str, out: Path, settings: TrainSettings) -> Path:
    """The folder of an arm's training, done or gone on with."""
    train(set_of(fly, runs, name), fly.name, out, settings)
    return out


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
