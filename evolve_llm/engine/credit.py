"""Credit assignment: what each variation operator's children have been worth, for an adaptive mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.scheme.applying import adapted
from evolve_llm.scheme.plan import Choice


@dataclass(slots=True)
class Credit:
    """The rewards of each operator so far, in order of birth.

    A child's reward is its fitness less the mean of its parents' (less the mean of the population it came
    into, for a child without parents), on the first objective, turned so that more is better. A failed child
    is rewarded with 0, no improvement: an operator that only fails must not count as untried.
    """

    choices: Sequence[Choice]
    rewards: dict[str, list[float]] = field(default_factory=dict)

    def assign(
        self,
        adapt: Callable[..., Any],
        choices: Sequence[Choice],
        parents: Sequence[Candidate],
        offspring: Sequence[Candidate],
    ) -> tuple[Choice, ...]:
        """Reward the operators of these children; the mixture the next generation is drawn from.

        Raises OperatorError where ``adapt`` gives anything but a probability per operator.
        """
        known = {one.uid: one for one in parents}
        everyone = [_worth(one) for one in parents if one.fitness.valid]
        level = sum(everyone) / len(everyone) if everyone else 0.0
        for child in offspring:
            if child.failed:
                self.rewards.setdefault(child.alias, []).append(0.0)
            elif child.fitness.valid:
                before = [
                    _worth(known[uid]) for uid in child.parents if uid in known and known[uid].fitness.valid
                ]
                reward = _worth(child) - (sum(before) / len(before) if before else level)
                self.rewards.setdefault(child.alias, []).append(reward)
        given = adapted(
            adapt,
            [one.probability for one in choices],
            [list(self.rewards.get(one.alias, [])) for one in choices],
        )
        return tuple(replace(one, probability=share) for one, share in zip(choices, given, strict=True))


def _worth(one: Candidate) -> float:
    return float(one.fitness.wvalues[0])
