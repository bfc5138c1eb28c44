"""The chat completions protocol as pure functions: requests out, completions in, failures sorted.

No I/O and no client library: what servers really send is dealt with here, and tested on plain values.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evolve_llm.backends.messages import chat_messages
from evolve_llm.nouns.request import Completion, FinishReason, ModelInfo, Request

Remedy = Literal["retry", "wait", "give up", "end"]
"""What to do about a failure: try again a limited number of times; try again until the deadline; leave
this request; end the run."""

SEED_LIMIT = 2**31
"""Seeds are reduced below this: some servers keep them in 32 signed bits."""

_OVERFLOW = re.compile(
    r"context[ _-]?(length|window|size)|maximum (context|input|prompt)|max_model_len|"
    r"(prompt|input|request)[^.]{0,40} (is |are )?too (long|large)|too many (input )?tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[ _]?(filter|policy|management)|moderation|flagged", re.IGNORECASE)
_LOGPROBS = re.compile(r"log[ _-]?prob", re.IGNORECASE)
_MODEL = re.compile(r"model", re.IGNORECASE)
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "credit_balance_too_low"}

_NEUTRAL = {
    "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
"""Samplers that these servers fill in from defaults of their own or of the model when they are not named."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Why one attempt failed. ``reason`` is RequestError's word; ``after`` is the server's own wish in seconds."""

    remedy: Remedy
    reason: str
    detail: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """How one server wants its requests."""

    model: str
    max_tokens_field: str = "max_tokens"
    send_seed: bool = True
    top_logprobs: int = 10
    neutral: Mapping[str, object] | None = None
    extra: Mapping[str, object] | None = None


def chat_arguments(wire: Wire, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request as the standard fields and the server's extensions (``extra_body``)."""
    sampling = request.sampling
    standard: dict[str, Any] = {
        "model": wire.model,
        "messages": chat_messages(request.prompt),
        wire.max_tokens_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "n": 1,
    }
    if wire.send_seed:
        standard["seed"] = request.seed % SEED_LIMIT
    if sampling.stop:
        standard["stop"] = list(sampling.stop)
    if request.logprobs:
        standard["logprobs"] = True
        if wire.top_logprobs:
            standard["top_logprobs"] = wire.top_logprobs
    extra: dict[str, Any] = dict(wire.neutral or {})
    if sampling.top_k is not None:
        extra["top_k"] = sampling.top_k
    if sampling.min_p is not None:
        extra["min_p"] = sampling.min_p
    extra.update(wire.extra or {})
    return standard, extra


def neutral_samplers(owner: str) -> Mapping[str, object] | None:
    """What to send so that a server's hidden sampling defaults do nothing, by ``owned_by`` of its model."""
    return _NEUTRAL.get(owner.lower())


def read_body(text: str) -> Completion | FailedAttempt:
    """A response of status 200: its completion, or what is wrong with it."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        return FailedAttempt("retry", "malformed_response", f"{error}: {_excerpt(text)}")
    if not isinstance(body, dict):
        return FailedAttempt("retry", "malformed_response", f"no JSON object: {_excerpt(text)}")
    if body.get("error") and not body.get("choices"):
        return _inner_error(body["error"])
    choices = body.get("choices")
    if not choices:
        return FailedAttempt("retry", "empty_response", "the response has no choices")
    try:
        return _read_choice(_the_choice(choices), body.get("usage") or {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return FailedAttempt(
            "retry", "malformed_response", f"{type(error).__name__} {error}: {_excerpt(text)}"
        )


def tells_cached_tokens(text: str) -> bool:
    """Whether a response that ``read_body`` could read says how many prompt tokens came from a cache."""
    usage = json.loads(text).get("usage") or {}
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") is not None


def _the_choice(choices: list[Any]) -> Any:
    """The one that was asked for: a server that gives more than ``n: 1`` numbers them, and the rest is left."""
    return next((one for one in choices if one.get("index") == 0), choices[0])


def _inner_error(error: Any) -> FailedAttempt:
    """Some gateways report failures with status 200."""
    code = error.get("code") if isinstance(error, Mapping) else None
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else 500
    return sort_status(status if 400 <= status < 600 else 500, {"error": error}, {})


def _read_choice(choice: Mapping[str, Any], usage: Mapping[str, Any]) -> Completion | FailedAttempt:
    message = choice["message"]
    text = _content(message.get("content"))
    reasoning = str(message.get("reasoning_content") or message.get("reasoning") or "")
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        return FailedAttempt("give up", "content_filter", "the server's filter cut the answer off")
    if finish in ("abort", "error"):
        return FailedAttempt(
            "retry", "server_error", f"the server ended the answer with finish_reason {finish}"
        )
    if (
        not text and not reasoning and not usage.get("completion_tokens")
    ):  # else the model ended its turn at once
        return FailedAttempt("retry", "empty_response", f"the answer is empty (finish_reason {finish})")
    details = usage.get("prompt_tokens_details") or {}
    reason: FinishReason = "length" if finish == "length" else "stop"
    logprobs, first_token = read_logprobs(choice.get("logprobs"))
    return Completion(
        text=text,
        finish_reason=reason,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
        reasoning=reasoning,
        logprobs=logprobs,
        first_token=first_token,
    )


def read_logprobs(given: Any) -> tuple[tuple[float, ...], tuple[tuple[str, float], ...]]:
    """The log-probability of each token, and the likeliest first tokens with theirs, most likely first.

    Both empty where there are none, also in a form that is not the chat protocol's. Raises ValueError or
    TypeError for values that are no numbers.
    """
    entries = given.get("content") if isinstance(given, Mapping) else None
    if not isinstance(entries, list) or not entries:
        return (), ()
    likeliest = [(str(one["token"]), _number(one["logprob"])) for one in entries[0].get("top_logprobs") or ()]
    likeliest.sort(key=lambda entry: -entry[1])
    return tuple(_number(entry["logprob"]) for entry in entries), tuple(likeliest)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a log-probability is {number}")
    return number


def lacks_logprobs(failure: FailedAttempt) -> bool:
    """Whether a request was refused because it asked for log-probabilities."""
    return failure.remedy == "give up" and bool(_LOGPROBS.search(failure.detail))


def _content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type", "text") == "text")
    raise TypeError(f"content is a {type(content).__name__}")


def sort_status(status: int, body: object, headers: Mapping[str, str]) -> FailedAttempt:
    """What an HTTP error means and what to do about it."""
    message, code = _error_fields(body)
    detail = f"HTTP {status}: {message}"
    if status == 401:
        return FailedAttempt("end", "bad_key", f"{detail}; check OPENAI_API_KEY or engine.api_key")
    if status == 402 or (status in (403, 429) and code in _QUOTA):
        return FailedAttempt("end", "no_credit", f"{detail}; the account has no credit left")
    if status in (400, 403, 422) and (code == "content_filter" or _FILTERED.search(message)):
        return FailedAttempt("give up", "content_filter", detail)
    if status == 403:
        return FailedAttempt("end", "bad_key", f"{detail}; this key may not use this model")
    if status == 404:
        known = "the model is not there" if _MODEL.search(message) else "is the base URL right (…/v1)?"
        return FailedAttempt("end", "no_model", f"{detail}; {known}")
    if status == 429:
        return FailedAttempt("wait", "server_error", detail, retry_after(headers))
    too_long = code in ("context_length_exceeded", "exceed_context_size_error") or _OVERFLOW.search(message)
    if status == 413 or (status < 500 and too_long):
        return FailedAttempt("give up", "context_overflow", detail)
    if status >= 500 or status in (408, 409, 425):
        return FailedAttempt("retry", "server_error", detail, retry_after(headers))
    return FailedAttempt("give up", "bad_request", detail)


def _error_fields(body: object) -> tuple[str, str]:
    """Message and code of an error body, whichever of the common shapes it has."""
    error: object = body
    if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping | str):
        error = error["error"]
    if isinstance(error, Mapping):
        message = error.get("message") or error.get("detail") or json.dumps(error)
        code = error.get("code") or error.get("type") or ""
        return _excerpt(str(message)), str(code)
    return _excerpt(str(error or "no message")), ""


def _excerpt(text: str, limit: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds the server asks to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as an HTTP date.

    None when there is no such header or it makes no sense; never negative. Header names in lower case.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,12}(\.\d+)?", value):
            return float(value) * unit
    value = headers.get("retry-after", "")
    if not value:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))


def find_model(listing: object, model: str) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The entry of ``model`` in the answer to GET /models, and the names of all.

    A listed name may carry a folder (``models/x``) or a tag (``x:latest``).
    """
    entries = listing.get("data") if isinstance(listing, Mapping) else None
    if not isinstance(entries, list):
        return None, []
    named = {str(entry["id"]): entry for entry in entries if isinstance(entry, Mapping) and "id" in entry}
    for spelling in (model, f"models/{model}", f"{model}:latest"):
        if spelling in named:
            return named[spelling], sorted(named)
    return None, sorted(named)


def model_info(model: str, entry: Mapping[str, Any] | None) -> ModelInfo:
    """What a server tells of its model: vLLM gives ``max_model_len``, llama.cpp ``meta.n_ctx``."""
    entry = entry or {}
    meta = entry.get("meta") if isinstance(entry.get("meta"), Mapping) else {}
    lengths = (entry.get("max_model_len"), entry.get("context_length"), (meta or {}).get("n_ctx"))
    length = next((one for one in lengths if isinstance(one, int) and one > 0), None)
    owner = str(entry.get("owned_by") or "unknown")
    return ModelInfo(model, length, {"engine": "openai", "served by": owner})
