"""ASGI middleware that both sides of a comparison pass: it sets each answer's length and counts the traffic.

A chat completion that comes in gets the next length of a seeded, heavy-tailed row, whatever it asked for
(``max_tokens`` with ``ignore_eos``): two programs that make the same number of calls then have the same
number of tokens written for them, straggler for straggler. Texts do not matter.

    POST /study/begin {"seed": 0, "lengths": {…}}   a new row of lengths, counts from zero
    GET  /study/counts                              what has passed since

vLLM's server takes it with ``--middleware traffic.Traffic``; the simulated engine wraps itself in it.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Lengths:
    """Lognormal lengths in tokens, cut to [low, high]. ``sigma`` is of the logarithm."""

    median: float
    sigma: float
    low: int
    high: int

    def row(self, seed: int) -> Iterator[int]:
        """The endless row of a seed."""
        rng = random.Random(seed)
        while True:
            drawn = math.exp(math.log(self.median) + self.sigma * rng.gauss(0, 1))
            yield min(self.high, max(self.low, round(drawn)))


@dataclass
class Counts:
    """What passed. ``busy`` is the sum over requests of the seconds each was in flight."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    peak: int = 0
    busy: float = 0.0
    first: float | None = None
    last: float | None = None

    def plain(self) -> dict[str, Any]:
        """With ``in_flight``, the mean number of requests in flight from the first to the last."""
        span = (self.last or 0.0) - (self.first or 0.0)
        return {**asdict(self), "in_flight": self.busy / span if span > 0 else 0.0}


def imposed(body: Mapping[str, Any], length: int) -> dict[str, Any]:
    """The request as the engine gets it: as long an answer as we say, not streamed."""
    kept = {key: value for key, value in body.items() if key not in ("max_completion_tokens", "stop")}
    return {**kept, "max_tokens": length, "ignore_eos": True, "stream": False}


@dataclass
class Traffic:
    """The middleware. Not for streamed answers."""

    app: App
    lengths: Iterator[int] = field(default_factory=lambda: Lengths(32, 0.8, 4, 96).row(0))
    counts: Counts = field(default_factory=Counts)
    flying: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/study/begin":
            told = json.loads(await read_body(receive))
            self.lengths, self.counts = Lengths(**told["lengths"]).row(told["seed"]), Counts()
            await send_json(send, {})
        elif scope["path"] == "/study/counts":
            await send_json(send, self.counts.plain())
        elif scope["path"].endswith("/chat/completions"):
            await self._completion(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _completion(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = imposed(json.loads(await read_body(receive)), next(self.lengths))
        raw = json.dumps(body).encode()
        headers = [pair for pair in scope["headers"] if pair[0].lower() != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(raw)).encode())]}
        counts, answer, status, told = self.counts, bytearray(), 0, False

        async def once() -> dict[str, Any]:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": raw, "more_body": False}

        async def listening(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            answer.extend(message.get("body", b""))
            await send(message)

        began = time.perf_counter()
        counts.first = counts.first or began
        self.flying += 1
        counts.peak = max(counts.peak, self.flying)
        try:
            await self.app(scope, once, listening)
        finally:
            self.flying -= 1
            counts.last = time.perf_counter()
            counts.busy += counts.last - began
            counts.requests += 1
            if status == 200:
                usage = json.loads(answer)["usage"]
                counts.prompt_tokens += usage["prompt_tokens"]
                counts.completion_tokens += usage["completion_tokens"]
            else:
                counts.failed += 1


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def send_json(send: Send, value: object, status: int = 200) -> None:
    """A whole JSON response."""
    await send_body(send, json.dumps(value).encode(), b"application/json", status)


async def send_body(send: Send, body: bytes, kind: bytes, status: int = 200) -> None:
    """A whole response."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
