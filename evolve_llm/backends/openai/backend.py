"""Any server that speaks the chat completions API, through the ``openai`` client.

The client does the transport (``openai_transport``); when to try again, for how long and when to stop is
decided here, for all servers alike, because a run of hours meets every kind of failure (``openai_patience``).
``wire.py`` sorts the failures. What vLLM and llama.cpp tell beside the API is read where it is there:
token counts (``tokens.py``) and how busy they are (``load.py``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

from evolve_llm.backends.base import Backend, Load
from evolve_llm.backends.openai import load as openai_load
from evolve_llm.backends.openai import tokens as openai_tokens
from evolve_llm.backends.openai import wire as openai_wire
from evolve_llm.backends.openai.options import (
    OPENAI_HOST,
    OpenAIOptions,
    checked_key,
    checked_url,
    identity,
    shown,
    split_urls,
)
from evolve_llm.backends.openai.patience import AttemptError, patiently
from evolve_llm.backends.openai.transport import Transport
from evolve_llm.backends.openai.wire import FailedAttempt, Wire
from evolve_llm.backends.options import read_options
from evolve_llm.backends.replicas import Replicas
from evolve_llm.backends.tokens import estimate_prompt_tokens, picture_tokens, without_pictures
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

__all__ = ["OpenAI", "OpenAIOptions", "openai"]

LISTING_TIMEOUT = 30.0
"""Seconds for GET /models, which is answered at once by a server that is well; also for /tokenize."""

LOAD_TIMEOUT = 5.0
"""Seconds for GET /metrics."""

REVIVAL = 10.0
"""Seconds in which a server that was gone must say that it answers again."""

LOAD_LASTS = 0.5
"""Seconds for which a load is believed: so long nobody asks again."""

_LOG = logging.getLogger(__name__)

Value = TypeVar("Value")


class OpenAI:
    """A model behind an OpenAI-compatible server."""

    pictures = True
    """Sent as OpenAI's message parts; a model that sees none refuses the request."""

    def __init__(self, model: str, options: OpenAIOptions | None = None) -> None:
        self.options = options or OpenAIOptions()
        self.base_url = checked_url(self.options.base_url or os.environ.get("OPENAI_BASE_URL") or None)
        key = checked_key(self.options.api_key or os.environ.get("OPENAI_API_KEY") or None, self.base_url)
        self.identity = identity(model, self.options)
        self.capacity = self.options.capacity
        self.where = shown(self.base_url)
        """The server, without secrets."""
        field = self.options.max_tokens_field
        if field is None:
            field = "max_completion_tokens" if self._is_openai() else "max_tokens"
        self._wire = Wire(
            model,
            field,
            self.options.seeds == "request",
            self.options.top_logprobs,
            None,
            self.options.extra_body,
        )
        self._transport = Transport(self.base_url, key, self.options)
        self._jitter = Random()  # its own generator: the global one belongs to the operators
        self._tokenizer: openai_tokens.Tokenizer | None = None
        self._local = (
            None if self.options.tokenizer is None else openai_tokens.LocalTokenizer(self.options.tokenizer)
        )
        self._load: tuple[float, Load | None] | None = None
        self._tells_load = not self._is_openai()
        self._asking_load = asyncio.Lock()
        self._is_vllm = False
        self._cache_was_told: bool | None = None

    async def start(self) -> ModelInfo:
        """Reach the server, find the model there and what the server can tell, without a token.

        Raises BackendError when the server cannot be reached, refuses the key or does not list the model.
        Servers that have no list of models are taken at their word.
        """
        self._transport.open()
        return await self._introduced(self.options.at_start())

    async def revive(self) -> ModelInfo | None:
        """What a server that was gone says of itself, where it answers again and has the model; else None."""
        if not self._transport.is_open:
            self._transport.open()
        try:
            return await self._introduced(
                self.options.model_copy(update={"attempts": 1, "deadline": REVIVAL})
            )
        except (BackendError, RequestError):
            return None

    async def _introduced(self, patience: OpenAIOptions) -> ModelInfo:
        try:
            listing = await self._patiently(self._list_models, patience)
        except RequestError as error:
            raise BackendError(f"the server {self.where} lists no models: {error}") from error
        entry, names = openai_wire.find_model(listing, self._wire.model)
        if entry is None and names and self.options.check_model:
            known = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            raise BackendError(
                f"the server {self.where} has no model {self._wire.model!r}; it has: {known}. (With --set "
                "engine.check_model=false the run starts all the same)"
            )
        info = openai_wire.model_info(self._wire.model, entry)
        owner = info.details["served by"]
        self._is_vllm = owner.lower() == "vllm"
        self._wire = replace(self._wire, neutral=openai_wire.neutral_samplers(owner))
        self._tokenizer = await self._find_tokenizer(owner)
        counted = "estimated" if self._tokenizer is None else "counted by the server"
        return replace(
            info,
            context_length=self.options.context_length or info.context_length,
            details={
                **info.details,
                "server": self.where,
                "prompt lengths": counted,
                "seeds": self.options.seeds,
                **({} if self._local is None else {"tokenizer": self._local.fingerprint}),
            },
        )

    async def generate(self, request: Request) -> Completion:
        """Answer one request within the deadline.

        Raises RequestError when it is refused, or when its attempts are used up and the server is well;
        BackendError when key or model are refused or the server is gone; UserError where it asks for
        log-probabilities and the server has none.
        """
        if not self._transport.is_open:
            raise BackendError("the openai backend is not started (or already closed)")
        answer = await self._patiently(lambda: self._attempt(request), self.options)
        if request.logprobs and answer.completion_tokens and not answer.logprobs:
            raise self._without_logprobs("it answered without them")
        return answer

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact where the server counts (vLLM, llama.cpp), else an estimate that errs high, as for pictures."""
        text = without_pictures(prompt)
        found = await self._from_tokenizer(lambda one: one.count(self._post, text))
        return estimate_prompt_tokens(prompt) if found is None else found + picture_tokens(prompt)

    async def token_starts(self, text: str) -> list[int] | None:
        """Where each token of a text starts, in characters, where the server tells (vLLM, llama.cpp).

        A token that begins inside a character (a part of its bytes) starts where the character does.
        """
        found = await self._from_tokenizer(lambda one: one.starts(self._post, text))
        return self._local.starts(text) if found is None and self._local is not None else found

    async def load(self) -> Load | None:
        """The server's own gauges, at most LOAD_LASTS seconds old; None where it has none or does not answer."""
        async with self._asking_load:
            now = asyncio.get_running_loop().time()
            if self._load is None or now - self._load[0] > LOAD_LASTS:
                self._load = now, await self._ask_load()
            return self._load[1]

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    # ---- one request

    async def _patiently(self, attempt: Callable[[], Awaitable[Value]], options: OpenAIOptions) -> Value:
        """``attempt`` with retries and deadline; its last failure becomes the error that the caller sees."""
        try:
            return await patiently(attempt, options, self._jitter)
        except AttemptError as error:
            if error.may_pass:
                await self._blame(error)
            raise self._final(error) from None

    async def _attempt(self, request: Request) -> Completion:
        standard, extra = openai_wire.chat_arguments(self._wire, request)
        try:
            text = await self._transport.chat(standard, extra, self.options.attempt_timeout)
        except AttemptError as error:
            if request.logprobs and openai_wire.lacks_logprobs(error.failure):
                raise self._without_logprobs(error.failure.detail) from None
            raise
        answer = openai_wire.read_body(text)
        if isinstance(answer, FailedAttempt):
            raise AttemptError(answer)
        self._note_cache(text)
        return answer

    def _note_cache(self, text: str) -> None:
        """Say once that a vLLM server keeps its prefix-cache hits to itself."""
        if self._cache_was_told is None and self._is_vllm:
            self._cache_was_told = openai_wire.tells_cached_tokens(text)
            if not self._cache_was_told:
                _LOG.warning(
                    "the vLLM server %s does not tell how much of a prompt came from its prefix cache: cached "
                    "tokens are recorded as 0. Start it with --enable-prompt-tokens-details",
                    self.where,
                )

    def _without_logprobs(self, why: str) -> UserError:
        return UserError(
            f"the preset's fitness needs log-probabilities, but the server {self.where} gives none for "
            f"{self._wire.model!r} ({why}); use a server that does (vLLM, llama.cpp), or another fitness"
        )

    async def _blame(self, error: AttemptError) -> None:
        """Tell a poisonous request from a dead server: raise BackendError when the server is not well.

        A server that answers at all (if only to say that it has no list of models) is well.
        """
        if error.failure.reason not in ("server_error", "timeout"):
            return
        if not error.refused:
            try:
                async with asyncio.timeout(self.options.connect_timeout):
                    await self._list_models()
                return
            except AttemptError as second:
                if second.failure.remedy == "wait":
                    return
                error = second
            except TimeoutError:
                error = AttemptError(FailedAttempt("end", "timeout", "it no longer answers even GET /models"))
        raise BackendError(
            f"the server {self.where} cannot be reached ({error}); start it or correct --base-url. Nothing "
            "stored is lost. The same command resumes the run once the server is there"
        )

    def _final(self, error: AttemptError) -> Exception:
        failure = error.failure
        if failure.remedy != "end":
            return RequestError(failure.reason, failure.detail)
        return BackendError(f"the server {self.where} refuses model {self._wire.model!r}: {failure.detail}")

    # ---- what the server tells of itself

    async def _list_models(self) -> object:
        try:
            text = await self._transport.models(min(LISTING_TIMEOUT, self.options.attempt_timeout))
            listing: object = json.loads(text)
        except ValueError:
            return None
        except AttemptError as error:
            # a server without a list says 404, 405 or 501, and the first request will show whether it works
            if error.failure.reason in ("no_model", "bad_request") or "HTTP 501" in error.failure.detail:
                return None
            raise
        return listing

    async def _find_tokenizer(self, owner: str) -> openai_tokens.Tokenizer | None:
        """The first tokenizer that can count a short probe."""
        if self._is_openai():
            return None
        for one in openai_tokens.candidates(owner, self._wire.model, self.options.extra_body):
            self._tokenizer = one
            if await self._from_tokenizer(lambda tried: tried.count(self._post, openai_tokens.PROBE)):
                return one
        return None

    async def _from_tokenizer(
        self, ask: Callable[[openai_tokens.Tokenizer], Awaitable[Value]]
    ) -> Value | None:
        """What the server's tokenizer says; None where there is none or it fails: a run never ends over this.

        It is asked as patiently as at the start, for what it says may decide what a prompt is.
        """
        tokenizer = self._tokenizer
        if tokenizer is None or not self._transport.is_open:
            return None
        try:
            return await patiently(lambda: ask(tokenizer), self.options.at_start(), self._jitter)
        except (AttemptError, BackendError, *openai_tokens.NONSENSE):
            return None

    async def _post(self, path: str, body: Mapping[str, Any]) -> str:
        return await self._transport.post_beside(
            path, body, min(LISTING_TIMEOUT, self.options.attempt_timeout)
        )

    async def _ask_load(self) -> Load | None:
        if not self._tells_load or not self._transport.is_open:
            return None
        try:
            found = openai_load.read_load(await self._transport.get_beside("/metrics", LOAD_TIMEOUT))
        except AttemptError as error:
            if error.may_pass and "HTTP 501" not in error.failure.detail:
                return None  # it may tell the next time
            found = None
        self._tells_load = found is not None
        return found

    def _is_openai(self) -> bool:
        return self.base_url is None or urlsplit(self.base_url).hostname == OPENAI_HOST


def openai(argument: str = "", **options: object) -> Backend:
    """A model behind a server that speaks OpenAI's protocol, or behind several servers: ``--model openai:NAME``.

    Raises UserError without a name, with a bad URL or key.
    """
    if not argument:
        raise UserError(
            "the backend openai needs a model: --model openai:NAME, with --base-url for a server of your own"
        )
    chosen = read_options(OpenAIOptions, "openai", options)
    urls: list[str | None] = [*split_urls(chosen.base_url or os.environ.get("OPENAI_BASE_URL"))]
    servers = [OpenAI(argument, chosen.model_copy(update={"base_url": url})) for url in urls or [None]]
    return servers[0] if len(servers) == 1 else Replicas(servers, [one.where for one in servers])
