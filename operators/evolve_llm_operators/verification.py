"""Fitness by asking the model whether a chain is right: votes, or the probability it gives to "True"."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Sequence
from typing import Any, Literal, get_args

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion
from evolve_llm.scheme.decorators import evaluation
from evolve_llm.scheme.operator import Ask
from evolve_llm.scheme.templates import Templates
from evolve_llm_operators.prompts import PROMPTS

Mode = Literal["votes", "p_true"]

VERIFY = Templates(builtin=PROMPTS, names=("verify", "p_true"))

_VERDICT = re.compile(r"(?:final )?verdict: *(correct|incorrect)", re.IGNORECASE)
_NO_VOTE = -1.0  # evidence is a list of numbers, and a vote that never came still has its place among them


def _weights(
    votes: int = 4, mode: Mode = "votes", cases: bool = False, prior: float = 1.0, **_: object
) -> list[float]:
    _check(votes, mode, cases, prior)
    return [1.0] * (votes if cases else 1)


def _needs_logprobs(mode: Mode = "votes", **_: object) -> bool:
    return mode == "p_true"


@evaluation(
    weights=_weights,
    oracle=False,
    logprobs=_needs_logprobs,
    calls=lambda votes=4, mode="votes", **_: votes if mode == "votes" else 1,
    again=lambda votes=4, mode="votes", **_: votes if mode == "votes" else 0,
)
async def self_verify(
    problem: Problem,
    candidates: Sequence[Candidate],
    ask: Ask,
    *,
    votes: int = 4,
    mode: Mode = "votes",
    cases: bool = False,
    prior: float = 1.0,
    templates: Templates = VERIFY,
) -> list[tuple[float, ...]]:
    """Ask the model whether a chain's final answer is right; ``votes`` independent calls per candidate.

    The value is ``(yes + prior) / (votes cast + 2 * prior)``: the mean, drawn towards 1/2 while there are few
    votes, so that one lucky yes does not beat nine of ten (Laplace's rule of succession at ``prior=1``; at 0
    the plain mean). A reply that does not end in the verdict line the prompt asks for, was cut off, or never
    came is no vote; without any vote the value is 1/2. All votes about a candidate are kept: a survivor is
    asked ``votes`` more times in every generation and judged by all of them together, so elitism looks again
    before it trusts, at the price of those calls.

    ``cases=True``: every vote is a case of its own for lexicase, so the fitness has ``votes`` values, each
    ``(yes + prior) / (n + 2 * prior)`` over the rounds a candidate has lived through.

    ``mode="p_true"``: one call in a candidate's life, and the value is the probability of True over that of
    True and False as the first token of the reply (1/2 where neither is among the likeliest). The backend
    must give log-probabilities, and models that think before they speak do not suit it.

    Source: votes: generative verification, arXiv 2408.15240, by the model itself; P(True): Kadavath et al., arXiv
    2207.05221; cases: lexicase selection, doi 10.1109/TEVC.2014.2362729.
    Raises UserError for parameters that make no sense, and where P(true) is asked of a backend without it.
    """
    _check(votes, mode, cases, prior)
    if mode == "p_true":
        return await _p_true(problem, candidates, ask, templates)
    key = f"self_verify {votes}"
    calls: list[Awaitable[Completion | None]] = []
    for one in candidates:
        prompt = templates.render(problem, "verify", candidates=[one.text])
        calls += [ask(one, prompt) for _ in range(votes)]
    replies = await asyncio.gather(*calls)
    rows: list[tuple[float, ...]] = []
    for place, one in enumerate(candidates):
        known = one.evidence.setdefault(key, [])
        known += [_vote(reply) for reply in replies[place * votes : (place + 1) * votes]]
        groups = [known[case::votes] for case in range(votes)] if cases else [known]
        rows.append(tuple(_shrunk(group, prior) for group in groups))
    return rows


async def _p_true(
    problem: Problem, candidates: Sequence[Candidate], ask: Ask, templates: Templates
) -> list[tuple[float, ...]]:
    key = "self_verify p_true"
    new = [one for one in candidates if key not in one.evidence]
    replies = await asyncio.gather(
        *(ask(one, templates.render(problem, "p_true", candidates=[one.text])) for one in new)
    )
    for one, reply in zip(new, replies, strict=True):
        found = None if reply is None else p_true(reply)
        if found is not None:  # else it is asked again if it survives
            one.evidence[key] = [found]
    return [(one.evidence[key][0] if key in one.evidence else 0.5,) for one in candidates]


def verdict(reply: Completion) -> bool | None:
    """The verdict of a verification: whether its last line says CORRECT or INCORRECT, and None for anything else.

    Emphasis (``**``) and a full stop around the line are let pass; a reply that was cut off never votes.
    """
    lines = reply.text.strip().splitlines()
    if not lines or reply.finish_reason == "length":
        return None
    found = _VERDICT.fullmatch(lines[-1].strip().strip("*_`. ").replace("**", ""))
    return None if found is None else found[1].lower() == "correct"


def p_true(reply: Completion) -> float | None:
    """P(True) / (P(True) + P(False)) of the first token; None where neither is among the likeliest ones.

    A token counts for the word it begins: ``True``, ``" true"``, ``T``. Raises UserError where there are no
    alternatives at all though the reply has text.
    """
    if not reply.first_token:
        if not reply.text:
            return None
        raise UserError(
            'self_verify with mode = "p_true" needs the likeliest first tokens with their '
            'log-probabilities, but the backend gave none; use another backend or mode = "votes"'
        )
    mass = {"true": 0.0, "false": 0.0}
    for token, logprob in reply.first_token:
        said = token.strip().strip("*\"'`\u2581\u0120").lower()
        for word in mass:
            if said and word.startswith(said):
                mass[word] += math.exp(min(0.0, logprob))
    whole = sum(mass.values())
    return mass["true"] / whole if whole > 0 else None


def _vote(reply: Completion | None) -> float:
    found = None if reply is None else verdict(reply)
    return _NO_VOTE if found is None else float(found)


def _shrunk(votes: Sequence[float], prior: float) -> float:
    cast = [vote for vote in votes if vote != _NO_VOTE]
    weight = len(cast) + 2 * prior
    return (sum(cast) + prior) / weight if weight > 0 else 0.5


def _check(votes: Any, mode: Any, cases: Any, prior: Any) -> None:
    if not isinstance(votes, int) or isinstance(votes, bool) or votes < 1:
        raise UserError(f"self_verify: votes must be a whole number, at least 1, got {votes!r}")
    if mode not in get_args(Mode):
        raise UserError(f"self_verify: mode must be {' or '.join(map(repr, get_args(Mode)))}, got {mode!r}")
    if not isinstance(cases, bool):
        raise UserError(f"self_verify: cases must be true or false, got {cases!r}")
    if not isinstance(prior, int | float) or isinstance(prior, bool) or not 0 <= prior < math.inf:
        raise UserError(f"self_verify: prior must be a number, 0 or more, got {prior!r}")
    if cases and mode == "p_true":
        raise UserError(
            'self_verify: cases = true needs votes; mode = "p_true" makes one call and gives one value'
        )
