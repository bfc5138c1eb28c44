"""Fitting K parents, the question and the reply into the context window, before a token is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolve_llm.backends.base import Backend
from evolve_llm.candidate import Candidate, fitness_class
from evolve_llm.errors import EvolveError, OperatorError, UserError
from evolve_llm.operator import name_of
from evolve_llm.problem import Problem
from evolve_llm.request import Prompt
from evolve_llm.toolbox import Scheme

_SAMPLED = 8  # problems whose prompts are counted exactly: those with the longest questions


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would cost, in tokens and requests.

    ``prompt_tokens`` and ``completion_tokens`` are upper bounds: every chain as long as it may get.
    ``widest`` is the largest prompt + completion of one request, ``window`` the model's, None if unknown.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    widest: int
    window: int | None

    @property
    def fits(self) -> bool:
        """Whether every request fits, as far as the window is known."""
        return self.window is None or self.widest <= self.window


async def estimate(
    problems: Sequence[Problem], scheme: Scheme, backend: Backend, window: int | None
) -> Estimate:
    """Count the prompts of the longest questions and bound the rest by them. Spends nothing."""
    preset = scheme.preset
    reply = preset.sampling.max_tokens
    longest = sorted(problems, key=lambda problem: len(problem.question), reverse=True)[:_SAMPLED]
    first, later = 0, 0
    for problem in longest:
        public = problem.public()
        first = max(first, await _tokens(backend, _tried(scheme, "init", public, [])))
        if preset.generations == 1:
            continue
        for choice in scheme.choices:
            made = _tried(scheme, choice.alias, public, _stand_ins(public, scheme, choice.arity))
            if isinstance(made, Prompt):
                later = max(later, await _tokens(backend, made) + choice.arity * reply)
    samples = len(problems) * preset.population
    rounds = samples * (preset.generations - 1)
    return Estimate(
        requests=samples + rounds,
        prompt_tokens=samples * first + rounds * later,
        completion_tokens=(samples + rounds) * reply,
        widest=max(first, later) + reply,
        window=window,
    )


def require_fit(found: Estimate, scheme: Scheme) -> None:
    """Raises UserError where a request could outgrow the window, saying what would fit."""
    if found.fits or found.window is None:
        return
    preset = scheme.preset
    reply = preset.sampling.max_tokens
    widest_arity = max(choice.arity for choice in scheme.choices) if preset.generations > 1 else 0
    fixed = found.widest - (widest_arity + 1) * reply
    room = (found.window - fixed) // (widest_arity + 1)
    advice = (
        f"--max-tokens {room} would fit"
        if room > 0
        else "the question alone does not fit: use a model with a larger window"
    )
    if room > 0 and widest_arity > 1:
        advice += ", or fewer --parents"
    raise UserError(
        f"the prompt cannot fit the context: {widest_arity} parent(s) of up to {reply} tokens, the question "
        f"({fixed} tokens with its template) and a reply of {reply} need {found.widest} tokens, the model's "
        f"window has {found.window}; {advice}"
    )


def _stand_ins(problem: Problem, scheme: Scheme, count: int) -> list[Candidate]:
    """Empty chains with all that an operator may look at."""
    found = []
    for slot in range(count):
        one = Candidate(problem.id, 0, slot, "init", answer="", answer_class="")
        if scheme.weights is not None:
            one.fitness = fitness_class(scheme.weights)()
            one.fitness.assign([0.0] * len(scheme.weights))
        found.append(one)
    return found


def _tried(scheme: Scheme, alias: str, problem: Problem, parents: list[Candidate]) -> object:
    operator = getattr(scheme.toolbox, alias)
    try:
        return operator(problem, parents)
    except EvolveError:
        raise
    except Exception as error:
        raise OperatorError(
            f"variation {name_of(operator)!r}, tried on {len(parents)} empty parent(s) before the run, raised "
            f"{type(error).__name__}: {error}"
        ) from error


async def _tokens(backend: Backend, made: object) -> int:
    return await backend.count_tokens(made) if isinstance(made, Prompt) else 0
