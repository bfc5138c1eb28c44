"""Models that misbehave on purpose and on schedule. Each answer is a function of its request alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from evolve_llm.backends.base import Backend
from evolve_llm.nouns.errors import RequestError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

Order = Literal["first", "last", "any", "starve"]
ORDERS: tuple[Order, ...] = ("first", "last", "any", "starve")


@dataclass(frozen=True)
class Behaviour:
    """What a scripted model does with each request: give it to ``Scripted`` as ``respond``.

    An answer depends on the request's address, seed and whole prompt, so a wrong parent, order or seed
    changes everything after it. ``fail`` and ``truncate`` are the shares of requests that fail for good
    and of answers that are cut; ``hostile`` texts, if any, replace every third answer. ``answers`` are
    the final answers to draw from: few of them make ties.
    """

    salt: int = 0
    answers: Sequence[str] = ("4", "5", "6")
    fail: float = 0.0
    truncate: float = 0.0
    hostile: Sequence[str] = ()

    def rng(self, request: Request) -> Random:
        """The generator of everything decided about one request."""
        text = "\x1f".join(f"{one.role}\x1e{one.content}" for one in request.prompt.messages)
        key = f"{self.salt}|{request.id}|{request.seed}|{request.sampling}|{text}"
        return Random(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest())

    def __call__(self, request: Request) -> Completion | BaseException:
        """The completion of a request, or the RequestError it fails with."""
        rng = self.rng(request)
        fate, cut = rng.random(), rng.random()
        if fate < self.fail:
            return RequestError(rng.choice(("timeout", "bad_request", "empty_response")), "as scripted")
        answer = rng.choice(self.answers)
        text = f"chain {rng.getrandbits(32):08x}: \\boxed{{{answer}}} <answer>{answer}</answer>"
        if self.hostile and rng.random() < 1 / 3:
            text = rng.choice(self.hostile)
        return Completion(
            text,
            "length" if cut < self.truncate else "stop",
            prompt_tokens=1 + sum(len(one.content) for one in request.prompt.messages) // 4,
            completion_tokens=1 + len(text) // 4,
            cached_tokens=rng.randrange(2),
        )


@dataclass
class Ledger:
    """A backend around another that keeps the books: who was asked for what, and what came back.

    The same Ledger may serve several sessions of one run. ``asked`` counts the calls of each request id,
    ``answered`` holds the completions handed back; ``die_at`` raises the given error at that call (counted
    over all sessions) and at every later one, until it is set to None.
    """

    inner: Backend
    asked: Counter[str] = field(default_factory=Counter)
    answered: dict[str, Completion] = field(default_factory=dict)
    calls: int = 0
    die_at: int | None = None
    error: Callable[[], BaseException] | None = None
    in_flight: int = 0
    peak: int = 0
    on_answer: Callable[[Request, Completion], None] | None = None

    @property
    def identity(self) -> str:
        """The same as that of the inner backend."""
        return self.inner.identity

    @property
    def capacity(self) -> int:
        """The same as that of the inner backend."""
        return self.inner.capacity

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens of everything handed back."""
        return sum(one.prompt_tokens + one.completion_tokens for one in self.answered.values())

    async def start(self) -> ModelInfo:
        """The answer of the inner backend."""
        return await self.inner.start()

    async def generate(self, request: Request) -> Completion:
        """The answer of the inner backend, noted in the ledger."""
        self.calls += 1
        if self.die_at is not None and self.calls >= self.die_at and self.error is not None:
            raise self.error()
        self.asked[request.id] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            completion = await self.inner.generate(request)
        finally:
            self.in_flight -= 1
        self.answered[request.id] = completion
        if self.on_answer is not None:
            self.on_answer(request, completion)
        return completion

    async def count_tokens(self, prompt: Prompt) -> int:
        """The answer of the inner backend."""
        return await self.inner.count_tokens(prompt)

    async def close(self) -> None:
        """Close the inner backend."""
        await self.inner.close()


class Reordering:
    """A model whose completions come back in an order of the test's choosing, on no clock at all.

    Requests pile up while the event loop has other things to do; after a random number of its turns one
    of them is let go: the ``first`` to have come, the ``last``, ``any``, or with ``starve`` any but the
    oldest for as long as there is another. ``seed`` draws the turns and the choices.
    """

    def __init__(
        self,
        respond: Callable[[Request], Completion | BaseException],
        *,
        order: Order = "any",
        seed: int = 0,
        patience: int = 4,
        capacity: int = 64,
        identity: str = "scripted",
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
        self.identity = identity
        self.capacity = capacity
        self.arrived: list[str] = []
        self.released: list[str] = []
        self._respond = respond
        self._order = order
        self._patience = patience
        self._rng = Random(seed)
        self._pending: list[tuple[Request, asyncio.Future[None]]] = []
        self._ticking = False

    async def start(self) -> ModelInfo:
        """Say what the model is. Nothing is loaded."""
        return ModelInfo(self.identity)

    async def generate(self, request: Request) -> Completion:
        """The answer of ``respond``, when its turn has come."""
        loop = asyncio.get_running_loop()
        gate: asyncio.Future[None] = loop.create_future()
        self.arrived.append(request.id)
        self._pending.append((request, gate))
        if not self._ticking:
            self._ticking = True
            loop.call_soon(self._tick, loop, self._rng.randint(0, self._patience))
        await gate
        answer = self._respond(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def count_tokens(self, prompt: Prompt) -> int:
        """A count of one token for every 4 characters."""
        return sum(len(one.content) for one in prompt.messages) // 4

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _tick(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        self._pending = [(request, gate) for request, gate in self._pending if not gate.done()]
        if not self._pending:
            self._ticking = False
            return
        if turns == 0:
            request, gate = self._pending.pop(self._choice(self._pending))
            self.released.append(request.id)
            gate.set_result(None)
            turns = self._rng.randint(0, self._patience) + 1
        loop.call_soon(self._tick, loop, turns - 1)

    def _choice(self, pending: Collection[object]) -> int:
        if self._order == "first":
            return 0
        if self._order == "last":
            return len(pending) - 1
        lowest = 1 if self._order == "starve" and len(pending) > 1 else 0
        return self._rng.randrange(lowest, len(pending))
