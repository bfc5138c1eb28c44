"""The chat completions protocol on plain values: whatever a server sends, it is sorted and never raises."""

from __future__ import annotations

import json

import pytest
from asking import ask
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.openai.wire import (
    SEED_LIMIT,
    FailedAttempt,
    Wire,
    chat_arguments,
    find_model,
    model_info,
    read_body,
    retry_after,
    sort_status,
)
from evolve_llm.nouns.request import Completion

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "usage", "error", "code", "finish_reason", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_completion_or_a_sorted_failure(value: object) -> None:
    assert isinstance(read_body(json.dumps(value)), Completion | FailedAttempt)


@given(st.text())
def test_any_text_is_a_completion_or_a_sorted_failure(text: str) -> None:
    assert isinstance(read_body(text), Completion | FailedAttempt)


@given(st.integers(400, 599), json_values, st.dictionaries(st.just("retry-after"), st.text(max_size=30)))
def test_any_http_error_is_sorted(status: int, body: object, headers: dict[str, str]) -> None:
    failure = sort_status(status, body, headers)
    assert failure.after is None or failure.after >= 0
    if status >= 500:
        assert failure.remedy == "retry"


@given(st.integers(0, 2**63 - 1))
def test_seeds_fit_32_signed_bits(seed: int) -> None:
    standard, _ = chat_arguments(Wire("m"), ask(seed=seed))
    assert 0 <= standard["seed"] < SEED_LIMIT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:05 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=10.0) == seconds


@pytest.mark.parametrize(
    ("status", "message", "remedy", "reason"),
    [
        (400, "This model's maximum context length is 8192 tokens", "give up", "context_overflow"),
        (
            400,
            "the request exceeds the available context size, try increasing it",
            "give up",
            "context_overflow",
        ),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "give up", "context_overflow"),
        (400, "Unsupported parameter: 'seed'", "give up", "bad_request"),
        (400, "Your input was flagged by moderation", "give up", "content_filter"),
        (401, "no", "end", "bad_key"),
        (404, "The model `x` does not exist", "end", "no_model"),
        (408, "slow", "retry", "server_error"),
        (429, "Request too large: too many tokens per minute", "wait", "server_error"),
        (503, "the model's context is loading", "retry", "server_error"),
    ],
)
def test_http_errors(status: int, message: str, remedy: str, reason: str) -> None:
    failure = sort_status(status, {"error": {"message": message}}, {})
    assert (failure.remedy, failure.reason) == (remedy, reason)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_and_cached_tokens_are_read(field: str) -> None:
    body = {
        "choices": [{"message": {"content": None, field: "hm"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
    }
    assert read_body(json.dumps(body)) == Completion("", "length", 3, 2, 1, "hm")


def test_models_are_found_under_the_spellings_servers_use() -> None:
    listing = {"data": [{"id": "models/a"}, {"id": "b:latest", "meta": {"n_ctx": 512}}, {"no": "id"}]}
    assert find_model(listing, "a")[0] == {"id": "models/a"}
    entry, names = find_model(listing, "b")
    assert model_info("b", entry).context_length == 512
    assert names == ["b:latest", "models/a"]
    assert find_model("nonsense", "a") == (None, [])
