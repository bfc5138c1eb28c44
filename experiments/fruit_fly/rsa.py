"""Recursive self-aggregation in batches, for training and evaluation (the engine itself is in evolve_llm)."""

from __future__ import annotations

import numpy as np
import torch
from bundles import SLOT, Array, Generator, prompt_tokens
from model import Fly, sample


def first_generation(fly: Fly, bundles: Array, size: int, torch_rng: torch.Generator) -> Array:
    """``size`` chains for each bundle, [count, size, 6n + 1]."""
    count, n, _ = bundles.shape
    prompts = np.repeat(prompt_tokens(bundles), size, 0)
    return sample(fly, prompts, SLOT * n + 1, torch_rng).reshape(count, size, -1)


def next_generation(
    fly: Fly, bundles: Array, population: Array, k: int, rng: Generator, torch_rng: torch.Generator
) -> Array:
    """Each child reads k different chains of its problem's population, uniformly drawn."""
    count, size, length = population.shape
    parents = np.argsort(rng.random((count, size, size)), -1)[..., :k]
    chosen = population[np.arange(count)[:, None, None], parents, : length - 1]
    prompts = prompt_tokens(np.repeat(bundles, size, 0), chosen.reshape(count * size, k, length - 1))
    return sample(fly, prompts, length, torch_rng).reshape(count, size, length)
