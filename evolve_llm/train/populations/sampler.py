"""The model being trained, as a backend of our engine: requests that wait together are sampled in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BackendError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

Ids = list[int]
QUIET = 50
"""Turns of the event loop without a new request after which all that can be asked has been."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One reply as the trainer needs it: token ids, and their log-probabilities where the sampler has them."""

    messages: tuple[tuple[str, str], ...]
    prompt_ids: Ids
    completion_ids: Ids
    logprobs: list[float] | None


class TrainedModel:
    """A backend over two functions of a trainer.

    ``tokenize`` makes token ids of conversations, and ``sample`` writes a reply to each prompt: its token ids with the
    ending one, and their log-probabilities or None. ``decode`` makes text of a reply, ``ends`` are the tokens that end
    one, and ``window`` is the longest prompt and reply together (None if unknown). What was written is kept in
    ``replies``, by problem and address. An error of the functions is kept in ``failure``, and ends the run.

    It draws from the trainer's random numbers, not from the seeds of requests. A batch holds all requests that can be
    asked by then, in the order of their addresses, so the same weights and random state give the same replies.
    """

    capacity = 1 << 20
    identity = "the model being trained"

    def __init__(
        self,
        tokenize: Callable[[list[list[dict[str, str]]]], list[Ids]],
        sample: Callable[[list[Ids]], tuple[list[Ids], list[list[float]] | None]],
        decode: Callable[[Ids], str],
        ends: set[int],
        window: int | None,
    ) -> None:
        self._tokenize, self._sample, self._decode = tokenize, sample, decode
        self._ends, self._window = ends, window
        self._waiting: list[tuple[Request, asyncio.Future[Completion]]] = []
        self._work: asyncio.Task[None] | None = None
        self.replies: dict[tuple[str, Address], Sampled] = {}
        self.failure: BaseException | None = None

    async def start(self) -> ModelInfo:
        """Nothing is to be loaded."""
        return ModelInfo(self.identity, self._window)

    async def generate(self, request: Request) -> Completion:
        """Answer with the next batch. Raises BackendError where the trainer failed."""
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._batch())
        return await future

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact, with the chat template applied."""
        return len(self._tokenize([_conversation(prompt)])[0])

    async def close(self) -> None:
        """End what waits."""
        if self._work is not None:
            self._work.cancel()
        for _, future in self._waiting:
            future.cancel()

    async def _batch(self) -> None:
        quiet, before = 0, -1
        while quiet < QUIET:
            await asyncio.sleep(0)
            quiet, before = (quiet + 1 if len(self._waiting) == before else 0), len(self._waiting)
        batch = [one for one in self._waiting if not one[1].done()]
        batch.sort(key=lambda one: (one[0].problem, one[0].address))
        self._waiting = []
        if not batch:
            return
        try:
            found = self._answered([request for request, _ in batch])
        except BaseException as error:
            self.failure = error
            for _, future in batch:
                future.set_exception(BackendError(f"the trainer failed: {type(error).__name__}"))
            return
        for (_, future), completion in zip(batch, found, strict=True):
            future.set_result(completion)

    def _answered(self, requests: Sequence[Request]) -> list[Completion]:
        asked = [_conversation(request.prompt) for request in requests]
        prompts = self._tokenize(asked)
        replies, logprobs = self._sample(prompts)
        found = []
        for place, (request, prompt, reply) in enumerate(zip(requests, prompts, replies, strict=True)):
            said = tuple((one["role"], one["content"]) for one in asked[place])
            told = None if logprobs is None else logprobs[place]
            self.replies[request.problem, request.address] = Sampled(said, prompt, reply, told)
            ended = bool(reply) and reply[-1] in self._ends
            found.append(
                Completion(self._decode(reply), "stop" if ended else "length", len(prompt), len(reply))
            )
        return found


def _conversation(prompt: Prompt) -> list[dict[str, Any]]:
    return [{"role": one.role, "content": one.content} for one in prompt.messages]
