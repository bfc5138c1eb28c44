"""Our graders as a reward function of verl's batch reward manager: ``compute_score``.

verl knows no missing reward. A reply that could not be graded is given the mean of its prompt's graded replies, so that
it stands out in neither direction; 0 would punish it.
"""

from __future__ import annotations

import atexit
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from evolve_llm.nouns.errors import EvolveError
from evolve_llm.train.rewards import Rewards
from evolve_llm.train.rows import problem_of


@cache
def _rewards() -> Rewards:
    opened = Rewards(workers=8)
    atexit.register(opened.close)
    return opened


def compute_score(
    data_sources: Sequence[str],  # noqa: ARG001 - verl passes these by name
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],  # noqa: ARG001 - the reference stands in extra_infos, in its own type
    extra_infos: Sequence[Mapping[str, Any]],
    **_: Any,
) -> list[float]:
    """The rewards of a batch of replies.

    ``extra_infos`` are those of the rows that ``evolve-llm train-data`` wrote. Ends the process, by SystemExit, where
    replies cannot be graded at all: verl would turn any other error into a reward of 0 for everybody.
    """
    rows = [dict(one) for one in extra_infos]
    try:
        _rewards().require([problem_of(one) for one in rows])
        values = _rewards().values(_rewards().verdicts(rows, solution_strs))
    except EvolveError as error:
        raise SystemExit(f"evolve-llm cannot grade: {error}") from error
    return filled(values, [(str(one["split"]), int(one["index"])) for one in rows])


def filled(values: Sequence[float | None], prompts: Sequence[tuple[str, int]]) -> list[float]:
    """Rewards with each missing one replaced by the mean of its prompt's others; 0 for all where none is known."""
    known: dict[tuple[str, int], list[float]] = defaultdict(list)
    for value, prompt in zip(values, prompts, strict=True):
        if value is not None:
            known[prompt].append(value)
    means = {prompt: sum(some) / len(some) for prompt, some in known.items()}
    return [
        means.get(prompt, 0.0) if value is None else value
        for value, prompt in zip(values, prompts, strict=True)
    ]
