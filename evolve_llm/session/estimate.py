"""What a run would cost, and whether its prompts fit the context window, before a token is spent.

Operators are tried on stand-ins: chains and replies that are marks, so that it can be counted how many of
them a prompt holds. Every bound assumes that each is as long as it may get.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from evolve_llm.backends.base import Backend
from evolve_llm.nouns.candidate import Candidate, fitness_class
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.applying import choose, conversation, measure
from evolve_llm.scheme.carry import Carry
from evolve_llm.scheme.declarations import Finishing, declaration
from evolve_llm.scheme.operator import Consult, Final
from evolve_llm.scheme.plan import Choice
from evolve_llm.scheme.scheme import Scheme

_COUNTED = 64  # problems whose questions are counted, those with the most bytes
_SAMPLED = 8  # of them, problems whose prompts are counted: those with the most tokens
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
        """The requests of all purposes, added up."""
        return sum(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would cost, in tokens and requests.

    All are upper bounds: every chain as long as it may get, no early stop, no copy of a parent.
    ``widest`` is the largest prompt + completion of one request; in it are ``parents`` chains, ``replies`` chains
    and replies of full length, its own included, and ``tails`` tokens of shortened chains. ``window`` is the
    model's, None if unknown. ``fitting``: how many parents always fit, where not all may and the rest is dropped.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    widest: int
    window: int | None
    replies: int = 1
    tails: int = 0
    per_problem: Requests = Requests(0)
    parents: int = 0
    fitting: int | None = None

    @property
    def fits(self) -> bool:
        """Whether every request fits, as far as the window is known."""
        return self.window is None or self.widest <= self.window


@dataclass(frozen=True, slots=True)
class _Step:
    """One call of an operator: its prompt without the marks, and how many marks it held of chains and others.

    ``parents``: how many the operator was given, 0 where it writes no child.
    """

    prompt: Prompt
    chains: int
    others: int
    consult: str | None = None
    parents: int = 0


def count_requests(scheme: Scheme, problem: Problem = _ANY) -> Requests:
    """Calls that one problem takes at most. Needs no model.

    A child costs as many calls as the costliest operator of the mixture, tries with too many parents
    included where these are dropped; a fitness what it declares.
    """
    preset, rounds = scheme.preset, scheme.preset.generations - 1
    public = problem.public()
    chains = preset.first * len(_steps(scheme, "init", public, 0))
    consultations = 0
    if rounds:
        tries = [_tries(scheme, one, public) for one in scheme.choices]
        calls = [[[1 for step in steps if step.consult is None] for steps in one] for one in tries]
        chains += rounds * scheme.children * max(map(_at_most, calls))
        mixture = [one[0] for one in tries]
        asked = [[step.consult for step in steps if step.consult is not None] for steps in mixture]
        purposes = {purpose for one in asked for purpose in one}
        consultations = sum(
            min(scheme.children * max(map(len, asked)), members * len(purposes)) for members in _sizes(scheme)
        )
    final = int(declaration(Finishing, scheme.toolbox.finish).calls)
    return Requests(chains, consultations, _evaluations(scheme), final)


def _evaluations(scheme: Scheme) -> int:
    fitness = scheme.fitness
    if fitness is None:
        return 0
    born = scheme.preset.first + scheme.children * (scheme.preset.generations - 1)
    survivors = 0 if scheme.positional else sum(_sizes(scheme))
    return fitness.calls * born + fitness.again * survivors


def _sizes(scheme: Scheme) -> Iterator[int]:
    """How many members at most the population has that each generation after the first comes from."""
    for generation in range(scheme.preset.generations - 1):
        grows = scheme.varies_size and not scheme.replacement.narrows
        yield scheme.preset.population + (generation * scheme.children if grows else 0)


async def estimate(
    problems: Sequence[Problem], scheme: Scheme, backend: Backend, window: int | None
) -> Estimate:
    """Count the prompts of the longest questions and bound the rest by them. Spends nothing."""
    preset = scheme.preset
    longest = await _longest(problems, backend)
    found = count_requests(scheme, longest[0])
    widths = _Widths(scheme, backend, window)
    init, child, consult, evaluation, final = 0, 0, 0, 0, 0
    for problem in longest:
        public = problem.public()
        init = max(init, sum([await widths.of(step) for step in _steps(scheme, "init", public, 0)]))
        for choice in scheme.choices if preset.generations > 1 else ():
            tries = []
            for steps in _tries(scheme, choice, public):
                counts = [(step.consult, await widths.of(step, carried=True)) for step in steps]
                tries.append([count for purpose, count in counts if purpose is None])
                consult = max([consult, *(count for purpose, count in counts if purpose is not None)])
            child = max(child, _at_most(tries))
        steps = await _fitness_steps(scheme, public)
        evaluation = max([evaluation, *[await widths.of(step) for step in steps]])
        steps = _final_steps(scheme, public)
        final = max([final, *[await widths.of(step, carried=True) for step in steps]])
    rounds = preset.generations - 1
    prompts = (
        preset.first * init
        + rounds * scheme.children * child
        + found.consultations * consult
        + found.evaluation * evaluation
        + found.final * final
    )
    return Estimate(
        requests=len(problems) * found.total,
        prompt_tokens=len(problems) * prompts,
        completion_tokens=len(problems) * found.total * preset.sampling.max_tokens,
        widest=widths.widest,
        window=window,
        replies=widths.replies,
        tails=widths.tails,
        per_problem=found,
        parents=widths.parents,
        fitting=widths.fitting,
    )


async def _longest(problems: Sequence[Problem], backend: Backend) -> list[Problem]:
    """The problems with the longest questions, longest first."""
    large = sorted(problems, key=lambda one: len(one.question.encode(errors="replace")), reverse=True)
    if len(large) <= _SAMPLED:
        return large
    lengths = {one.id: await backend.count_tokens(Prompt.user(one.question)) for one in large[:_COUNTED]}
    return sorted(large[:_COUNTED], key=lambda one: lengths[one.id], reverse=True)[:_SAMPLED]


class _Widths:
    """Counts the prompts of steps, every chain as long as it may get, and keeps the widest request."""

    def __init__(self, scheme: Scheme, backend: Backend, window: int | None) -> None:
        self.backend, self.window = backend, window
        self.reply = scheme.preset.sampling.max_tokens
        self.carry = scheme.preset.carry.carry()
        self.widest, self.replies, self.tails, self.parents = 0, 1, 0, 0
        self.fitting: int | None = None

    async def of(self, step: _Step, *, carried: bool = False) -> int:
        """The length of a step's prompt; ``carried``: its chains are as children read them."""
        chain = self.carry.most(self.reply) if carried else self.reply
        count = await self.backend.count_tokens(step.prompt) + step.chains * chain + step.others * self.reply
        droppable = self.carry.policy == "drop" and step.parents and step.consult is None
        if droppable and self.window is not None and count + self.reply > self.window:
            self.fitting = min(step.parents - 1, step.parents if self.fitting is None else self.fitting)
            if step.parents > 1:  # it is not asked
                count = max(0, self.window - self.reply)
        if count + self.reply > self.widest:
            whole = step.chains if chain == self.reply else 0
            self.widest, self.parents = count + self.reply, step.chains if carried else 0
            self.replies, self.tails = whole + step.others + 1, (step.chains - whole) * chain
        return count


def _at_most(tries: Sequence[Sequence[int]]) -> int:
    """What the prompts of one child cost at most, that is tried with fewer parents each time there is no room:
    all those of its last try, and of each before all but the one that had no room."""
    most = before = 0
    for costs in tries:
        most = max(most, before + sum(costs))
        before += sum(costs) - min(costs, default=0)
    return most


def require_fit(found: Estimate, scheme: Scheme) -> None:
    """Raises UserError where a request could outgrow the window, saying what would fit."""
    carry = scheme.preset.carry.carry()
    if found.window is None and carry.policy == "drop":
        raise UserError(
            'carry.policy = "drop" leaves out the parents that do not fit the model\'s window, and the '
            "window is unknown; state it with --set engine.context_length=TOKENS, or choose another "
            "carry.policy"
        )
    if found.fits or found.window is None:
        return
    reply, others = scheme.preset.sampling.max_tokens, found.replies - 1
    fixed = found.widest - found.replies * reply - found.tails
    room = (found.window - fixed - found.tails) // found.replies
    advice = [f"--max-tokens {room} would fit"] if room > 0 else []
    if others > 1 and room > 0:
        advice.append("or fewer --parents")
    advice += _shorter(found, carry, reply, found.window - fixed)
    nothing = ["the question alone does not fit: use a model with a larger window"]
    raise UserError(
        f"the prompt cannot fit the model's window: {others} parent(s) of up to {reply} tokens, "
        f"{f'tails of {found.tails} tokens, ' if found.tails else ''}the question ({fixed} tokens with its "
        f"template) and a reply of {reply} need {found.widest} tokens, and the window has {found.window}; "
        f"{', '.join(advice or nothing)}"
    )


def _shorter(found: Estimate, carry: Carry, reply: int, left: int) -> Iterator[str]:
    """How parents would fit that are not read whole; ``left`` is what the question leaves of the window."""
    if not found.parents:
        return
    shortened = found.parents if found.tails else 0
    each = (left - (found.replies - found.parents + shortened) * reply) // found.parents
    if each > 0:
        policy = "" if carry.policy == "tail" else "--set carry.policy=tail "
        yield f"or their last {each} tokens each: {policy}--set carry.tokens={each}"
    if carry.policy == "full" and found.parents > 1 and reply <= each * found.parents:
        yield "or as many whole parents as there is room for: --set carry.policy=drop"


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


def _tries(scheme: Scheme, choice: Choice, problem: Problem) -> list[list[_Step]]:
    """The calls for one child with all its parents; where these may be dropped, also with fewer, down to one."""
    drops = scheme.preset.carry.policy == "drop"
    numbers = range(choice.arity, 0, -1) if drops and choice.arity else (choice.arity,)
    return [
        [replace(step, parents=number) for step in _steps(scheme, choice.alias, problem, number)]
        for number in numbers
    ]


def _steps(scheme: Scheme, alias: str, problem: Problem, arity: int) -> list[_Step]:
    """The calls that a variation operator makes for one child; none where it copies a parent."""
    marks = [_mark(kind, slot) for kind in ("chain", "answer") for slot in range(arity)]
    parents, steps = _stand_ins(problem, scheme, arity), list[_Step]()
    operator = getattr(scheme.toolbox, alias)
    tried = f"tried on {arity} stand-in parent(s) before the run"
    with rng_scope(0):  # an operator may draw: the caller's generators stay as they are
        asked = conversation(operator, problem, parents, seed=lambda _: 0, tried=tried)
        sent: Completion | None = None
        while True:
            try:
                wanted = asked.send(sent)  # type: ignore[arg-type]  # None starts it
            except StopIteration as stop:
                made = stop.value
                break
            consult, prompt = (
                (wanted.purpose, wanted.prompt) if isinstance(wanted, Consult) else (None, wanted)
            )
            steps.append(_step(prompt, marks, consult))
            marks.append(_mark("reply", len(steps)))
            sent = Completion(marks[-1])
    return [*steps, _step(made, marks)] if isinstance(made, Prompt) else steps


async def _fitness_steps(scheme: Scheme, problem: Problem) -> list[_Step]:
    """The calls of a fitness that declares some, about one new candidate; each is answered with a failure."""
    fitness = scheme.fitness
    if fitness is None or fitness.oracle or not fitness.calls:
        return []
    (one,) = _stand_ins(problem, scheme, 1)
    one.fitness = fitness_class(fitness.weights)()
    prompts: list[Prompt] = []

    def ask(candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]:  # noqa: ARG001
        prompts.append(prompt)
        failed: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
        failed.set_result(None)
        return failed

    tried = "tried on a stand-in whose calls all fail"
    await measure(scheme.toolbox.evaluate, problem, [one], ask, tried=tried)
    return [_step(prompt, [one.text, one.answer or ""]) for prompt in prompts]


def _final_steps(scheme: Scheme, problem: Problem) -> list[_Step]:
    """The call of a finish that declares one."""
    finish = scheme.toolbox.finish
    if not declaration(Finishing, finish).calls:
        return []
    members = _stand_ins(problem, scheme, scheme.preset.population)
    with rng_scope(0):
        made = choose(finish, problem, members, tried="tried on stand-ins before the run")
    marks = [mark for one in members for mark in (one.text, one.answer or "")]
    return [_step(made.prompt, marks)] if isinstance(made, Final) else []
