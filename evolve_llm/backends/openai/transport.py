"""Sending and receiving through the ``openai`` client: one attempt at a time, every failure sorted."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Mapping
from typing import Any

from evolve_llm.backends.openai import wire as openai_wire
from evolve_llm.backends.openai.options import OPENAI_HOST, OpenAIOptions, root_of
from evolve_llm.backends.openai.patience import AttemptError
from evolve_llm.backends.openai.wire import FailedAttempt


class Transport:
    """The connections to one server. Everything it is asked answers with a text or raises AttemptError."""

    def __init__(self, base_url: str | None, key: str, options: OpenAIOptions) -> None:
        self.base_url = base_url
        self.attempts = 0
        """Attempts made so far, by all requests together."""
        self._key = key
        self._options = options
        self._library: Any = None
        self._client: Any = None

    @property
    def is_open(self) -> bool:
        """Whether there is a client to send with."""
        return self._client is not None

    def open(self) -> None:
        """A client whose pool has a connection for every request in flight, and no retries of its own."""
        self._library = importlib.import_module("openai")
        transport = self._library.DefaultAsyncHttpxClient
        base = next(one for one in transport.__mro__ if one.__name__ == "AsyncClient")
        # the client changed from httpx to httpx2 between its versions; take whichever it is built on
        http = importlib.import_module(base.__module__.partition(".")[0])
        size = self._options.connections
        timeout = http.Timeout(None, connect=self._options.connect_timeout)
        self._client = self._library.AsyncOpenAI(
            api_key=self._key,
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=transport(
                limits=http.Limits(max_connections=size, max_keepalive_connections=size), timeout=timeout
            ),
        )

    async def close(self) -> None:
        """Close all connections. It may be called several times, and never raises."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()

    async def chat(self, standard: Mapping[str, Any], extra: Mapping[str, Any], limit: float) -> str:
        """Send one request to ``/chat/completions``."""
        call = self._client.chat.completions.with_raw_response.create(
            **standard, extra_body=dict(extra) or None
        )
        return await self._answered(call, limit)

    async def models(self, limit: float) -> str:
        """Ask the server for its list of models."""
        return await self._answered(self._client.models.with_raw_response.list(), limit)

    async def get_beside(self, path: str, limit: float) -> str:
        """GET what the server keeps beside the API, such as ``/metrics``."""
        return await self._answered(self._client.get(self._beside(path), cast_to=str), limit)

    async def post_beside(self, path: str, body: Mapping[str, Any], limit: float) -> str:
        """POST to what the server keeps beside the API, such as ``/tokenize``."""
        return await self._answered(
            self._client.post(self._beside(path), cast_to=str, body=dict(body)), limit
        )

    def _beside(self, path: str) -> str:
        return root_of(self.base_url or f"https://{OPENAI_HOST}/v1") + path

    async def _answered(self, call: Any, limit: float) -> str:
        """The text of a response within ``limit`` seconds."""
        self.attempts += 1
        try:
            async with asyncio.timeout(limit):
                response = await call
                return response if isinstance(response, str) else str(response.text)
        except self._library.APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            body = error.body if error.body is not None else error.response.text
            raise AttemptError(openai_wire.sort_status(error.status_code, body, headers)) from None
        except self._library.APIConnectionError as error:
            cause = error.__cause__
            refused = type(cause).__name__ in ("ConnectError", "ConnectTimeout")
            timeout = isinstance(error, self._library.APITimeoutError)
            detail = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
            failure = FailedAttempt("retry", "timeout" if timeout else "server_error", detail)
            raise AttemptError(failure, refused=refused) from None
        except TimeoutError:
            detail = f"no answer to an attempt within {limit:g} s"
            raise AttemptError(FailedAttempt("retry", "timeout", detail)) from None
        except self._library.OpenAIError as error:
            detail = f"{type(error).__name__}: {error}"
            raise AttemptError(FailedAttempt("retry", "malformed_response", detail)) from None
