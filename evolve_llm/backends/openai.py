"""Any server that speaks the chat completions API, through the ``openai`` client.

The client does the transport; when to try again, for how long and when to stop is decided here, for
all servers alike, because a run of hours meets every kind of failure. ``openai_wire`` sorts the failures.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from evolve_llm.backends import openai_wire
from evolve_llm.backends.openai_wire import Failure, Wire
from evolve_llm.backends.options import Options, read_options
from evolve_llm.backends.tokens import estimate_prompt_tokens
from evolve_llm.errors import BackendError, RequestError, UserError
from evolve_llm.request import Completion, ModelInfo, Prompt, Request

OPENAI_HOST = "api.openai.com"
PLACEHOLDER_KEY = "none"
"""Sent where no key is known: servers of one's own mostly want none, the client insists on one."""


LISTING_TIMEOUT = 30.0
"""Seconds for GET /models, which is answered at once by a server that is well."""


class OpenAIOptions(Options):
    """What ``--set engine.KEY=VALUE`` understands for ``openai:NAME``. Times are in seconds."""

    base_url: str | None = Field(
        default=None, repr=False, description="the server; none: OPENAI_BASE_URL, else OpenAI's"
    )
    api_key: str | None = Field(default=None, repr=False, description="the key; none: OPENAI_API_KEY")
    capacity: int = Field(default=64, ge=1, le=4096, description="requests in flight and connections at most")
    deadline: float = Field(default=3600, gt=0, description="one request, with all its attempts and pauses")
    attempt_timeout: float = Field(
        default=1800, gt=0, description="one attempt, queue of the server included"
    )
    connect_timeout: float = Field(default=10, gt=0, description="reaching the server")
    attempts: int = Field(default=8, ge=1, description="attempts at 5xx, resets, timeouts, malformed answers")
    empty_attempts: int = Field(default=3, ge=1, description="attempts at an answer without any text")
    backoff: float = Field(default=1, ge=0, description="longest pause after the first failure, then doubled")
    backoff_limit: float = Field(default=60, ge=0, description="longest pause at all, unless the server asks")
    send_seed: bool = Field(default=True, description="send the seed; off for servers that refuse it")
    max_tokens_field: str | None = Field(
        default=None, pattern="^max_(completion_)?tokens$", description="none: by what the server understands"
    )
    top_logprobs: int = Field(
        default=10, ge=0, le=20, description="alternatives of each token, where log-probabilities are wanted"
    )
    check_model: bool = Field(default=True, description="refuse a model that the server does not list")
    context_length: int | None = Field(default=None, ge=1, description="window; none: as the server says")
    extra_body: dict[str, Any] = Field(default_factory=dict, description="JSON added to every request")

    @model_validator(mode="before")
    @classmethod
    def _extra_body_from_text(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("extra_body"), str):
            return {**values, "extra_body": json.loads(values["extra_body"])}
        return values


class AttemptError(Exception):
    """One attempt's failure on its way to the retry loop; never leaves this module."""

    def __init__(self, failure: Failure, *, refused: bool = False) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.refused = refused
        """Whether not even a connection came about."""


class Patience:
    """How often and when one request is tried again. One object a request; asked by tenacity.

    Full jitter: each pause is uniform between nothing and a bound that doubles, so that requests which failed
    together do not come back together. A pause that the server asks for is kept and some jitter added.
    Rate limits (429) do not use up attempts: only the deadline ends them.
    """

    def __init__(self, options: OpenAIOptions, rng: Random, ends_at: float) -> None:
        self._options = options
        self._rng = rng
        self._ends_at = ends_at
        self._spent = 0
        self._empty = 0

    def stop(self, state: RetryCallState) -> bool:
        """Whether the attempts are used up."""
        failure = _failure(state).failure
        if failure.remedy == "wait":
            return False
        self._spent += 1
        self._empty += failure.reason == "empty_response"
        return self._spent >= self._options.attempts or self._empty >= self._options.empty_attempts

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the next attempt. Raises BackendError where the server asks for more than is left."""
        failure = _failure(state).failure
        bound = min(
            self._options.backoff * 2.0 ** min(state.attempt_number - 1, 30), self._options.backoff_limit
        )
        if failure.after is None:
            return self._rng.uniform(0, bound)
        if asyncio.get_running_loop().time() + failure.after > self._ends_at:
            raise BackendError(
                f"the server asks to come back in {failure.after:.0f} s, which is past a request's deadline "
                f"({failure.detail}); the same command goes on later, or raise engine.deadline"
            )
        return failure.after + self._rng.uniform(0, min(bound, self._options.backoff))


def _failure(state: RetryCallState) -> AttemptError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, AttemptError)  # the only kind that is retried
    return error


class OpenAI:
    """A model behind an OpenAI-compatible server."""

    def __init__(self, model: str, options: OpenAIOptions | None = None) -> None:
        self.options = options or OpenAIOptions()
        self.base_url = _checked_url(self.options.base_url or os.environ.get("OPENAI_BASE_URL") or None)
        self._key = _checked_key(
            self.options.api_key or os.environ.get("OPENAI_API_KEY") or None, self.base_url
        )
        self.identity = _identity(model, self.options)
        self.capacity = self.options.capacity
        self.attempts = 0
        """Attempts made so far, by all requests together."""
        field = self.options.max_tokens_field
        if field is None:
            field = "max_completion_tokens" if self._host() == OPENAI_HOST else "max_tokens"
        self._wire = Wire(
            model, field, self.options.send_seed, self.options.top_logprobs, None, self.options.extra_body
        )
        self._jitter = Random()  # its own generator: the global one belongs to the operators
        self._library: Any = None
        self._client: Any = None

    async def start(self) -> ModelInfo:
        """Reach the server and find the model there, without a token.

        Raises BackendError when the server cannot be reached, refuses the key or does not list the model.
        Servers that have no list of models are taken at their word.
        """
        self._library = importlib.import_module("openai")
        self._client = self._connected()
        try:
            listing = await self._patiently(self._list_models, _at_start(self.options))
        except RequestError as error:
            raise BackendError(f"the server {self._where()} lists no models: {error}") from error
        entry, names = openai_wire.find_model(listing, self._wire.model)
        if entry is None and names and self.options.check_model:
            shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            raise BackendError(
                f"the server {self._where()} has no model {self._wire.model!r}; it has: {shown}. "
                "(--set engine.check_model=false asks it all the same)"
            )
        info = openai_wire.model_info(self._wire.model, entry)
        self._wire = replace(self._wire, neutral=openai_wire.neutral_samplers(info.details["served by"]))
        return replace(
            info,
            context_length=self.options.context_length or info.context_length,
            details={**info.details, "server": self._where()},
        )

    async def generate(self, request: Request) -> Completion:
        """Answer one request within the deadline.

        Raises RequestError when it is refused, or when its attempts are used up and the server is well;
        BackendError when key or model are refused or the server is gone; UserError where it asks for
        log-probabilities and the server has none.
        """
        if self._client is None:
            raise BackendError("the openai backend is not started (or already closed)")
        answer: Completion = await self._patiently(lambda: self._attempt(request), self.options)
        if request.logprobs and answer.completion_tokens and not answer.logprobs:
            raise self._without_logprobs("it answered without them")
        return answer

    async def count_tokens(self, prompt: Prompt) -> int:
        """An estimate that errs high: the protocol has no way to ask."""
        return estimate_prompt_tokens(prompt)

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()

    async def _patiently(self, work: Any, options: OpenAIOptions) -> Any:
        """``work`` with retries and deadline; its last failure becomes the error that the caller sees."""
        ends_at = asyncio.get_running_loop().time() + options.deadline
        patience = Patience(options, self._jitter, ends_at)
        last: AttemptError | None = None

        async def once() -> Any:
            nonlocal last
            try:
                return await work()
            except AttemptError as error:
                last = error
                if error.failure.remedy in ("retry", "wait"):
                    raise
                raise self._final(error) from None

        retrying = AsyncRetrying(
            stop=patience.stop,
            wait=patience.wait,
            retry=retry_if_exception_type(AttemptError),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async with asyncio.timeout_at(ends_at):
                return await retrying(once)
        except TimeoutError:
            why = f"; last failure: {last}" if last is not None else ""
            detail = f"no answer within engine.deadline={options.deadline:g} s{why}"
            over = AttemptError(
                Failure("retry", "timeout", detail), refused=last is not None and last.refused
            )
        except AttemptError as error:
            over = error
        await self._blame(over)
        raise self._final(over)

    async def _attempt(self, request: Request) -> Completion:
        standard, extra = openai_wire.chat_arguments(self._wire, request)
        call = self._client.chat.completions.with_raw_response.create(**standard, extra_body=extra or None)
        try:
            answer = openai_wire.read_body(await self._answered(call, self.options.attempt_timeout))
        except AttemptError as error:
            if request.logprobs and openai_wire.lacks_logprobs(error.failure):
                raise self._without_logprobs(error.failure.detail) from None
            raise
        if isinstance(answer, Failure):
            raise AttemptError(answer)
        return answer

    def _without_logprobs(self, why: str) -> UserError:
        return UserError(
            f"the preset's fitness needs log-probabilities, and the server {self._where()} gives none for "
            f"{self._wire.model!r} ({why}); use a server that does (vLLM, llama.cpp), or another fitness"
        )

    async def _list_models(self) -> object:
        try:
            call = self._client.models.with_raw_response.list()
            text = await self._answered(call, min(LISTING_TIMEOUT, self.options.attempt_timeout))
            listing: object = json.loads(text)
        except ValueError:
            return None
        except AttemptError as error:
            # a server without a list says 404, 405 or 501, and the first request will show whether it works
            if error.failure.reason in ("no_model", "bad_request") or "HTTP 501" in error.failure.detail:
                return None
            raise
        return listing

    async def _answered(self, call: Any, limit: float) -> str:
        """The text of a response within ``limit`` seconds, with every failure of the transport sorted."""
        self.attempts += 1
        try:
            async with asyncio.timeout(limit):
                response = await call
                return str(response.text)
        except self._library.APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            body = error.body if error.body is not None else error.response.text
            raise AttemptError(openai_wire.sort_status(error.status_code, body, headers)) from None
        except self._library.APIConnectionError as error:
            cause = error.__cause__
            refused = type(cause).__name__ in ("ConnectError", "ConnectTimeout")
            timeout = isinstance(error, self._library.APITimeoutError)
            detail = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
            failure = Failure("retry", "timeout" if timeout else "server_error", detail)
            raise AttemptError(failure, refused=refused) from None
        except TimeoutError:
            detail = f"no answer to an attempt within {limit:g} s"
            raise AttemptError(Failure("retry", "timeout", detail)) from None
        except self._library.OpenAIError as error:
            detail = f"{type(error).__name__}: {error}"
            raise AttemptError(Failure("retry", "malformed_response", detail)) from None

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
                error = AttemptError(Failure("end", "timeout", "it no longer answers even GET /models"))
        raise BackendError(
            f"the server {self._where()} cannot be reached ({error}); start it or correct --base-url. Nothing "
            "stored is lost, the same command goes on when it is there"
        )

    def _final(self, error: AttemptError) -> Exception:
        failure = error.failure
        if failure.remedy != "end":
            return RequestError(failure.reason, failure.detail)
        return BackendError(
            f"the server {self._where()} refuses model {self._wire.model!r}: {failure.detail}"
        )

    def _connected(self) -> Any:
        """A client whose pool has a connection for every request in flight, and no retries of its own."""
        transport = self._library.DefaultAsyncHttpxClient
        base = next(one for one in transport.__mro__ if one.__name__ == "AsyncClient")
        # the client changed from httpx to httpx2 between its versions; take whichever it is built on
        http = importlib.import_module(base.__module__.partition(".")[0])
        size = self.options.capacity + 4
        timeout = http.Timeout(None, connect=self.options.connect_timeout)
        return self._library.AsyncOpenAI(
            api_key=self._key,
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=transport(
                limits=http.Limits(max_connections=size, max_keepalive_connections=size), timeout=timeout
            ),
        )

    def _host(self) -> str:
        return urlsplit(self.base_url).hostname or "" if self.base_url else OPENAI_HOST

    def _where(self) -> str:
        """The server without user, password and query: fit to be shown and stored."""
        if self.base_url is None:
            return OPENAI_HOST
        parts = urlsplit(self.base_url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _at_start(options: OpenAIOptions) -> OpenAIOptions:
    """Less patience: whoever started the run is still looking at it."""
    return options.model_copy(
        update={"attempts": min(3, options.attempts), "deadline": min(120.0, options.deadline)}
    )


def _identity(model: str, options: OpenAIOptions) -> str:
    extra = json.dumps(options.extra_body, sort_keys=True) if options.extra_body else ""
    return f"openai:{model}{extra}"


def _checked_url(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(
            f"the base URL {url!r} is none; write for example --base-url http://localhost:8000/v1"
        )
    return url


def _checked_key(key: str | None, base_url: str | None) -> str:
    if key is None:
        if base_url is None or urlsplit(base_url).hostname == OPENAI_HOST:
            raise UserError(
                "no key for OpenAI: set OPENAI_API_KEY, or name a server of your own with --base-url URL"
            )
        return PLACEHOLDER_KEY
    key = key.strip()
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise UserError(
            "the API key has characters that no key has (blanks, line ends, non-ASCII); copy it again"
        )
    return key


def openai(argument: str = "", **options: object) -> OpenAI:
    """The factory of ``--model openai:NAME``. Raises UserError without a name, with a bad URL or key."""
    if not argument:
        raise UserError("openai needs a model: --model openai:NAME, with --base-url for a server of your own")
    return OpenAI(argument, read_options(OpenAIOptions, "openai", options))
