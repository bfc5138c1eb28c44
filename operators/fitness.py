"""Fitness operators: what selection sees.

Signature ``async (problem, candidates, ask) -> list[tuple[float, ...]]``, one tuple a candidate. None of
these asks the model, so ``ask`` stays unused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evolve_llm.candidate import Candidate
from evolve_llm.evaluation import Ask
from evolve_llm.operator import evaluation
from evolve_llm.problem import Problem
from evolve_llm.verdict import Verdict


@evaluation(oracle=True)
async def checker(
    problem: Problem,  # noqa: ARG001
    candidates: Sequence[Candidate],
    ask: Ask,  # noqa: ARG001
    *,
    verdicts: Mapping[str, Verdict],
) -> list[tuple[float, ...]]:
    """1 for a correct answer, else 0: an ORACLE that reads the reference. For upper bounds only."""
    return [(float(verdicts[one.uid].correct),) for one in candidates]


@evaluation()
async def agreement(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> list[tuple[float, ...]]:  # noqa: ARG001
    """The share of the population whose answer is in the same class; 0 for a chain without an answer.

    Source: self-consistency, arXiv 2203.11171, read as a fitness.
    """
    counts = Counter(one.answer_class for one in candidates if one.answer_class is not None)
    return [
        (counts[one.answer_class] / len(candidates) if one.answer_class is not None else 0.0,)
        for one in candidates
    ]


@evaluation(weights=(-1.0,))
async def length(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> list[tuple[float, ...]]:  # noqa: ARG001
    """The chain's length in completion tokens, minimised: parsimony pressure."""
    return [(float(one.completion_tokens),) for one in candidates]
