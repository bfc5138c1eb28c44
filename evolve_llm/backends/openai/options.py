"""What a user may set for ``openai:NAME``, and whether a URL and a key can be right. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from evolve_llm.backends.options import Options, Seeds
from evolve_llm.nouns.errors import UserError

OPENAI_HOST = "api.openai.com"
MOST_CONNECTIONS = 1024
"""As many as a run that follows its server's load ever has in flight."""
PLACEHOLDER_KEY = "none"
"""Sent where no key is known: servers of one's own mostly want none, the client insists on one."""


class OpenAIOptions(Options):
    """What ``--set engine.KEY=VALUE`` understands for ``openai:NAME``. Times are in seconds."""

    base_url: str | None = Field(
        default=None,
        repr=False,
        description="the server, or several with commas between; none: OPENAI_BASE_URL, else OpenAI's",
    )
    api_key: str | None = Field(default=None, repr=False, description="the key; none: OPENAI_API_KEY")
    capacity: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="requests in flight at the start; set by you, also at most, for each server",
    )
    deadline: float = Field(default=3600, gt=0, description="one request, with all its attempts and pauses")
    attempt_timeout: float = Field(
        default=1800, gt=0, description="one attempt, queue of the server included"
    )
    connect_timeout: float = Field(default=10, gt=0, description="reaching the server")
    attempts: int = Field(default=8, ge=1, description="attempts at 5xx, resets, timeouts, malformed answers")
    empty_attempts: int = Field(default=3, ge=1, description="attempts at an answer without any text")
    backoff: float = Field(default=1, ge=0, description="longest pause after the first failure, then doubled")
    backoff_limit: float = Field(default=60, ge=0, description="longest pause at all, unless the server asks")
    seeds: Seeds = Field(
        default="request",
        description="none: requests carry no seed, so that a repeated run gives other texts",
    )
    max_tokens_field: str | None = Field(
        default=None, pattern="^max_(completion_)?tokens$", description="none: by what the server understands"
    )
    top_logprobs: int = Field(
        default=10, ge=0, le=20, description="alternatives of each token, where log-probabilities are wanted"
    )
    check_model: bool = Field(default=True, description="refuse a model that the server does not list")
    context_length: int | None = Field(default=None, ge=1, description="window; none: as the server says")
    tokenizer: Path | None = Field(
        default=None,
        description="the model's tokenizer.json, for a server without /tokenize: where tails are cut",
    )
    extra_body: dict[str, Any] = Field(default_factory=dict, description="JSON added to every request")

    @property
    def connections(self) -> int:
        """How many the pool may hold: room to follow the server's load, unless ``capacity`` was set to a limit."""
        return (self.capacity if "capacity" in self.model_fields_set else MOST_CONNECTIONS) + 4

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, values: Any) -> Any:
        """``extra_body`` may be JSON text, ``base_url`` a list."""
        if not isinstance(values, Mapping):
            return values
        body, url = values.get("extra_body"), values.get("base_url")
        if isinstance(body, str):
            values = {**values, "extra_body": json.loads(body)}
        if isinstance(url, list | tuple):
            values = {**values, "base_url": ",".join(map(str, url))}
        return values

    def at_start(self) -> OpenAIOptions:
        """Less patience: whoever started the run is still looking at it."""
        return self.model_copy(
            update={"attempts": min(3, self.attempts), "deadline": min(120.0, self.deadline)}
        )


def identity(model: str, options: OpenAIOptions) -> str:
    """Which model answers: its name and what is added to every request."""
    extra = json.dumps(options.extra_body, sort_keys=True) if options.extra_body else ""
    return f"openai:{model}{extra}"


def split_urls(text: str | None) -> list[str]:
    """The URLs of ``URL1,URL2``, checked. Raises UserError for one that is none and for one named twice."""
    urls = [one.strip() for one in (text or "").split(",") if one.strip()]
    for url in urls:
        checked_url(url)
    twice = next((url for place, url in enumerate(urls) if url in urls[:place]), None)
    if twice is not None:
        raise UserError(f"--base-url names {shown(twice)} twice; name each server once")
    return urls


def checked_url(url: str | None) -> str | None:
    """The URL of a server. Raises UserError for what is none."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(f"{url!r} is not a URL; write for example --base-url http://localhost:8000/v1")
    return url


def checked_key(key: str | None, base_url: str | None) -> str:
    """The key to send. Raises UserError where OpenAI itself is asked without one, or it cannot be a key."""
    if key is None:
        if base_url is None or urlsplit(base_url).hostname == OPENAI_HOST:
            raise UserError(
                "there is no API key for OpenAI; set OPENAI_API_KEY, or name a server of your own with "
                "--base-url URL"
            )
        return PLACEHOLDER_KEY
    key = key.strip()
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise UserError(
            "the API key has characters that no key can have (blanks, line ends, non-ASCII); copy it again"
        )
    return key


def shown(url: str | None) -> str:
    """The server without user, password and query: fit to be shown and stored."""
    if url is None:
        return OPENAI_HOST
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def root_of(url: str) -> str:
    """Where a server keeps what is no part of the API: the base URL without its last ``/v1``."""
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/").removesuffix("/v1"), query="", fragment="").geturl()
