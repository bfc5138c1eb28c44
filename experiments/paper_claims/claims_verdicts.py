"""What the fly says of its own locks, as a fitness: it cannot judge a chain, but every chain holds verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evolve_llm import Candidate, Problem, evaluation

_VERDICT = re.compile(r"[a-d][0-9]{4}([A-D.])")


def opened(text: str) -> list[bool]:
    """A chain's own verdict on each lock it writes about; nothing else is looked at, least of all the reference."""
    return [mark != "." for mark in _VERDICT.findall(text)]


@evaluation(weights=(1.0,), oracle=False)
async def own_verdicts(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float]]:  # noqa: ARG001
    """How many locks the chain says it has opened."""
    return [(float(sum(opened(one.text))),) for one in candidates]


@evaluation(weights=(1.0,), oracle=False)
async def accepted(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float]]:  # noqa: ARG001
    """1 where the chain says that it has opened every lock, else 0."""
    return [(float(all(opened(one.text)) and one.answer is not None),) for one in candidates]
