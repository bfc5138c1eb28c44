"""What llama.cpp is asked and what it answers, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve_llm.backends.messages import chat_messages
from evolve_llm.backends.openai.wire import read_logprobs
from evolve_llm.nouns.errors import RequestError
from evolve_llm.nouns.request import Completion, FinishReason, Request

_RANDOM_SEED = 0xFFFFFFFF
"""llama.cpp takes this seed as "draw one yourself"."""

_ALTERNATIVES = 10
"""Alternatives of each token asked for where log-probabilities are wanted."""


def chat_body(request: Request, *, stream: bool = True) -> dict[str, object]:
    """A request as llama.cpp takes it. Every sampler is named, because its own defaults are not neutral
    (top_k 40, top_p 0.95, min_p 0.05)."""
    sampling = request.sampling
    body: dict[str, object] = {
        "messages": chat_messages(request.prompt),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or 0,
        "min_p": sampling.min_p or 0.0,
        "repeat_penalty": 1.0,
        "seed": engine_seed(request.seed),
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.logprobs:
        body |= {"logprobs": True, "top_logprobs": _ALTERNATIVES}
    return body


def engine_seed(seed: int) -> int:
    """A seed in llama.cpp's range [0, 2**32 - 1), which leaves out the one that means "random"."""
    return seed % _RANDOM_SEED


def read_chunks(chunks: list[Any]) -> Completion:
    """The completion of a stream of chunks, or of one whole answer.

    Raises RequestError for an error object or an unfinished stream.
    """
    text: list[str] = []
    reasoning: list[str] = []
    finish: str | None = None
    usage: Mapping[str, Any] = {}
    tokens: list[Any] = []
    for chunk in chunks:
        if "error" in chunk:
            raise _refusal(chunk["error"])
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            text.append(delta.get("content") or "")
            reasoning.append(delta.get("reasoning_content") or "")
            finish = choice.get("finish_reason") or finish
            tokens += (choice.get("logprobs") or {}).get("content") or ()
        usage = chunk.get("usage") or usage
    if finish is None:
        raise RequestError(
            "malformed_response", f"the engine's stream ended early after {len(chunks)} chunks"
        )
    details = usage.get("prompt_tokens_details") or {}
    reason: FinishReason = "length" if finish == "length" else "stop"
    logprobs, first_token = read_logprobs({"content": tokens})
    return Completion(
        text="".join(text),
        finish_reason=reason,
        prompt_tokens=int(usage.get("prompt_tokens", 0)),
        completion_tokens=int(usage.get("completion_tokens", 0)),
        cached_tokens=int(details.get("cached_tokens", 0)),
        reasoning="".join(reasoning),
        logprobs=logprobs,
        first_token=first_token,
    )


def _refusal(error: Any) -> RequestError:
    fields = error if isinstance(error, Mapping) else {"message": str(error)}
    message = str(fields.get("message", ""))[:500]
    if fields.get("type") == "exceed_context_size_error" or "context size" in message:
        return RequestError("context_overflow", message)
    code = fields.get("code")
    return RequestError(
        "bad_request" if isinstance(code, int) and 400 <= code < 500 else "server_error", message
    )
