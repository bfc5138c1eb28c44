"""What a run would cost, and whether its prompts fit the context window, before a token is spent.

Operators are tried on stand-ins: chains and replies that are marks, so that it can be counted how many of
them a prompt holds. Every bound assumes that each is as long as it may get.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from evolve_llm.backends.base import Backend
from evolve_llm.candidate import Candidate, fitness_class
from evolve_llm.errors import EvolveError, OperatorError, UserError
from evolve_llm.operator import MAX_CALLS, Consult, Final, declared, name_of, settled
from evolve_llm.problem import Problem
from evolve_llm.request import Completion, Prompt
from evolve_llm.seeding import rng_scope
from evolve_llm.toolbox import Scheme

_SAMPLED = 8  # problems whose prompts are counted exactly: those with the longest questions
_ANY = Problem("any", "?", "text")


@dataclass(frozen=True, slots=True)
class Requests:
    """How many calls one problem takes at most, by purpose.

    ``chains`` write candidates, all steps of an operator of several calls included; ``consultations`` ask
    about a parent once for all its children; ``evaluation`` is the fitness; ``final`` the finish's own call.
    """

    chains: int
    consultations: int = 0
    evaluation: int = 0
    final: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would cost, in tokens and requests.

    All are upper bounds: every chain as long as it may get, no early stop, no copy of a parent.
    ``widest`` is the largest prompt + completion of one request, ``replies`` how many chains and replies of
    full length are in it, its own included, and ``tails`` how many tokens of shortened chains; ``window`` is
    the model's, None if unknown.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    widest: int
    window: int | None
    replies: int = 1
    tails: int = 0
    per_problem: Requests = Requests(0)

    @property
    def fits(self) -> bool:
        """Whether every request fits, as far as the window is known."""
        return self.window is None or self.widest <= self.window


@dataclass(frozen=True, slots=True)
class _Step:
    """One call of an operator: its prompt without the marks, and how many marks it held of chains and others."""

    prompt: Prompt
    chains: int
    others: int
    consult: str | None = None


def count_requests(scheme: Scheme, problem: Problem = _ANY) -> Requests:
    """Calls that one problem takes at most. Needs no model.

    A child costs as many calls as the costliest operator of the mixture; a fitness what it declares.
    """
    preset, rounds = scheme.preset, scheme.preset.generations - 1
    public = problem.public()
    chains = preset.population * len(_steps(scheme, "init", public, 0))
    consultations = 0
    if rounds:
        mixture = [_steps(scheme, one.alias, public, one.arity) for one in scheme.choices]
        calls = max(sum(step.consult is None for step in steps) for steps in mixture)
        chains += rounds * scheme.children * calls
        asked = [[step.consult for step in steps if step.consult is not None] for steps in mixture]
        purposes = {purpose for one in asked for purpose in one}
        consultations = sum(
            min(scheme.children * max(map(len, asked)), members * len(purposes)) for members in _sizes(scheme)
        )
    final = int(declared("finish", scheme.toolbox.finish, "calls"))
    return Requests(chains, consultations, _evaluations(scheme), final)


def _evaluations(scheme: Scheme) -> int:
    evaluate = getattr(scheme.toolbox, "evaluate", None)
    if evaluate is None:
        return 0
    calls, again = (_declared_calls(evaluate, name) for name in ("calls", "again"))
    born = scheme.preset.population + scheme.children * (scheme.preset.generations - 1)
    survivors = 0 if scheme.positional else sum(_sizes(scheme))
    return calls * born + again * survivors


def _declared_calls(evaluate: object, attribute: str) -> int:
    return int(settled("evaluate", evaluate, attribute))  # type: ignore[arg-type]


def _sizes(scheme: Scheme) -> Iterator[int]:
    """How many members at most the population has that each generation after the first comes from."""
    for generation in range(scheme.preset.generations - 1):
        yield scheme.preset.population + (generation * scheme.children if scheme.varies_size else 0)


async def estimate(
    problems: Sequence[Problem], scheme: Scheme, backend: Backend, window: int | None
) -> Estimate:
    """Count the prompts of the longest questions and bound the rest by them. Spends nothing."""
    preset = scheme.preset
    reply = preset.sampling.max_tokens
    longest = sorted(problems, key=lambda problem: len(problem.question), reverse=True)[:_SAMPLED]
    found = count_requests(scheme, longest[0])
    init, child, consult, evaluation, final, widest, replies, tails = 0, 0, 0, 0, 0, 0, 1, 0
    carried = min(reply, preset.carry.tokens or reply)

    async def tokens(step: _Step, chain: int = reply) -> int:
        """Its prompt's length where every chain in it has ``chain`` tokens."""
        nonlocal widest, replies, tails
        count = await backend.count_tokens(step.prompt) + step.chains * chain + step.others * reply
        if count + reply > widest:
            whole = step.chains if chain == reply else 0
            widest, replies, tails = count + reply, whole + step.others + 1, (step.chains - whole) * chain
        return count

    for problem in longest:
        public = problem.public()
        init = max(init, sum([await tokens(step) for step in _steps(scheme, "init", public, 0)]))
        for choice in scheme.choices if preset.generations > 1 else ():
            counts = [
                (step.consult, await tokens(step, carried))
                for step in _steps(scheme, choice.alias, public, choice.arity)
            ]
            child = max(child, sum(count for purpose, count in counts if purpose is None))
            consult = max([consult, *(count for purpose, count in counts if purpose is not None)])
        evaluation = max([evaluation, *[await tokens(step) for step in await _fitness_steps(scheme, public)]])
        final = max([final, *[await tokens(step) for step in _final_steps(scheme, public)]])
    rounds = preset.generations - 1
    prompts = (
        preset.population * init
        + rounds * scheme.children * child
        + found.consultations * consult
        + found.evaluation * evaluation
        + found.final * final
    )
    return Estimate(
        requests=len(problems) * found.total,
        prompt_tokens=len(problems) * prompts,
        completion_tokens=len(problems) * found.total * reply,
        widest=widest,
        window=window,
        replies=replies,
        tails=tails,
        per_problem=found,
    )


def require_fit(found: Estimate, scheme: Scheme) -> None:
    """Raises UserError where a request could outgrow the window, saying what would fit."""
    if found.fits or found.window is None:
        return
    reply, others = scheme.preset.sampling.max_tokens, found.replies - 1
    fixed = found.widest - found.replies * reply - found.tails
    room = (found.window - fixed - found.tails) // found.replies
    advice = (
        f"--max-tokens {room} would fit"
        if room > 0
        else "the question alone does not fit: use a model with a larger window"
    )
    if room > 0 and others > 1:
        advice += ", or fewer --parents"
    raise UserError(
        f"the prompt cannot fit the context: {others} parent(s) of up to {reply} tokens, "
        f"{f'tails of {found.tails} tokens, ' if found.tails else ''}the question "
        f"({fixed} tokens with its template) and a reply of {reply} need {found.widest} tokens, the model's "
        f"window has {found.window}; {advice}"
    )


# -------------------------------------------------------------------- trying operators on stand-ins


def _mark(kind: str, number: int) -> str:
    return f"<<{kind} {number}>>"


def _stand_ins(problem: Problem, scheme: Scheme, count: int) -> list[Candidate]:
    """Chains that are marks, with all that an operator may look at; no two of them agree."""
    found = []
    for slot in range(count):
        answer = _mark("answer", slot)
        one = Candidate(problem.id, 0, slot, "init", _mark("chain", slot), answer, answer, logprobs=(-1.0,))
        if scheme.weights is not None:
            one.fitness = fitness_class(scheme.weights)()
            one.fitness.assign([0.0] * len(scheme.weights))
        found.append(one)
    return found


def _step(prompt: Prompt, marks: Sequence[str], consult: str | None = None) -> _Step:
    """A prompt without its marks, and how many chains and other replies they stand for."""
    chains, others, messages = 0, 0, []
    for message in prompt.messages:
        content = message.content
        for mark in marks:
            held = content.count(mark)
            chains, others = (
                (chains + held, others) if mark.startswith("<<chain") else (chains, others + held)
            )
            content = content.replace(mark, "")
        messages.append(replace(message, content=content))
    return _Step(Prompt(tuple(messages)), chains, others, consult)


def _steps(scheme: Scheme, alias: str, problem: Problem, arity: int) -> list[_Step]:
    """The calls that a variation operator makes for one child; none where it copies a parent."""
    operator = getattr(scheme.toolbox, alias)
    marks = [_mark(kind, slot) for kind in ("chain", "answer") for slot in range(arity)]
    steps: list[_Step] = []
    try:
        with rng_scope(0):  # an operator may draw: the caller's generators stay as they are
            made = operator(problem, _stand_ins(problem, scheme, arity))
            sent: Completion | None = None
            while isinstance(made, Generator) and len(steps) < MAX_CALLS + arity:
                try:
                    asked = made.send(sent)
                except StopIteration as stop:
                    made = stop.value
                    break
                consult = asked.purpose if isinstance(asked, Consult) else None
                prompt = asked.prompt if isinstance(asked, Consult) else asked
                if not isinstance(prompt, Prompt):
                    break  # the run will say what is wrong with it
                steps.append(_step(prompt, marks, consult))
                marks.append(_mark("reply", len(steps)))
                sent = Completion(marks[-1])
            if isinstance(made, Generator) and len(steps) == MAX_CALLS + arity:
                raise OperatorError(
                    f"variation {name_of(operator)!r} asked the model {len(steps)} times for one child without an end"
                )
    except EvolveError:
        raise
    except Exception as error:
        raise OperatorError(
            f"variation {name_of(operator)!r}, tried on {arity} stand-in parent(s) before the run, raised "
            f"{type(error).__name__}: {error}"
        ) from error
    return [*steps, _step(made, marks)] if isinstance(made, Prompt) else steps


async def _fitness_steps(scheme: Scheme, problem: Problem) -> list[_Step]:
    """The calls of a fitness that declares some, about one new candidate; each is answered with a failure."""
    evaluate = getattr(scheme.toolbox, "evaluate", None)
    if evaluate is None or scheme.oracle or not _declared_calls(evaluate, "calls"):
        return []
    (one,) = _stand_ins(problem, scheme, 1)
    one.fitness = fitness_class(scheme.weights or (1.0,))()
    prompts: list[Prompt] = []

    def ask(candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]:  # noqa: ARG001
        prompts.append(prompt)
        failed: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
        failed.set_result(None)
        return failed

    try:
        await evaluate(problem, [one], ask)
    except EvolveError:
        raise
    except Exception as error:
        raise OperatorError(
            f"fitness {name_of(evaluate)!r}, tried on a stand-in whose calls all fail, raised "
            f"{type(error).__name__}: {error}"
        ) from error
    return [_step(prompt, [one.text, one.answer or ""]) for prompt in prompts]


def _final_steps(scheme: Scheme, problem: Problem) -> list[_Step]:
    """The call of a finish that declares one."""
    finish = scheme.toolbox.finish
    if not declared("finish", finish, "calls"):
        return []
    members = _stand_ins(problem, scheme, scheme.preset.population)
    try:
        with rng_scope(0):
            made = finish(problem, members)
    except EvolveError:
        raise
    except Exception as error:
        raise OperatorError(
            f"finish {name_of(finish)!r}, tried on stand-ins before the run, raised {type(error).__name__}: {error}"
        ) from error
    marks = [mark for one in members for mark in (one.text, one.answer or "")]
    return [_step(made.prompt, marks)] if isinstance(made, Final) else []
