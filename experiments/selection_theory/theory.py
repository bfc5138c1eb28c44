"""What selection theory says, in closed form. The derivations are in README.md beside this file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom


def tournament_copies(n: int, s: int) -> list[float]:
    """Expected children of each rank, best first, when n children take the winner of s drawn with replacement."""
    return [((n - rank) ** s - (n - rank - 1) ** s) / n ** (s - 1) for rank in range(n)]


def linear_ranking_copies(n: int, pressure: float) -> list[float]:
    """Baker's linear ranking: the best expects ``pressure`` children, the worst 2 - pressure."""
    return [2 - pressure + 2 * (pressure - 1) * (n - 1 - rank) / (n - 1) for rank in range(n)]


def truncation_copies(n: int, pool: int) -> list[float]:
    """The ``pool`` best share all n children."""
    return [n / pool if rank < pool else 0.0 for rank in range(n)]


def roulette_copies(values: Sequence[float]) -> list[float]:
    """Children in proportion to fitness."""
    return [len(values) * value / sum(values) for value in values]


def boltzmann_copies(values: Sequence[float], temperature: float) -> list[float]:
    """Children in proportion to exp(fitness / temperature)."""
    return roulette_copies([math.exp(value / temperature) for value in values])


def goldberg_deb(n: int, s: int) -> float:
    """Takeover time of one best member under tournaments of s: Goldberg and Deb's approximation."""
    return (math.log(n) + math.log(math.log(n))) / math.log(s)


def takeover(n: int, s: int) -> tuple[float, float]:
    """(probability that one best member takes over, its mean generations until then): the exact Markov chain."""
    wins = [1 - (1 - copies / n) ** s for copies in range(n + 1)]
    step = np.array([binom.pmf(np.arange(n + 1), n, win) for win in wins])
    inner = step[1:n, 1:n]
    system = np.eye(n - 1) - inner
    succeeds = np.linalg.solve(system, step[1:n, n])
    weighted = np.linalg.solve(system, succeeds)
    return float(succeeds[0]), float(weighted[0] / succeeds[0])


def uniform_coalescence(n: int) -> float:
    """Chance that two children copy one parent when each copies a random one of its K uniform parents."""
    return 1 / n


def balanced_coalescence(n: int, k: int) -> float:
    """The same when everybody is a parent of exactly K children."""
    return (1 - 1 / k) / (n - 1)


def shared_prefix_coalescence(n: int, k: int, g: int, d: int) -> float:
    """The same when g children share their first d parents (g divides n)."""
    together = d / k**2 + ((k - d) ** 2 / (k**2 * (n - d)) if d < k else 0.0)
    near = (g - 1) / (n - 1)
    return near * together + (1 - near) / n


def heterozygosity(n: int, coalescence: float, generation: int) -> float:
    """Expected chance that two draws with replacement differ, when all n differed in generation 0."""
    return float((1 - 1 / n) * (1 - coalescence) ** generation)
