"""One child, from plan to candidate: render, generate, store, parse."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolve_llm.basics.once import Once
from evolve_llm.engine.calling import Caller, Tokens, prompt_digest
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.errors import EvolveError, OperatorError, RequestError
from evolve_llm.nouns.outcome import Failure, Recalled
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import derive, rng_scope
from evolve_llm.nouns.thinking import apart
from evolve_llm.scheme.carry import WHOLE, Carry, Read
from evolve_llm.scheme.operator import MAX_CALLS, Consult, Copy, Final, Steps, declared, name_of
from evolve_llm.scheme.plan import Plan


class NoRoomError(Exception):
    """A child's prompt leaves no room for its reply: one parent fewer."""


@dataclass(slots=True)
class Nursery:
    """Where the children of one problem are bred. Operators only ever see the public problem.

    ``carry`` says what of a parent its children read; ``reads`` is that, worked out once for each parent.
    ``spent``: the tokens of all calls for the problem, wherever they were answered from.
    """

    place: int
    problem: Problem
    toolbox: Any
    extract: Callable[[str], str | None]
    caller: Caller
    recalled: Mapping[Address, Recalled]
    tokens: Tokens
    seed: int = 0
    carry: Carry = WHOLE
    born: dict[str, Candidate] = field(default_factory=dict)
    consulted: dict[Address, str] = field(default_factory=dict)  # the digest of what was asked about a parent
    answers: Once[Completion] = field(default_factory=lambda: Once(keep=True))
    reads: Once[Read] = field(default_factory=lambda: Once(keep=True))
    spent: int = 0

    async def close(self) -> None:
        """End what children share: it must not outlive them."""
        await self.answers.cancel_all()
        await self.reads.cancel_all()

    async def read(self, parent: Candidate) -> Read:
        """A parent as its children see it."""
        if self.carry.leaves(parent):
            return Read(parent)
        return await self.reads.run(
            parent.uid, lambda: self.carry.read(parent, self.tokens.max_tokens, self.tokens.starts)
        )

    async def breed(self, plan: Plan, parents: Sequence[Candidate]) -> Candidate:
        """The child of a plan, whatever becomes of it: failures are candidates too (invariant I6).

        ``parents`` are those the plan names, in its order. Failed ones are dropped; those of whom nothing is to
        be read are left out, and so are the last ones where ``carry`` drops and the prompt has no room for
        them. A child left with none is sampled afresh.
        """
        live = [parent for parent in parents if not parent.failed]
        read = [one for one in [await self.read(parent) for parent in live] if not one.nothing]
        child = Candidate(self.problem.id, plan.generation, plan.slot, "")
        child.dropped = tuple(parent.uid for parent in parents if parent.failed)
        calls: list[Completion] = []
        while True:
            try:
                await self._try(child, plan, "init" if parents and not read else plan.alias, read, calls)
                break
            except NoRoomError:
                read.pop()
        child.parents = tuple(one.parent.uid for one in read)
        child.left_out = tuple(parent.uid for parent in live if parent.uid not in child.parents)
        child.cut = tuple(0 if child.copied else one.cut for one in read)
        return self._count(child, calls)

    async def _try(
        self, child: Candidate, plan: Plan, alias: str, read: Sequence[Read], calls: list[Completion]
    ) -> None:
        """Make the child of these parents. Raises NoRoomError where there is no room for all of them."""
        operator = getattr(self.toolbox, alias)
        child.alias, child.operator = alias, name_of(operator)
        try:
            made = await self._vary(operator, [one.parent for one in read], plan, calls)
            if isinstance(made, Copy):
                whole = self.born[made.parent.uid]
                child.text, child.reasoning = whole.text, whole.reasoning
                child.copied, child.status = True, whole.status
                child.answer = self._extracted(child.text)
                child.text_tokens, child.logprobs = whole.text_tokens, whole.logprobs
            else:
                await self._room(made, len(read))
                await self._write(child, made, calls)
        except RequestError as error:
            child.status, child.reason = Status.FAILED, error.reason

    async def _room(self, prompt: Prompt, parents: int) -> None:
        """Raises NoRoomError where a prompt with this many parents should have fewer."""
        if parents and self.carry.policy == "drop" and not await self.tokens.fits(prompt):
            raise NoRoomError

    async def conclude(self, generation: int, slot: int, final: Final) -> Candidate:
        """The one last chain that a finish operator asked for."""
        operator = name_of(self.toolbox.finish)
        parents = tuple(parent.uid for parent in final.parents)
        child = Candidate(self.problem.id, generation, slot, operator, parents=parents, alias="finish")
        child.cut = tuple([(await self.read(self.born[uid])).cut for uid in parents])
        calls: list[Completion] = []
        try:
            await self._write(child, final.prompt, calls)
        except RequestError as error:
            child.status, child.reason = Status.FAILED, error.reason
        return self._count(child, calls)

    async def _write(self, child: Candidate, prompt: Prompt, calls: list[Completion]) -> None:
        completion = await self._ask(Address(child.generation, child.slot, "vary", len(calls)), prompt)
        calls.append(completion)
        child.reasoning, child.text = apart(completion.reasoning, completion.text)
        if not child.text.strip() and not child.reasoning:
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
        """The answer in the text; none in a chain that was cut in thought, whatever a format makes of no text."""
        if not text.strip():
            return None
        try:
            return self.extract(text)
        except Exception as error:  # an answer format may be anybody's
            raise OperatorError(
                f"the answer format {self.problem.format!r} raised {type(error).__name__}: {error}"
            ) from error

    async def _ask(self, address: Address, prompt: Prompt) -> Completion:
        outcome = await self.caller(self.place, self.problem.id, address, prompt, self.recalled)
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
                    await self._room(wanted, len(parents))
                    answer = await self._ask(Address(plan.generation, plan.slot, "vary", len(calls)), wanted)
                    calls.append(answer)
                else:
                    raise OperatorError(
                        f"variation {name!r} must yield Prompts, it yielded a {type(wanted).__name__}"
                    )
            except NoRoomError:
                steps.close()
                raise
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
        digest = prompt_digest(wanted.prompt)
        if self.consulted.setdefault(address, digest) != digest:
            raise OperatorError(
                f"variation {name!r} consults about {about.uid} for {wanted.purpose!r} with two different prompts"
            )
        return await self.answers.run(address, lambda: self._ask(address, wanted.prompt))


@contextlib.contextmanager
def _blamed(name: str) -> Iterator[None]:
    """What an operator raises is the operator's fault, except what is raised to be seen by the engine."""
    try:
        yield
    except (StopIteration, RequestError, EvolveError):
        raise
    except Exception as error:
        raise OperatorError(f"variation {name!r} raised {type(error).__name__}: {error}") from error
