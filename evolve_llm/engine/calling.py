"""One call to the model: from the store where it was paid for, else from the backend, committed before it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from evolve_llm.backends.base import Backend, token_starts
from evolve_llm.engine.permits import Permits
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BackendError, EvolveError, RequestError, StoreError, UserError
from evolve_llm.nouns.outcome import Failure, Recalled
from evolve_llm.nouns.request import Completion, Prompt, Request, Sampling
from evolve_llm.nouns.seeding import derive

Count = TypeVar("Count")


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
        """Count the tokens of one completion."""
        self.requests += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        self.spent += completion.prompt_tokens + completion.completion_tokens

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.budget is not None and self.spent >= self.budget


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the engine says of lengths. ``max_tokens`` of one reply; ``window``: the most of prompt and reply
    together, None if unknown."""

    backend: Backend
    max_tokens: int
    window: int | None = None

    async def fits(self, prompt: Prompt) -> bool:
        """Whether a prompt leaves room for the longest reply, by the engine's own count."""
        if self.window is None:
            return True
        return await self._counted(self.backend.count_tokens(prompt)) + self.max_tokens <= self.window

    async def starts(self, text: str) -> Sequence[int] | None:
        """Where each token of a text starts, in characters; None where the engine cannot tell."""
        return await self._counted(token_starts(self.backend, text))

    async def _counted(self, count: Awaitable[Count]) -> Count:
        """What is made of a count is not stored: where it fails the run ends, and is resumed."""
        try:
            return await count
        except RequestError as error:
            raise BackendError(
                f"the model {self.backend.identity!r} did not count tokens: {error.reason}"
            ) from error
        except EvolveError:
            raise
        except Exception as error:
            raise BackendError(
                f"the model {self.backend.identity!r} failed to count tokens with "
                f"{type(error).__name__}: {clean(str(error))}"
            ) from error


class Commits(Protocol):
    """Where outcomes are committed: a run's ``Store``."""

    def put(
        self, place: int, address: Address, prompt: str, seed: int, outcome: Completion | Failure, /
    ) -> Awaitable[None]:
        """Write one outcome; done once it is committed."""
        ...


@dataclass(slots=True)
class Caller:
    """Gets completions: from the store where an earlier session paid for them, else from the backend."""

    backend: Backend
    store: Commits
    permits: Permits
    sampling: Sampling
    seed: int
    meter: Meter
    logprobs: bool = False
    window: int | None = None

    @property
    def tokens(self) -> Tokens:
        """A counter of tokens that counts as the backend does."""
        return Tokens(self.backend, self.sampling.max_tokens, self.window)

    async def __call__(
        self, place: int, problem: str, address: Address, prompt: Prompt, recalled: Mapping[Address, Recalled]
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
                    f"problem {problem!r}, candidate {address.generation}.{address.slot}: the stored "
                    "completion answers another prompt than the one rendered now. Either an operator has "
                    "changed since the run began: then give another --out. Or a variation operator draws "
                    "at random without declaring it: then write @variation(draws=True)."
                )
            return stored.outcome
        seed = derive(self.seed, problem, *address)
        request = Request(problem, address, prompt, self.sampling, seed, self.logprobs)
        outcome: Completion | Failure
        async with self.permits.take((place, address.generation, address.slot)):
            try:
                completion = await self.backend.generate(request)
            except RequestError as error:
                self.meter.failed += 1
                outcome = Failure(clean(error.reason), clean(error.detail))
            except EvolveError:
                raise
            except Exception as error:  # a backend that breaks its contract ends the run like one that died
                raise BackendError(
                    f"the model {self.backend.identity!r} failed on {request.id} with "
                    f"{type(error).__name__}: {clean(str(error))}"
                ) from error
            else:
                if self.logprobs and completion.completion_tokens and not completion.logprobs:
                    raise UserError(
                        "the preset's fitness needs log-probabilities, but the model "
                        f"{self.backend.identity!r} gave none; use a backend that does (openai with a vLLM "
                        "or llama.cpp server, or the embedded engine), or another [evaluate]"
                    )
                outcome = _cleaned(completion)
                self.meter.count(outcome)
                if self.meter.exhausted:
                    self.permits.close()
            committed = self.store.put(place, address, digest, seed, outcome)
        await committed
        return outcome


def prompt_digest(prompt: Prompt) -> str:
    """32 hexadecimal digits that differ where any message differs."""
    digest = hashlib.blake2b(digest_size=16)
    for message in prompt.messages:
        content = message.content.encode("utf-8", "surrogatepass")
        digest.update(f"{message.role}:{len(content)}:".encode())
        digest.update(content)
        for picture in message.pictures:
            digest.update(f"picture:{len(picture.url)}:{picture.url}".encode())
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
