"""One child, from plan to candidate: render, generate, store, parse."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolve_llm.basics.once import Once
from evolve_llm.engine.calling import Caller, Tokens, prompt_digest
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.errors import OperatorError, RequestError
from evolve_llm.nouns.outcome import Failure, Recalled
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import derive
from evolve_llm.nouns.thinking import apart
from evolve_llm.scheme.applying import conversation
from evolve_llm.scheme.carry import WHOLE, Carry, Read
from evolve_llm.scheme.declarations import name_of
from evolve_llm.scheme.operator import Consult, Copy, Final
from evolve_llm.scheme.plan import Plan


class NoRoomError(Exception):
    """A child's prompt leaves no room for its reply: one parent fewer."""


@dataclass(slots=True)
class Breeder:
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
        """The parent as its children read it."""
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

        def seed(step: int) -> int:
            return derive(self.seed, self.problem.id, plan.generation, plan.slot, "render", step)

        with contextlib.closing(conversation(operator, self.problem, parents, seed=seed)) as asked:
            answer: Completion | RequestError | None = None
            while True:
                try:
                    wanted = asked.send(answer)  # type: ignore[arg-type]  # None starts it
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
                try:
                    answer = await self._answer(operator, wanted, plan, len(parents), calls)
                except RequestError as error:
                    answer = error

    async def _answer(
        self,
        operator: Callable[..., Any],
        wanted: Prompt | Consult,
        plan: Plan,
        parents: int,
        calls: list[Completion],
    ) -> Completion:
        """What the model says to a call on the way. Raises RequestError, and NoRoomError before it is asked."""
        if isinstance(wanted, Consult):
            return await self._consult(name_of(operator), wanted)
        await self._room(wanted, parents)
        calls.append(Completion(""))  # a call that fails keeps its number
        answer = await self._ask(Address(plan.generation, plan.slot, "vary", len(calls) - 1), wanted)
        calls[-1] = answer
        return answer

    async def _consult(self, name: str, wanted: Consult) -> Completion:
        """Ask about a parent, once for all children: whoever comes first asks, the others wait for it."""
        about = wanted.about
        address = Address(about.generation, about.slot, wanted.purpose, 0)
        digest = prompt_digest(wanted.prompt)
        if self.consulted.setdefault(address, digest) != digest:
            raise OperatorError(
                f"variation {name!r} consults about {about.uid} for {wanted.purpose!r} with two different prompts"
            )
        return await self.answers.run(address, lambda: self._ask(address, wanted.prompt))
