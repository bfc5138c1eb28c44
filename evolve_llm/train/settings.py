"""How to train: the settings, and the recipes that ship."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from evolve_llm.backends.options import Options
from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError
from evolve_llm.train.populations.credit import Credit

Algorithm = Literal["rloo", "grpo", "verl"]


class TrainSettings(Options):
    """Settings of a training, besides its data, its model and where it goes. A step is one update of the weights."""

    prompts: int = Field(
        default=32,
        ge=1,
        description="prompts of a step, half of them standard, so an even number; with `generations`, its problems",
    )
    kinds: Literal["both", "standard", "aggregation"] = Field(
        default="both", description="both: half and half; one of them alone is a control"
    )
    rollouts: int = Field(
        default=8, ge=2, description="replies to each prompt; with `generations`, populations of each problem"
    )
    generations: int | None = Field(
        default=None,
        ge=2,
        description="evolve populations of so many generations in every step; none: the prompts of the training set",
    )
    population: int = Field(default=8, ge=2, description="chains of a population")
    parents: int | None = Field(default=None, ge=1, description="parents of a chain (K); none: the run's")
    credit: Credit = Field(
        default="lineage",
        description="what a chain is rewarded for: `lineage`, the last members that descend from it; `population`, "
        "all of them; `pool`, itself, and in generation 0 the best of `pass_k`",
    )
    pass_k: int | None = Field(default=None, ge=1, description="k of pass@k for `credit=pool`; none: K")
    steps: int = Field(default=100, ge=1, description="updates of the weights")
    learning_rate: float = Field(default=1e-5, gt=0, description="constant, after `warmup` steps")
    warmup: int = Field(default=0, ge=0, description="steps in which the learning rate grows")
    beta: float = Field(
        default=0.05, ge=0, description="weight of the KL divergence from the model before training"
    )
    temperature: float = Field(default=1.0, gt=0, description="of the replies")
    max_tokens: int | None = Field(default=None, ge=1, description="longest reply; none: the run's")
    max_prompt_tokens: int | None = Field(
        default=None, ge=1, description="longest prompt; none: the window's rest"
    )
    reward: Literal["correct", "score"] = Field(
        default="correct", description="correct: 1 or 0; score: the grader's partial credit where it has one"
    )
    lora: int | None = Field(default=None, ge=1, description="rank of a LoRA adapter; none: all weights")
    lora_alpha: int | None = Field(default=None, ge=1, description="its scale; none: twice the rank")
    replies_at_once: int | None = Field(
        default=None, ge=1, description="replies in memory for one gradient; none: all of a step"
    )
    save_every: int = Field(default=10, ge=1, description="steps between checkpoints, of which two are kept")
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="of the order of rows, the replies and LoRA's start"
    )
    vllm: str | None = Field(
        default=None,
        description="colocate, or the URL of `trl vllm-serve`; none: transformers writes the replies",
    )
    vllm_memory: float = Field(default=0.3, gt=0, lt=1, description="share of the GPU for vLLM, colocated")
    bf16: bool | None = Field(default=None, description="half precision; none: where there is a GPU")

    @model_validator(mode="after")
    def _halves(self) -> TrainSettings:
        if self.generations is None:
            set_ = sorted(self.model_fields_set & {"population", "parents", "credit", "pass_k"})
            if set_:
                raise ValueError(f"{set_[0]} is a setting of populations; write generations=2 (or 3) too")
            if self.prompts % 2 and self.kinds == "both":
                raise ValueError(
                    f"prompts must be even, half of them are standard prompts; got {self.prompts}"
                )
        elif self.kinds != "both":
            raise ValueError("kinds chooses rows of the training set, and populations make their own prompts")
        elif self.pass_k is not None and self.credit != "pool":
            raise ValueError("pass_k is the k of pass@k; write credit=pool too")
        elif self.pass_k is not None and self.pass_k >= (pool := self.population * self.rollouts):
            raise ValueError(f"pass_k must be below the {pool} chains of a problem's pool, got {self.pass_k}")
        at_once = self.replies_at_once
        if at_once is not None and self.replies % at_once:
            raise ValueError(
                f"replies_at_once must divide the {self.replies} replies of a step, got {at_once}"
            )
        if self.lora_alpha is not None and self.lora is None:
            raise ValueError("lora_alpha is the scale of an adapter; write lora=RANK too")
        return self

    @property
    def replies(self) -> int:
        """Replies of a step."""
        return self.prompts * self.replies_each

    @property
    def replies_each(self) -> int:
        """Replies of a step to one prompt, or for one problem."""
        return self.rollouts * (self.population * self.generations if self.generations else 1)

    def described(self) -> dict[str, Any]:
        """The settings that the trained weights depend on."""
        left_out = {"replies_at_once", "save_every", "vllm", "vllm_memory"}
        if self.generations is None:
            left_out |= {"generations", "population", "parents", "credit", "pass_k"}
        return self.model_dump(exclude=left_out)


def recipes() -> dict[str, dict[str, Any]]:
    """The recipes that ship, by name: their settings, with a ``description`` and a ``source``."""
    folder = files("evolve_llm.train") / "recipes"
    found = [tomllib.loads(one.read_text("utf-8")) for one in folder.iterdir() if one.name.endswith(".toml")]
    return {one["name"]: one for one in sorted(found, key=lambda one: str(one["name"]))}


def train_settings(recipe: str | None = None, changes: Mapping[str, Any] | None = None) -> TrainSettings:
    """The settings of a recipe (a name, or the path of a TOML file; None for the defaults) with some changed.

    Raises UserError for an unknown recipe, and for unknown or impossible settings.
    """
    given: dict[str, Any] = {}
    if recipe is not None:
        known = recipes()
        if recipe.endswith(".toml"):
            try:
                given = tomllib.loads(Path(recipe).read_text("utf-8"))
            except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"the recipe {recipe} cannot be read: {error}") from error
        elif recipe in known:
            given = dict(known[recipe])
        else:
            hint = did_you_mean(recipe, known)
            raise UserError(
                f"unknown recipe {recipe!r}.{hint} Available: {', '.join(known)}. You can also give the path of a "
                ".toml file"
            )
        for name in ("name", "description", "source"):
            given.pop(name, None)
    try:
        return TrainSettings.model_validate({**given, **(changes or {})})
    except ValidationError as error:
        raise UserError("; ".join(map(_told, error.errors(include_url=False)))) from None


def _told(fault: Mapping[str, Any]) -> str:
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(name, TrainSettings.model_fields)
        return f"there is no setting {name!r} of a training.{hint} Settings: {', '.join(TrainSettings.model_fields)}"
    said = fault["msg"].removeprefix("Value error, ")
    return f"the setting {name}: {said}, got {fault['input']!r}" if name else said
