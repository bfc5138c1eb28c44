"""Stopping rules: whether a problem is done before its T generations.

Signature ``(problem, history) -> bool``: a pure function of one problem's finished populations, oldest first.
A rule is asked when a generation has ended; any rule of a preset that says yes ends that problem alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.decorators import stopping

History = Sequence[Sequence[Candidate]]


@stopping(spending=True)
def token_budget(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    tokens: Annotated[int, Field(ge=1)],
    spent: int | None = None,
) -> bool:
    """Whether the problem has cost ``tokens``, prompt and completion tokens of all its calls together.

    The engine tells what was ``spent``, on children that did not survive, fitness and consultations too;
    without it, what the candidates of the history themselves have cost. A generation is never cut short,
    so a problem may cost up to one generation more. For a budget of the whole run use --budget-tokens.
    """
    if spent is None:
        seen = {one.uid: one for members in history for one in members}
        spent = sum(
            one.prompt_tokens + one.completion_tokens + one.evaluation_tokens for one in seen.values()
        )
    return spent >= tokens


@stopping()
def consensus(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    share: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> bool:
    """Whether at least ``share`` of the live members of the last population give equivalent answers.

    A chain without an answer agrees with nobody. Source: adaptive consistency, arXiv 2305.11860, as a rule
    on the population.
    """
    live = [one for one in history[-1] if not one.failed]
    counts = Counter(one.answer_class for one in live if one.answer_class is not None)
    return bool(counts) and max(counts.values()) >= share * len(live) - 1e-9


@stopping()
def stagnation(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    generations: Annotated[int, Field(ge=1)] = 3,
    tolerance: Annotated[float, Field(ge=0)] = 0.0,
) -> bool:
    """Whether the entropy of the answers has stayed within ``tolerance`` bits for ``generations`` generations.

    Source: the convergence of phenotypic entropy, e.g. Burke et al., Diversity in genetic programming, 2004.
    """
    if len(history) <= generations:
        return False
    recent = [class_entropy(members) for members in history[-generations - 1 :]]
    return max(recent) - min(recent) <= tolerance + 1e-9


def class_entropy(members: Sequence[Candidate]) -> float:
    """Shannon entropy of the answer classes of the live members, in bits; no answer is a class of its own."""
    counts = Counter(one.answer_class for one in members if not one.failed)
    total = counts.total()
    return math.fsum(-count / total * math.log2(count / total) for count in counts.values())
