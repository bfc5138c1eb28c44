"""The preset that a training's populations are evolved with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.preset import Preset
from evolve_llm.train.settings import TrainSettings


def preset_of(card: Mapping[str, Any], settings: TrainSettings, max_tokens: int) -> Preset:
    """The preset of a training set's run, with the sizes and the sampling of a training.

    Raises UserError where the set is of a version that did not keep it, where the preset wants references, or where the
    sizes do not fit.
    """
    if "preset" not in card:
        raise UserError(
            "the training set does not say with which preset its run was made, as those of earlier versions; make it "
            "again with evolve-llm train-data to train on populations"
        )
    changes: dict[str, Any] = {
        "population": settings.population,
        "generations": settings.generations,
        "offspring": None,
        "initial": None,
        "truncate": None,
        "sampling.temperature": settings.temperature,
        "sampling.top_p": 1.0,
        "sampling.top_k": None,
        "sampling.min_p": None,
        "sampling.stop": (),
        "sampling.max_tokens": max_tokens,
        "finish": "random",  # the last generation is what counts; nobody is asked for a last word
        "stop": [],
    }
    if settings.parents is not None:
        changes["parents"] = settings.parents
    return Preset.from_plain(card["preset"], "the preset of the training set").override(changes)
