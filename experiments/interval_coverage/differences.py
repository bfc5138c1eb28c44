"""Simulated paired differences, one a problem, of kinds that comparisons of schemes bring forth.

Every kind takes a generator, a number of problems and a strength, which moves the true mean, and gives as many
independent values in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator

Values = np.ndarray
Kind = Callable[[np.random.Generator, int, float], Values]

CHAINS, POPULATION, SEEDS = 8, 16, 3
WRONG = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
"""How the wrong answers of a problem divide into classes: they agree often enough to win some votes."""


def rates(rng: np.random.Generator, problems: int, strength: float = 0.1) -> Values:
    """Accuracies over 8 chains, of very different problems, half of them 10 points easier for one scheme."""
    ability = rng.beta(0.8, 1.2, problems)
    helped = np.clip(ability + strength * (rng.random(problems) < 0.5), 0, 1)
    return np.asarray((rng.binomial(CHAINS, helped) - rng.binomial(CHAINS, ability)) / CHAINS)


def rare(rng: np.random.Generator, problems: int, strength: float = 0.1) -> Values:
    """One answer a problem: 15 in 100 gained, 5 in 100 lost, the rest the same."""
    return (rng.random(problems) < 0.05 + strength) * 1.0 - (rng.random(problems) < 0.05) * 1.0


def three_seeds(rng: np.random.Generator, problems: int, strength: float = 0.05) -> Values:
    """The mean over three seeds of the difference of two single answers; problems are helped unequally."""
    ability = rng.beta(0.8, 1.2, problems)
    helped = np.clip(ability + strength + rng.normal(0, 0.1, problems), 0, 1)
    return np.asarray((rng.binomial(SEEDS, helped) - rng.binomial(SEEDS, ability)) / SEEDS)


def skewed(rng: np.random.Generator, problems: int, strength: float = 0.04) -> Values:
    """4 problems in 100 are gained wholly; of the others every second one loses a sixteenth."""
    lost = (rng.random(problems) < 0.5) / POPULATION
    return np.where(rng.random(problems) < strength, 1.0, -lost)


def replayed_half(rng: np.random.Generator, problems: int, strength: float = 0.0) -> Values:
    """Majority of 16 chains minus majority of the first 8 of the same: ``strength`` lifts all abilities."""
    answers = _answers(rng, problems, strength)
    return _majority(rng, answers) - _majority(rng, answers[:, : POPULATION // 2])


def replayed_finish(rng: np.random.Generator, problems: int, strength: float = 1.0) -> Values:
    """The chain of the best own verdict minus the majority, of the same 16 chains; strength: the verdicts' d-prime."""
    answers = _answers(rng, problems, 0.0)
    verdicts = strength * (answers == 0) + rng.normal(size=answers.shape)
    best = answers[np.arange(problems), verdicts.argmax(axis=1)] == 0
    return best - _majority(rng, answers)


KINDS: dict[str, tuple[Kind, float]] = {
    "rates": (rates, 0.1),
    "rare": (rare, 0.1),
    "three seeds": (three_seeds, 0.05),
    "skewed": (skewed, 0.04),
    "replayed half": (replayed_half, 0.0),
    "replayed finish": (replayed_finish, 1.0),
}
"""Each kind with the strength at which its coverage is looked at."""


def _answers(rng: np.random.Generator, problems: int, lift: float) -> Values:
    """Answer classes of 16 chains a problem; class 0 is right."""
    ability = np.clip(rng.beta(0.8, 1.2, (problems, 1)) + lift, 0, 1)
    wrong = 1 + np.searchsorted(np.cumsum(WRONG)[:-1], rng.random((problems, POPULATION)))
    return np.where(rng.random((problems, POPULATION)) < ability, 0, wrong)


def _majority(rng: np.random.Generator, answers: Values) -> Values:
    """1.0 where the largest class is the right one; ties are broken at random."""
    votes = np.stack([(answers == one).sum(axis=1) for one in range(len(WRONG) + 1)], axis=1)
    return ((votes + 0.5 * rng.random(votes.shape)).argmax(axis=1) == 0) * 1.0


# ---------------------------------------------------------------- truths


def moments(kind: Kind, strength: float, *, size: int = 1_000_000, seed: int = 7) -> tuple[float, float]:
    """Mean and standard deviation of a kind, from ``size`` draws; equal seeds make strengths comparable."""
    rng, piece = np.random.default_rng(seed), min(size, 100_000)
    values = np.concatenate([kind(rng, piece, strength) for _ in range(max(1, size // piece))])
    return float(values.mean()), float(values.std())


@cache
def curve(kind: Kind, high: float, size: int) -> tuple[Values, Values]:
    """Strengths from 0 to ``high``, denser near 0, and the mean and standard deviation at each: (17,) and (17, 2)."""
    strengths = high * np.linspace(0, 1, 17) ** 2
    return strengths, np.array([moments(kind, one, size=size) for one in strengths])


def strength_where(
    kind: Kind, wanted: Callable[[float, float], bool], *, high: float = 1.0, size: int = 1_000_000
) -> tuple[float, float, float] | None:
    """The least strength up to ``high`` at which ``wanted(mean, spread)`` holds, with both; None if there is none.

    By bisection on the curve.
    """
    at = PchipInterpolator(*curve(kind, high, size))
    if not wanted(*at(high)):
        return None
    low = 0.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if wanted(*at(middle)) else (middle, high)
    mean, spread = at(high)
    return high, float(mean), float(spread)


# ---------------------------------------------------------------- whole studies

ARMS = ("+ 6 points", "+ 3 points", "same", "same again", "helps few, harms most")
"""The arms inside the correction; the last three have a true difference of 0, and after them comes the null arm."""
TRUE_NULLS = slice(2, 5)
NULL_ARM = 5


def study(rng: np.random.Generator, studies: int, problems: int) -> Values:
    """Differences of the five ``ARMS`` and the null arm from one baseline: (studies, 6, problems).

    All arms are compared with the same chains of the baseline, so their differences are correlated. The arm that
    helps few solves 5 in 100 problems for certain and makes the others harder by so much that its mean stays the same:
    a true null whose differences are not symmetric, as the sign-flip test would have them.
    """
    shape = (studies, problems)
    ability = rng.beta(0.8, 1.2, shape)
    gained, mean = 0.05, 0.8 / 2.0
    harm = gained * (1 - mean) / ((1 - gained) * mean)
    few = np.where(rng.random(shape) < gained, 1.0, ability * (1 - harm))
    helped = [np.clip(ability + lift * (rng.random(shape) < 0.5), 0, 1) for lift in (0.1236, 0.0607)]
    baseline = rng.binomial(CHAINS, ability)
    arms = [*helped, ability, ability, few, ability]
    return np.stack([rng.binomial(CHAINS, one) - baseline for one in arms], axis=1) / CHAINS


def contest(rng: np.random.Generator, studies: int, problems: int, lifts: Values) -> tuple[Values, Values]:
    """Arms that each lift every second problem: differences (studies, arms, problems), and the true ones (arms)."""
    ability = rng.beta(0.8, 1.2, (studies, 1, problems))
    helped = rng.random((studies, len(lifts), problems)) < 0.5
    theirs = np.clip(ability + lifts[None, :, None] * helped, 0, 1)
    differences = (rng.binomial(CHAINS, theirs) - rng.binomial(CHAINS, ability)) / CHAINS
    large = np.random.default_rng(7).beta(0.8, 1.2, 400_000)
    truths = np.array([0.5 * float((np.clip(large + lift, 0, 1) - large).mean()) for lift in lifts])
    return differences, truths
