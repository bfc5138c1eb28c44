"""What the fly says of its own locks, as a fitness: it cannot judge a chain, but every chain holds verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evolve_llm import Candidate, Problem, evaluation
from evolve_llm.scheme.operator import Ask

_VERDICT = re.compile(r"[a-f][0-9]{4}([A-F.])")


@evaluation(weights=(1.0,), oracle=False)
async def own_verdicts(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> list[tuple[float]]:  # noqa: ARG001
    """How many locks the chain says it has opened; each is a vote, kept as the evidence ``own_verdicts``.

    Costs no call and looks at no reference. A survivor's verdicts are what they were: nothing is added to them.
    """
    for one in candidates:
        one.evidence["own_verdicts"] = [float(mark != ".") for mark in _VERDICT.findall(one.text)]
    return [(sum(one.evidence["own_verdicts"]),) for one in candidates]
