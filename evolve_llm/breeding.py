"""One child, from plan to candidate: render, generate, store, parse."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evolve_llm.backends.base import Backend
from evolve_llm.candidate import Candidate, Status
from evolve_llm.errors import OperatorError, RequestError, StoreError
from evolve_llm.operator import Copy, name_of
from evolve_llm.plan import Plan
from evolve_llm.problem import Problem
from evolve_llm.request import Completion, Prompt, Request, Sampling
from evolve_llm.schedule import Permits
from evolve_llm.seeding import derive
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
                    "answers another prompt than the one rendered now; an operator has changed since the run "
                    "began. Give another --out."
                )
            return stored.outcome
        seed = derive(self.seed, problem, *address)
        name = f"{problem}/{address.generation}/{address.slot}/{address.purpose}/{address.call}"
        request = Request(name, prompt, self.sampling, seed)
        outcome: Completion | Failure
        async with self.permits.take((order, address.generation, address.slot)):
            try:
                completion = await self.backend.generate(request)
            except RequestError as error:
                self.meter.failed += 1
                outcome = Failure(error.reason, clean(error.detail))
            else:
                outcome = _cleaned(completion)
                self.meter.count(outcome)
                if self.meter.exhausted:
                    self.permits.close()
            committed = self.store.put(order, address, digest, seed, outcome)
        await committed
        return outcome


@dataclass(slots=True)
class Nursery:
    """Where the children of one problem are bred. Operators only ever see the public problem."""

    order: int
    problem: Problem
    toolbox: Any
    extract: Callable[[str], str | None]
    caller: Caller
    recalled: Mapping[Address, Recalled]
    born: dict[str, Candidate] = field(default_factory=dict)

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
            parents=tuple(parent.uid for parent in live),
            dropped=tuple(parent.uid for parent in parents if parent.failed),
        )
        made = self._vary(operator, live)
        if isinstance(made, Copy):
            child.text, child.copied, child.status = made.parent.text, True, made.parent.status
        else:
            address = Address(plan.generation, plan.slot, "vary", 0)
            outcome = await self.caller(self.order, self.problem.id, address, made, self.recalled)
            if isinstance(outcome, Failure):
                child.status, child.reason = Status.FAILED, outcome.reason
            else:
                child.text = outcome.text
                child.status = Status.TRUNCATED if outcome.finish_reason == "length" else Status.OK
                child.prompt_tokens = outcome.prompt_tokens
                child.completion_tokens = outcome.completion_tokens
                child.cached_tokens = outcome.cached_tokens
        if not child.failed:
            child.answer = self.extract(child.text)
        self.born[child.uid] = child
        return child

    def _vary(self, operator: Callable[..., Any], parents: Sequence[Candidate]) -> Prompt | Copy:
        name = name_of(operator)
        try:
            made = operator(self.problem, parents)
        except Exception as error:
            raise OperatorError(f"variation {name!r} raised {type(error).__name__}: {error}") from error
        if isinstance(made, Copy) and not any(made.parent is parent for parent in parents):
            raise OperatorError(
                f"variation {name!r} copies a candidate that is not among the parents it was given"
            )
        if not isinstance(made, Prompt | Copy):
            raise OperatorError(
                f"variation {name!r} must return a Prompt or a Copy, got {type(made).__name__}"
            )
        return made


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
    if text is completion.text and reasoning is completion.reasoning:
        return completion
    return replace(completion, text=text, reasoning=reasoning)
