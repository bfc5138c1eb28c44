"""Requests to vLLM and its answers as pure functions: nothing here imports vLLM."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from evolve_llm.nouns.errors import BackendError, RequestError
from evolve_llm.nouns.request import Completion, FinishReason, Request

ALTERNATIVES = 10
"""Alternatives of each token asked for where log-probabilities are wanted."""

SEED_LIMIT = 2**63
"""Seeds are reduced below this: vLLM gives them to torch, which keeps 64 signed bits."""

_OVERFLOW = re.compile(
    r"max_model_len|context length|maximum model length|longer than the|too long", re.IGNORECASE
)


def sampling_arguments(request: Request, *, seeded: bool = True) -> dict[str, Any]:
    """A request as keyword arguments of vLLM's ``SamplingParams``. Every sampler is named.

    ``seeded``: with its seed; vLLM then draws each of these requests by itself, in Python.
    """
    sampling = request.sampling
    found: dict[str, Any] = {
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or 0,
        "min_p": sampling.min_p or 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": sampling.max_tokens,
    }
    if seeded:
        found["seed"] = request.seed % SEED_LIMIT
    if sampling.stop:
        found["stop"] = list(sampling.stop)
    if request.logprobs:
        found["logprobs"] = ALTERNATIVES
    return found


def read_output(output: Any) -> Completion:
    """The completion of a ``RequestOutput`` that has ended. Raises RequestError for one that was aborted."""
    one = output.outputs[0]
    if one.finish_reason not in ("stop", "length"):
        raise RequestError("server_error", f"vLLM ended the answer with finish_reason {one.finish_reason!r}")
    reason: FinishReason = "length" if one.finish_reason == "length" else "stop"
    logprobs, first_token = read_logprobs(one.token_ids, one.logprobs)
    return Completion(
        text=one.text,
        finish_reason=reason,
        prompt_tokens=len(output.prompt_token_ids or ()),
        completion_tokens=len(one.token_ids),
        cached_tokens=max(0, output.num_cached_tokens or 0),
        logprobs=logprobs,
        first_token=first_token,
    )


def read_logprobs(
    token_ids: Sequence[int], given: Sequence[Any] | None
) -> tuple[tuple[float, ...], tuple[tuple[str, float], ...]]:
    """The log-probability of each token that was drawn, and the likeliest first tokens, most likely first.

    ``given`` has one mapping a token, from ids to objects with ``logprob``, ``rank`` and ``decoded_token``: the
    likeliest ones, and the drawn one besides where it is none of them. Raises RequestError for one that is no number.
    """
    if not given:
        return (), ()
    drawn = tuple(float(entries[token].logprob) for token, entries in zip(token_ids, given, strict=True))
    if not all(map(math.isfinite, drawn)):
        raise RequestError("malformed_response", "vLLM gave a log-probability that is not a finite number")
    ranked = sorted(given[0].values(), key=lambda one: -float(one.logprob))
    likeliest = [one for one in ranked if math.isfinite(one.logprob)][:ALTERNATIVES]
    return drawn, tuple((str(one.decoded_token), float(one.logprob)) for one in likeliest)


def sort_failure(error: Exception, *, dead: bool, last_words: str = "") -> Exception:
    """What an exception of ``AsyncLLM.generate`` means: BackendError where the engine is gone, else RequestError.

    ``last_words``: the error in the log of an engine that is gone, where there is one.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    detail = " ".join(f"{type(error).__name__}: {error.__cause__ or error}".split())[:500]
    if dead or "EngineDeadError" in names:
        return BackendError(
            f"vLLM's engine died while it worked ({last_words or 'its process was killed'}). If memory ran "
            "out, lower engine.max_num_seqs or engine.gpu_memory_utilization. Nothing stored is lost. The "
            "same command resumes the run with a fresh engine"
        )
    if names & {"ValueError", "TypeError", "VLLMClientError", "VLLMValidationError"}:
        return RequestError("context_overflow" if _OVERFLOW.search(detail) else "bad_request", detail)
    return RequestError("server_error", detail)
