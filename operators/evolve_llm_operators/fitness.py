"""Fitness operators: what selection sees.

Signature ``async (problem, candidates, ask) -> list[tuple[float, ...]]``, one tuple a candidate. None of
these asks the model by itself; ``verification`` has the one that does.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.scheme.applying import measure
from evolve_llm.scheme.declarations import measures
from evolve_llm.scheme.decorators import evaluation
from evolve_llm.scheme.operator import Ask
from evolve_llm.scheme.toolbox import resolve

Values = list[tuple[float, ...]]
Part = str | Mapping[str, Any] | Callable[..., Any]

FLOOR = -100.0
"""Lowest log-probability of one token that ``confidence`` counts: servers write "impossible" as anything."""


@evaluation(weights=(1.0,), oracle=True)
async def checker(
    problem: Problem,  # noqa: ARG001
    candidates: Sequence[Candidate],
    ask: Ask,  # noqa: ARG001
    *,
    verdicts: Mapping[str, Verdict],
) -> Values:
    """1 for a correct answer, and 0 for any other: an ORACLE that reads the reference. For upper bounds only."""
    return [(float(verdicts[one.uid].correct),) for one in candidates]


@evaluation(weights=(1.0,), oracle=False)
async def agreement(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:  # noqa: ARG001
    """The share of the population whose answer is in the same class; 0 for a chain without an answer.

    Source: self-consistency, arXiv 2203.11171, read as a fitness.
    """
    counts = Counter(one.answer_class for one in candidates if one.answer_class is not None)
    return [
        (counts[one.answer_class] / len(candidates) if one.answer_class is not None else 0.0,)
        for one in candidates
    ]


@evaluation(weights=(-1.0,), oracle=False)
async def length(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> Values:  # noqa: ARG001
    """The chain's own length in tokens, minimised: parsimony pressure.

    Of the chain alone, not of the calls on the way to it; a copy is as long as what it copies.
    """
    return [(float(one.text_tokens),) for one in candidates]


@evaluation(weights=(1.0,), oracle=False, logprobs=True)
async def confidence(
    problem: Problem,  # noqa: ARG001
    candidates: Sequence[Candidate],
    ask: Ask,  # noqa: ARG001
    *,
    window: int | None = None,
) -> Values:
    """How sure the model was of its own tokens: the mean log-probability of the chain's, at most 0.

    With ``window``, the lowest mean of any ``window`` tokens in a row (of the whole chain where it is
    shorter): one weak passage then counts, however sure the rest is. The chains are generated with
    log-probabilities, which the backend must be able to give. A chain of no tokens has the lowest value.

    Source: DeepConf, arXiv 2508.15260, whose average trace confidence and lowest group confidence these
    are with the log-probability of the sampled token in place of the mean over the top k.
    Raises UserError where a chain has no log-probabilities.
    """
    if window is not None and (not isinstance(window, int) or isinstance(window, bool) or window < 1):
        raise UserError(f"confidence: window must be a number of tokens, at least 1, got {window!r}")
    for one in candidates:
        if one.text and not one.logprobs:
            raise UserError(
                f"confidence needs the log-probabilities of the tokens, and candidate {one.uid} has none, "
                "because the backend gave none; use a backend that does (openai with vLLM or llama.cpp, or "
                "the embedded engine)"
            )
    return [(_lowest_mean(one.logprobs, window),) for one in candidates]


def _lowest_mean(logprobs: Sequence[float], window: int | None) -> float:
    if not logprobs:
        return FLOOR
    kept = [min(0.0, max(FLOOR, value)) for value in logprobs]
    if window is None or window >= len(kept):
        return math.fsum(kept) / len(kept)
    sums = [0.0, *accumulate(kept)]
    lowest = min(range(len(kept) - window + 1), key=lambda start: sums[start + window] - sums[start])
    return math.fsum(kept[lowest : lowest + window]) / window


def _parts(of: Sequence[Part]) -> list[Callable[..., Any]]:
    """The fitnesses behind their names, with their parameters bound."""
    if not isinstance(of, Sequence) or isinstance(of, str) or not of:
        raise UserError(
            f'objectives needs a list of fitnesses, for example of = ["agreement", "length"]; got {of!r}'
        )
    found: list[Callable[..., Any]] = []
    for part in of:
        if isinstance(part, Mapping):
            given = dict(part)
            found.append(functools.partial(resolve("evaluate", given.pop("operator")), **given))
        else:
            found.append(resolve("evaluate", part))
    return found


def _of_each(attribute: str, of: Sequence[Part]) -> list[Any]:
    return [getattr(measures(part), attribute) for part in _parts(of)]


@evaluation(
    weights=lambda of=(): [float(weight) for weights in _of_each("weights", of) for weight in weights],
    oracle=lambda of=(): any(_of_each("oracle", of)),
    logprobs=lambda of=(): any(_of_each("logprobs", of)),
    calls=lambda of=(): sum(_of_each("calls", of)),
    again=lambda of=(): sum(_of_each("again", of)),
    parts="of",
)
async def objectives(
    problem: Problem,
    candidates: Sequence[Candidate],
    ask: Ask,
    *,
    of: Sequence[Part],
    verdicts: Mapping[str, Verdict] | None = None,
) -> Values:
    """Several fitnesses side by side, for selection by several objectives (nsga2, lexicase, …).

    ``of`` lists them in order, each by its name or, with parameters, as a table:
    ``of = ["agreement", { operator = "confidence", window = 64 }]``. Their values and weights are put one after
    the other; an oracle among them makes the whole an oracle. They ask the model one after the other too.

    Source: NSGA-II, doi 10.1109/4235.996017, is what such a tuple is mostly for.
    """
    rows: Values = [() for _ in candidates]
    for part in _parts(of):
        found = await measure(part, problem, candidates, ask, verdicts=verdicts)
        rows = [(*row, *one.values) for row, one in zip(rows, found, strict=True)]
    return rows
