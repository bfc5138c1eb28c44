"""A deterministic model for tests, ours and yours: its answers come from a function, at once and free.

Answers are a function of the request alone, never of the order in which requests arrive, so whatever
is built on it must be reproducible at any concurrency. The only exception is ``die_after``, which
plays a model that dies in the middle of a run.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random

from pydantic import Field

from evolve_llm.backends import stand_in
from evolve_llm.backends.options import Options, read_options
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, FinishReason, ModelInfo, Prompt, Request
from evolve_llm.scheme import registry

MAX_ATTEMPTS = 5
"""Times one request is tried when its answer is Flaky; real backends do so with pauses in between."""


@dataclass(frozen=True, slots=True)
class Flaky:
    """An answer that comes only after ``failures`` transient failures, retried inside the backend.

    With MAX_ATTEMPTS or more failures the request fails with ``reason``.
    """

    answer: str | Completion
    failures: int = 1
    reason: str = "server_error"


Answer = str | Completion | Flaky | BaseException
_ANSWERS = (str, Completion, Flaky, BaseException)
Respond = Callable[[Request], Answer | Awaitable[Answer]]


class Scripted:
    """A backend that answers with ``respond(request)``.

    ``respond`` returns (or, as a coroutine, gives) a text, a Completion, a Flaky, or an exception, which
    is raised; it may raise as well. A text gets its token counts from ``count`` (4 characters a token) and
    is cut at ``max_tokens`` or at the window's end with finish_reason ``length``; a Completion is handed
    on as it is, but for log-probabilities that it lacks and the request asks for (see ``with_logprobs``).
    ``delay`` is in seconds, fixed or by request; at 0 nothing is awaited at all.
    ``die_after`` is the number of calls after which every further one raises BackendError.

    As an oracle: ``call_count``, ``retries`` (transient failures overcome), ``in_flight`` and
    ``peak_in_flight``; with ``record=True`` also ``calls``, every request in order of arrival.
    """

    def __init__(
        self,
        respond: Respond,
        *,
        delay: float | Callable[[Request], float] = 0.0,
        capacity: int = 64,
        context_length: int | None = None,
        identity: str = "scripted",
        die_after: int | None = None,
        record: bool = False,
    ) -> None:
        self.identity = identity
        self.pictures = True
        self.capacity = capacity
        self.calls: list[Request] = []
        self.call_count = 0
        self.retries = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._respond = respond
        self._delay = delay
        self._context_length = context_length
        self._die_after = die_after
        self._record = record

    async def start(self) -> ModelInfo:
        """Say what the model is. Nothing is loaded."""
        return ModelInfo(self.identity, self._context_length, {"engine": "scripted"})

    async def generate(self, request: Request) -> Completion:
        """The scripted answer. Raises what ``respond`` raises or returns, ``RequestError`` with
        ``context_overflow`` for a prompt that fills the window, and BackendError after ``die_after`` calls.
        """
        self.call_count += 1
        if self._record:
            self.calls.append(request)
        if self._die_after is not None and self.call_count > self._die_after:
            raise BackendError(f"the scripted model died after {self._die_after} calls, as its script says")
        self.in_flight += 1
        if self.in_flight > self.peak_in_flight:
            self.peak_in_flight = self.in_flight
        try:
            delay = self._delay(request) if callable(self._delay) else self._delay
            if delay > 0:
                await asyncio.sleep(delay)
            answer = self._respond(request)
            if not isinstance(answer, _ANSWERS):
                answer = await answer
            return self._completed(request, answer)
        finally:
            self.in_flight -= 1

    async def count_tokens(self, prompt: Prompt) -> int:
        """The exact number of tokens, as ``generate`` reports it."""
        return prompt_tokens(prompt)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _completed(self, request: Request, answer: Answer) -> Completion:
        if isinstance(answer, Flaky):
            self.retries += min(answer.failures, MAX_ATTEMPTS - 1)
            if answer.failures >= MAX_ATTEMPTS:
                raise RequestError(answer.reason, f"gave up after {MAX_ATTEMPTS} attempts")
            answer = answer.answer
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, Completion):
            answer = completion(request, answer, self._context_length)
        return with_logprobs(request, answer) if request.logprobs and not answer.logprobs else answer


def count(text: str) -> int:
    """Tokens of a text in the scripted tokenizer: 4 characters each, the last one maybe shorter."""
    return -(-len(text) // 4)


def prompt_tokens(prompt: Prompt) -> int:
    """Tokens of a conversation: those of its texts, and 4 a message for the template."""
    return sum(4 + count(message.content) for message in prompt.messages)


def completion(request: Request, text: str, context_length: int | None = None) -> Completion:
    """A text as the completion of a request, cut at ``max_tokens`` and at the window's end.

    Raises RequestError ``context_overflow`` when the prompt leaves no room for one token.
    """
    used = prompt_tokens(request.prompt)
    room = request.sampling.max_tokens
    if context_length is not None:
        if used >= context_length:
            raise RequestError("context_overflow", f"{used} prompt tokens, context of {context_length}")
        room = min(room, context_length - used)
    finish: FinishReason = "stop"
    if count(text) > room:
        text, finish = text[: 4 * room], "length"
    return Completion(text, finish, used, count(text))


def with_logprobs(request: Request, answer: Completion) -> Completion:
    """The completion with pseudo log-probabilities, a function of the request and the text alone.

    Each token has ``-x`` with x exponential of mean 1/2. Of the first token's alternatives, the text's own
    first word has that probability, ``True`` and ``False`` a random split of half of the rest.
    """
    if not answer.completion_tokens:
        return answer
    rng = stand_in.random_for(request, answer.completion_tokens)
    logprobs = tuple(round(-rng.expovariate(2.0) - 1e-4, 4) for _ in range(answer.completion_tokens))
    own, share = math.exp(logprobs[0]), rng.uniform(0.01, 0.99)
    rest = (1.0 - own) / 2
    first = {"True": rest * share, "False": rest * (1 - share)}
    word = next(iter(answer.text.split()), "")
    first[word] = own + first.get(word, 0.0)
    likeliest = sorted(first.items(), key=lambda entry: -entry[1])
    return replace(
        answer,
        logprobs=logprobs,
        first_token=tuple((token, round(math.log(chance), 4)) for token, chance in likeliest),
    )


class ScriptedOptions(Options):
    """What ``scripted:KEY=VALUE,…`` and ``--set engine.KEY=VALUE`` understand."""

    answers: str = Field(
        default="", description="answers to draw from, separated by |; empty: the stand-in's own"
    )
    error: float = Field(default=0.4, ge=0, le=1, description="probability of missing a sum it can read")
    delay: float = Field(default=0.0, ge=0, description="seconds an answer takes")
    fail: float = Field(default=0.0, ge=0, le=1, description="share of requests that fail for good")
    flaky: float = Field(
        default=0.0, ge=0, le=1, description="share of requests that fail once and are retried"
    )
    truncate: float = Field(default=0.0, ge=0, le=1, description="share of answers cut in the middle")
    seed: int = Field(default=0, description="salt of all of the above")
    capacity: int = Field(default=64, ge=1, description="requests in flight at once")
    context_length: int | None = Field(default=None, ge=1, description="window in tokens; none: unbounded")
    die_after: int | None = Field(default=None, ge=0, description="calls after which the model is dead")


_SPEED = {"delay", "capacity", "die_after"}
"""Options that change no answer and so are no part of the identity."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def scripted(argument: str = "", **options: object) -> Scripted:
    """A stand-in for a model, which does not reason: ``--model scripted[:SPEC]``.

    SPEC is ``key=value,…`` with the fields of ScriptedOptions, or ``module:function`` for a ``respond``
    of one's own. Raises UserError for unknown keys, impossible values and functions that do not exist.
    """
    if _FUNCTION.fullmatch(argument):
        chosen = read_options(ScriptedOptions, "scripted", options)
        respond, identity = _imported(argument), f"scripted:{argument}"
        _refuse_stand_in_options(chosen, argument)
    else:
        chosen = read_options(ScriptedOptions, "scripted", {**_spec(argument), **options})
        respond, identity = _stand_in(chosen), _identity(chosen)
    return Scripted(
        respond,
        delay=chosen.delay,
        capacity=chosen.capacity,
        context_length=chosen.context_length,
        identity=identity,
        die_after=chosen.die_after,
    )


def _spec(argument: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in argument.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise UserError(
                f"scripted:{argument}: {part!r} must be KEY=VALUE; write for example "
                "scripted:answers=4|5|6,fail=0.1, or scripted:module:function"
            )
        if key.strip() in pairs:
            raise UserError(f"scripted:{argument}: {key.strip()!r} is given twice")
        pairs[key.strip()] = value.strip()
    return pairs


def _identity(chosen: ScriptedOptions) -> str:
    telling = chosen.model_dump(exclude=_SPEED, exclude_defaults=True)
    return "scripted" + "".join(
        f"{',' if index else ':'}{key}={value}" for index, (key, value) in enumerate(sorted(telling.items()))
    )


def _stand_in(chosen: ScriptedOptions) -> Respond:
    answers = tuple(filter(None, (answer.strip() for answer in chosen.answers.split("|"))))

    def respond(request: Request) -> Answer:
        rng = stand_in.random_for(request, chosen.seed)
        fate = rng.random(), rng.random(), rng.random()
        if fate[0] < chosen.fail:
            return RequestError("server_error", "a scripted failure")
        text = stand_in.chain(request, Random(rng.getrandbits(64)), chosen.error, answers)
        answer: str | Completion = text
        if fate[1] < chosen.truncate:
            half = completion(request, text[: len(text) // 2], chosen.context_length)
            answer = replace(half, finish_reason="length")
        return Flaky(answer) if fate[2] < chosen.flaky else answer

    return respond


def _refuse_stand_in_options(chosen: ScriptedOptions, function: str) -> None:
    idle = chosen.model_fields_set - _SPEED - {"context_length"}
    if idle:
        raise UserError(
            f"scripted:{function} answers by itself, so {', '.join(sorted(idle))} would change nothing; "
            "leave them out"
        )


def _imported(path: str) -> Respond:
    found = registry.imported(path, "scripted model")
    if not callable(found) or inspect.isclass(found):
        raise UserError(f"scripted:{path} is not a function that takes a Request and returns a text")
    respond: Respond = found
    return respond
