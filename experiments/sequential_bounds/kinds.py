"""Simulated differences of two schemes, (studies, problems), in [-1, 1]; strength 0 is no difference. Numpy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def rates(rng: np.random.Generator, studies: int, problems: int, strength: float) -> np.ndarray:
    """Accuracies over 8 chains, of very different problems, half of them 10 points easier for one scheme."""
    ability = rng.beta(0.8, 1.2, (studies, problems))
    helped = np.clip(ability + 0.1 * strength * (rng.random((studies, problems)) < 0.5), 0, 1)
    return np.asarray((rng.binomial(8, helped) - rng.binomial(8, ability)) / 8)


def rare(rng: np.random.Generator, studies: int, problems: int, strength: float) -> np.ndarray:
    """One answer a problem: 15 in 100 gained, 5 in 100 lost, the rest the same."""
    draws = rng.random((studies, problems))
    return (draws < 0.05 + 0.1 * strength) * 1.0 - (draws > 0.95) * 1.0


def three_seeds(rng: np.random.Generator, studies: int, problems: int, strength: float) -> np.ndarray:
    """The mean over three seeds of the difference of single answers."""
    ability = rng.beta(0.8, 1.2, (studies, problems))
    helped = np.clip(ability + 0.05 * strength, 0, 1)
    return np.asarray((rng.binomial(3, helped) - rng.binomial(3, ability)) / 3)


def replayed(rng: np.random.Generator, studies: int, problems: int, strength: float) -> np.ndarray:
    """Two finishes of the same populations, which seldom part: 5 in 100 gained, 2 in 100 lost."""
    draws = rng.random((studies, problems))
    return (draws < 0.02 + 0.03 * strength) * 1.0 - (draws > 0.98) * 1.0


def skewed(rng: np.random.Generator, studies: int, problems: int, strength: float) -> np.ndarray:
    """Few problems gained wholly, and half of the others lose one chain of 16; without strength the mean is 0."""
    lost = (rng.random((studies, problems)) < 0.5) / 16
    return np.where(rng.random((studies, problems)) < (1 + strength) / 33, 1.0, -lost)


KINDS: dict[str, Callable[[np.random.Generator, int, int, float], np.ndarray]] = {
    "rates": rates,
    "rare": rare,
    "three seeds": three_seeds,
    "replayed": replayed,
    "skewed": skewed,
}
