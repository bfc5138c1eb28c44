"""A stand-in for a server with a large model on a large GPU: continuous batching, and time that is slept, not computed.

    python experiments/throughput/simulated.py --port 8123 --speed-up 10

SIMULATED. A step decodes one token for each running sequence and prefills a piece of those that came last,
as vLLM's scheduler does; it takes ``base + each · batch + prefill / prefill_speed`` seconds. The default
constants stand for a model of 4 billion parameters on one H100: 23 thousand tokens/s at a batch of 256, 55
thousand prefill tokens/s, 4.5 ms for a step of one. There is no prefix cache: every prompt is read in full.
Time runs ``speed-up`` times as fast; the costs of HTTP and of the client do not shrink with it, so that at a
high speed-up they weigh more than they would.
A token is a character, here and in the prompts.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from traffic import Receive, Scope, Send, Traffic, read_body, send_body, send_json

CHAIN = "a5780."


@dataclass(frozen=True)
class Speed:
    """What a step costs, in seconds and tokens a second, and what fits into one."""

    base: float = 0.0045
    each: float = 0.0000258
    prefill: float = 55_000.0
    batch: int = 256
    tokens: int = 8192

    def step(self, decoding: int, prefilled: int) -> float:
        """Seconds for one step."""
        return self.base + self.each * decoding + prefilled / self.prefill


@dataclass
class Engine:
    """The scheduler: who waits, who is read, who is written. Pure: time is what its steps add up to."""

    speed: Speed = field(default_factory=Speed)
    now: float = 0.0
    steps: int = 0
    _waiting: deque[tuple[int, int, Any]] = field(default_factory=deque)
    _reading: deque[list[Any]] = field(default_factory=deque)
    _writing: list[tuple[int, int, Any]] = field(default_factory=list)
    _arrivals: int = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting or self._reading or self._writing)

    @property
    def load(self) -> tuple[int, int]:
        """Requests in the batch, and requests that wait for room in it."""
        return len(self._reading) + len(self._writing), len(self._waiting)

    def add(self, prompt: int, length: int, tag: Any) -> None:
        """Queue a request of ``prompt`` tokens that is to get ``length`` tokens, at least one of each."""
        self._waiting.append((max(1, prompt), max(1, length), tag))

    def step(self) -> list[Any]:
        """One step; gives the tags of the requests that it ended."""
        while self._waiting and len(self._reading) + len(self._writing) < self.speed.batch:
            self._reading.append(list(self._waiting.popleft()))
        decoding = len(self._writing)
        room = prefilled = max(0, self.speed.tokens - decoding)
        self.steps += 1
        while self._reading and room:
            first = self._reading[0]
            piece = min(room, first[0])
            first[0] -= piece
            room -= piece
            if first[0]:
                break
            self._reading.popleft()
            self._arrivals += 1  # the step that reads the last of a prompt writes the first token
            heapq.heappush(self._writing, (self.steps + first[1] - 1, self._arrivals, first[2]))
        self.now += self.speed.step(decoding, prefilled - room)
        ended = []
        while self._writing and self._writing[0][0] <= self.steps:
            ended.append(heapq.heappop(self._writing)[2])
        return ended


class Server:
    """The engine over HTTP, with the gauges of vLLM's ``/metrics``; its clock is tied to the real one."""

    def __init__(self, engine: Engine, speed_up: float, model: str) -> None:
        self.engine, self.speed_up, self.model = engine, speed_up, model
        self._work = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event, as ASGI has it."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/v1/models":
            entry = {"id": self.model, "object": "model", "owned_by": "simulated", "max_model_len": 262_144}
            await send_json(send, {"object": "list", "data": [entry]})
        elif scope["path"] == "/v1/chat/completions":
            await send_json(send, await self.answer(json.loads(await read_body(receive))))
        elif scope["path"] == "/metrics":
            running, waiting = self.engine.load
            page = f"vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\n"
            await send_body(send, page.encode(), b"text/plain")
        else:
            await send_json(send, {"error": {"message": f"no {scope['path']} here"}}, 404)

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A completion, when its time has come."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())
        prompt = sum(len(message["content"]) for message in body["messages"])
        length = int(body["max_tokens"])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.engine.add(prompt, length, done)
        self._work.set()
        await done
        text = (CHAIN * (length // len(CHAIN) + 1))[:length]
        return {
            "id": "simulated",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [
                {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": text}}
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": length,
                "total_tokens": prompt + length,
            },
        }

    async def _run(self) -> None:
        began = time.perf_counter()
        while True:
            if self.engine.idle:
                self._work.clear()
                await self._work.wait()
                self.engine.now = max(self.engine.now, (time.perf_counter() - began) * self.speed_up)
            while not self.engine.idle and self.engine.now <= (time.perf_counter() - began) * self.speed_up:
                for done in self.engine.step():
                    if not done.done():
                        done.set_result(None)
            await asyncio.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--speed-up", type=float, default=10.0)
    parser.add_argument("--model", default="simulated")
    given = parser.parse_args()
    import uvicorn

    server = Server(Engine(), given.speed_up, given.model)
    uvicorn.run(Traffic(server), host="127.0.0.1", port=given.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
