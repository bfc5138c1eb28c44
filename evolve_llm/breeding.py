"""One child, from plan to candidate: render, generate, store, parse."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evolve_llm.backends.base import Backend
from evolve_llm.candidate import Candidate, Status
from evolve_llm.carry import WHOLE, Carry
from evolve_llm.errors import BackendError, EvolveError, OperatorError, RequestError, StoreError, UserError
from evolve_llm.operator import MAX_CALLS, Consult, Copy, Final, Steps, declared, name_of
from evolve_llm.plan import Plan
from evolve_llm.problem import Problem
from evolve_llm.request import Completion, Prompt, Request, Sampling
from evolve_llm.schedule import Permits
from evolve_llm.seeding import derive, rng_scope
from evolve_llm.store import Address, Failure, Recalled, Store


@dataclass(slots=True)
class Meter:
    """What this session spent, and what the whole run has. ``budget`` in prompt + completion tokens."""

    spent: int = 0
    budget: int | None = None
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed: int = 0

    def count(self, completion: Completion) -> None:
        """Add one completion."""
        self.requests += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        self.spent += completion.prompt_tokens + completion.completion_tokens

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.budget is not None and self.spent >= self.budget


@dataclass(slots=True)
class Caller:
    """Gets completions: from the store where an earlier session paid for them, else from the backend."""

    backend: Backend
    store: Store
    permits: Permits
    sampling: Sampling
    seed: int
    meter: Meter
    logprobs: bool = False

    async def __call__(
        self, order: int, problem: str, address: Address, prompt: Prompt, recalled: Mapping[Address, Recalled]
    ) -> Completion | Failure:
        """The outcome of one request, committed before it is returned (invariant I2).

        Raises StoreError where the stored outcome belongs to another prompt: an operator or template has
        changed since, and the run would no longer be one experiment.
        """
        digest = prompt_digest(prompt)
        stored = recalled.get(address)
        if stored is not None:
            if stored.prompt != digest:
                raise StoreError(
                    f"problem {problem!r}, candidate {address.generation}.{address.slot}: the stored completion "
                    "answers another prompt than the one rendered now. Either an operator has changed since the "
                    "run began, and another --out is needed; or a variation operator draws at random without "
                    "saying so, and needs @variation(draws=True)."
                )
            return stored.outcome
        seed = derive(self.seed, problem, *address)
        name = f"{problem}/{address.generation}/{address.slot}/{address.purpose}/{address.call}"
        request = Request(name, prompt, self.sampling, seed, self.logprobs)
        outcome: Completion | Failure
        async with self.permits.take((order, address.generation, address.slot)):
            try:
                completion = await self.backend.generate(request)
            except RequestError as error:
                self.meter.failed += 1
                outcome = Failure(clean(error.reason), clean(error.detail))
            except EvolveError:
                raise
            except Exception as error:  # a backend that breaks its contract ends the run like one that died
                raise BackendError(
                    f"the model {self.backend.identity!r} failed on {name} with "
                    f"{type(error).__name__}: {clean(str(error))}"
                ) from error
            else:
                if self.logprobs and completion.completion_tokens and not completion.logprobs:
                    raise UserError(
                        f"the preset's fitness needs log-probabilities, and the model {self.backend.identity!r} gave "
                        "none; use a backend that does (openai with a vLLM or llama.cpp server, or the embedded "
                        "engine), or another [evaluate]"
                    )
                outcome = _cleaned(completion)
                self.meter.count(outcome)
                if self.meter.exhausted:
                    self.permits.close()
            committed = self.store.put(order, address, digest, seed, outcome)
        await committed
        return outcome


@dataclass(slots=True)
class Nursery:
    """Where the children of one problem are bred. Operators only ever see the public problem.

    ``carry`` says what of a parent its children read. ``spent``: the tokens of all calls for the problem,
    wherever they were answered from.
    """

    order: int
    problem: Problem
    toolbox: Any
    extract: Callable[[str], str | None]
    caller: Caller
    recalled: Mapping[Address, Recalled]
    seed: int = 0
    carry: Carry = WHOLE
    born: dict[str, Candidate] = field(default_factory=dict)
    consulted: dict[Address, tuple[str, asyncio.Future[Completion]]] = field(default_factory=dict)
    spent: int = 0

    async def breed(self, plan: Plan, parents: Sequence[Candidate]) -> Candidate:
        """The child of a plan, whatever becomes of it: failures are candidates too (invariant I6).

        ``parents`` are those the plan names, in its order. Failed ones are dropped; a child left with none
        is sampled afresh.
        """
        live = [parent for parent in parents if not parent.failed]
        alias = plan.alias if live or not parents else "init"
        operator = getattr(self.toolbox, alias)
        child = Candidate(
            problem=self.problem.id,
            generation=plan.generation,
            slot=plan.slot,
            operator=name_of(operator),
            alias=alias,
            parents=tuple(parent.uid for parent in live),
            dropped=tuple(parent.uid for parent in parents if parent.failed),
        )
        calls: list[Completion] = []
        try:
            read = [self.carry.of(parent) for parent in live]
            made = await self._vary(operator, read, plan, calls)
            if isinstance(made, Copy):
                whole = next(parent for parent in live if parent.uid == made.parent.uid)
                child.text, child.copied, child.status = whole.text, True, whole.status
                child.answer = self._extracted(child.text)
                child.text_tokens, child.logprobs = whole.text_tokens, whole.logprobs
            else:
                await self._write(child, made, calls)
        except RequestError as error:
            child.status, child.reason = Status.FAILED, error.reason
        return self._count(child, calls)

    async def conclude(self, generation: int, slot: int, final: Final) -> Candidate:
        """The one last chain that a finish operator asked for."""
        operator = name_of(self.toolbox.finish)
        parents = tuple(parent.uid for parent in final.parents)
        child = Candidate(self.problem.id, generation, slot, operator, parents=parents, alias="finish")
        calls: list[Completion] = []
        try:
            await self._write(child, final.prompt, calls)
        except RequestError as error:
            child.status, child.reason = Status.FAILED, error.reason
        return self._count(child, calls)

    async def _write(self, child: Candidate, prompt: Prompt, calls: list[Completion]) -> None:
        completion = await self._ask(Address(child.generation, child.slot, "vary", len(calls)), prompt)
        calls.append(completion)
        child.text = completion.text
        if not child.text.strip():
            child.status, child.reason = Status.FAILED, "empty_text"  # nothing to build on; its tokens count
            return
        child.status = Status.TRUNCATED if completion.finish_reason == "length" else Status.OK
        child.answer = self._extracted(child.text)
        child.text_tokens, child.logprobs = completion.completion_tokens, completion.logprobs

    def _count(self, child: Candidate, calls: Sequence[Completion]) -> Candidate:
        child.prompt_tokens = sum(one.prompt_tokens for one in calls)
        child.completion_tokens = sum(one.completion_tokens for one in calls)
        child.cached_tokens = sum(one.cached_tokens for one in calls)
        self.born[child.uid] = child
        return child

    def _extracted(self, text: str) -> str | None:
        try:
            return self.extract(text)
        except Exception as error:  # an answer format may be anybody's
            raise OperatorError(
                f"the answer format {self.problem.format!r} raised {type(error).__name__}: {error}"
            ) from error

    async def _ask(self, address: Address, prompt: Prompt) -> Completion:
        outcome = await self.caller(self.order, self.problem.id, address, prompt, self.recalled)
        if isinstance(outcome, Failure):
            raise RequestError(outcome.reason, outcome.detail)
        self.spent += outcome.prompt_tokens + outcome.completion_tokens
        return outcome

    async def _vary(
        self, operator: Callable[..., Any], parents: Sequence[Candidate], plan: Plan, calls: list[Completion]
    ) -> Prompt | Copy:
        """What the operator makes of the parents; ``calls`` collects the completions it needed on the way."""
        name = name_of(operator)
        draws = bool(declared("vary", operator, "draws"))

        def scope(step: int) -> contextlib.AbstractContextManager[None]:
            seed = derive(self.seed, self.problem.id, plan.generation, plan.slot, "render", step)
            return rng_scope(seed) if draws else contextlib.nullcontext()

        with _blamed(name), scope(0):
            made = operator(self.problem, parents)
        if isinstance(made, Generator):
            made = await self._converse(name, made, parents, plan, calls, scope)
        if isinstance(made, Copy) and not any(made.parent is parent for parent in parents):
            raise OperatorError(
                f"variation {name!r} copies a candidate that is not among the parents it was given"
            )
        if not isinstance(made, Prompt | Copy):
            raise OperatorError(f"variation {name!r} must give a Prompt or a Copy, got {type(made).__name__}")
        return made

    async def _converse(
        self,
        name: str,
        steps: Steps,
        parents: Sequence[Candidate],
        plan: Plan,
        calls: list[Completion],
        scope: Callable[[int], contextlib.AbstractContextManager[None]],
    ) -> Prompt | Copy:
        """Drive a generator operator to the prompt or copy it returns; each of its steps runs in a ``scope``."""
        answer: Completion | RequestError | None = None
        most = MAX_CALLS + len(parents)  # each parent may be consulted about
        for step in range(most):
            try:
                with _blamed(name), scope(step + 1):
                    failed = isinstance(answer, RequestError)
                    wanted = steps.throw(answer) if failed else steps.send(answer)  # type: ignore[arg-type]
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                if isinstance(wanted, Consult):
                    answer = await self._consult(name, wanted, parents)
                elif isinstance(wanted, Prompt):
                    answer = await self._ask(Address(plan.generation, plan.slot, "vary", len(calls)), wanted)
                    calls.append(answer)
                else:
                    raise OperatorError(
                        f"variation {name!r} must yield Prompts, it yielded a {type(wanted).__name__}"
                    )
            except RequestError as error:
                answer = error
                if isinstance(wanted, Prompt):
                    calls.append(Completion(""))  # the call that failed keeps its number
        steps.close()
        raise OperatorError(f"variation {name!r} asked the model {most} times for one child without an end")

    async def _consult(self, name: str, wanted: Consult, parents: Sequence[Candidate]) -> Completion:
        """Ask about a parent, once for all children: whoever comes first asks, the others wait for it."""
        about = wanted.about
        if not any(about is parent for parent in parents):
            raise OperatorError(
                f"variation {name!r} consults about a candidate that is not among its parents"
            )
        if not wanted.purpose.isidentifier() or wanted.purpose in ("vary", "evaluate", "finish"):
            raise OperatorError(
                f"variation {name!r}: the purpose of a Consult must be a word of its own, got {wanted.purpose!r}"
            )
        address = Address(about.generation, about.slot, wanted.purpose, 0)
        digest, asking = self.consulted.get(address, (prompt_digest(wanted.prompt), None))
        if digest != prompt_digest(wanted.prompt):
            raise OperatorError(
                f"variation {name!r} consults about {about.uid} for {wanted.purpose!r} with two different prompts"
            )
        if asking is None:
            asking = asyncio.ensure_future(self._ask(address, wanted.prompt))
            self.consulted[address] = (digest, asking)
        return await asyncio.shield(asking)


@contextlib.contextmanager
def _blamed(name: str) -> Iterator[None]:
    """What an operator raises is the operator's fault, except what is raised to be seen by the machine."""
    try:
        yield
    except (StopIteration, RequestError, EvolveError):
        raise
    except Exception as error:
        raise OperatorError(f"variation {name!r} raised {type(error).__name__}: {error}") from error


def prompt_digest(prompt: Prompt) -> str:
    """32 hexadecimal digits that differ where any message differs."""
    digest = hashlib.blake2b(digest_size=16)
    for message in prompt.messages:
        content = message.content.encode("utf-8", "surrogatepass")
        digest.update(f"{message.role}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def clean(text: str) -> str:
    """Text that can be encoded: a lone surrogate becomes the replacement character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _cleaned(completion: Completion) -> Completion:
    text, reasoning = clean(completion.text), clean(completion.reasoning)
    if text is completion.text and reasoning is completion.reasoning and not completion.first_token:
        return completion
    return replace(
        completion,
        text=text,
        reasoning=reasoning,
        first_token=tuple((clean(token), value) for token, value in completion.first_token),
    )
