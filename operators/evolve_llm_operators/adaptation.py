"""Adaptation: how often each variation operator is to be used, from what its children have been worth.

Signature ``(probabilities, rewards) -> probabilities``, pure: the mixture's probabilities now, and for each of
its operators the rewards of its children so far, oldest first. A reward is a child's fitness less the mean of
its parents' (see ``evolve_llm.engine.credit``). Only improvement counts: a reward below 0 is read as 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from evolve_llm.scheme.decorators import adaptation
from evolve_llm.scheme.preset import Preset


def _operators(preset: Preset) -> int:
    """Operators of the mixture; what the probabilities leave of 1 reproduces."""
    given = math.fsum(one.probability or 1.0 for one in preset.vary)
    return len(preset.vary) + (1.0 - given > 1e-9)


def _possible(preset: Preset, *, p_min: float = 0.05, **_: object) -> None:
    _check(p_min, _operators(preset))


@adaptation(requires=_possible)
def probability_matching(
    probabilities: Sequence[float],
    rewards: Sequence[Sequence[float]],
    *,
    p_min: float = 0.05,
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.8,
) -> list[float]:
    """Probabilities proportional to each operator's recent improvement, none below ``p_min``.

    An operator's quality is the exponentially weighted mean of its improvements, the latest weighing
    1 - ``decay``; one that was not tried yet is given the best quality of the others. Where nothing has
    improved yet, the shares stay as they are, raised to p_min.

    Sources: Goldberg, Probability matching, the magnitude of reinforcement, and classifier system bidding,
    1990; Thierens, An adaptive pursuit strategy for allocating operator probabilities, GECCO 2005, section 2.
    """
    _check(p_min, len(probabilities))
    tried = [_recent(ones, decay) if ones else None for ones in rewards]
    optimistic = max((one for one in tried if one is not None), default=0.0)
    qualities = [optimistic if one is None else one for one in tried]
    free = 1.0 - len(qualities) * p_min
    best = max(qualities)
    shares = (
        [one / best for one in qualities] if best > 0 else list(probabilities)
    )  # none too small to divide by
    total = math.fsum(shares)
    return [p_min + free * (share / total) for share in shares]


@adaptation()
def ucb(
    probabilities: Sequence[float],  # noqa: ARG001
    rewards: Sequence[Sequence[float]],
    *,
    c: Annotated[float, Field(ge=0)] = 1.0,
) -> list[float]:
    """The next generation belongs to the operator with the highest upper confidence bound of its improvement.

    Improvements are scaled by the largest one seen to 0 ... 1; the bound is their mean plus
    c * sqrt(2 ln(children) / children of the operator), the larger c the more is explored. Operators that
    were not tried share the generation first, and so do operators whose bounds tie.

    Sources: Auer, Cesa-Bianchi and Fischer, Finite-time analysis of the multiarmed bandit problem, 2002;
    Da Costa et al., Adaptive operator selection with dynamic multi-armed bandits, GECCO 2008.
    """
    untried = [not ones for ones in rewards]
    if any(untried):
        return _shared(untried)
    scale = max(max(0.0, *ones) for ones in rewards) or 1.0
    children = sum(len(ones) for ones in rewards)
    bounds = [
        math.fsum(max(0.0, one) / scale for one in ones) / len(ones)
        + c * math.sqrt(2.0 * math.log(children) / len(ones))
        for ones in rewards
    ]
    top = max(bounds)
    return _shared([bound >= top - 1e-12 for bound in bounds])


def _check(p_min: float, operators: int) -> None:
    if not 0 <= p_min * operators <= 1:
        raise ValueError(
            f"p_min must be in 0 ... 1/{operators} for the mixture's {operators} operators, got {p_min}"
        )


def _recent(rewards: Sequence[float], decay: float) -> float:
    quality = max(0.0, rewards[0])
    for reward in rewards[1:]:
        quality = decay * quality + (1.0 - decay) * max(0.0, reward)
    return quality


def _shared(chosen: Sequence[bool]) -> list[float]:
    return [one / sum(chosen) for one in chosen]
