"""Log-probabilities where a request asks for them: each backend gives them, or says at once that it has none."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import ask, run, use
from fake_server import MODEL, FakeServer
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.llama_cpp.backend import local
from evolve_llm.backends.llama_cpp.wire import chat_body, read_chunks
from evolve_llm.backends.openai.backend import openai
from evolve_llm.backends.openai.wire import (
    FailedAttempt,
    Wire,
    chat_arguments,
    lacks_logprobs,
    read_body,
    read_logprobs,
)
from evolve_llm.backends.recorded import Recorded
from evolve_llm.backends.response_file import request_key
from evolve_llm.backends.scripted import Scripted, scripted
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.request import Completion, Request


def asking(text: str = "hello", **changes: Any) -> Request:
    return replace(ask(text, **changes), logprobs=True)


def sane(got: Completion) -> bool:
    first = [value for _, value in got.first_token]
    return (
        len(got.logprobs) == got.completion_tokens > 0
        and all(value <= 0 and math.isfinite(value) for value in got.logprobs)
        and first == sorted(first, reverse=True)
        and sum(map(math.exp, first)) < 1.001
    )


# ---------------------------------------------------------------- scripted


@given(st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=40))
def test_scripted_log_probabilities_are_a_function_of_the_request(seed: int, text: str) -> None:
    request = asking(text, seed=seed)
    one, two = run(use(Scripted(lambda _: text), request, replace(request, problem="elsewhere")))
    assert one == two
    assert sane(one)
    assert {"True", "False"} <= {token for token, _ in one.first_token}


def test_scripted_gives_none_unasked_and_other_ones_for_another_seed() -> None:
    plain, one, other = run(use(scripted("answers=4"), ask(), asking(seed=1), asking(seed=2)))
    assert plain.logprobs == plain.first_token == ()
    assert one.logprobs != other.logprobs
    assert one.text == plain.text


def test_a_scripted_completion_keeps_its_own_and_an_empty_one_has_none() -> None:
    own = Completion("a", completion_tokens=1, logprobs=(-7.0,), first_token=(("a", -7.0),))
    empty = Completion("", completion_tokens=0)
    bare = Completion("a b", completion_tokens=3)
    answers = {"own": own, "empty": empty, "bare": bare}
    model = Scripted(lambda request: answers[request.prompt.messages[-1].content])
    got = run(use(model, asking("own"), asking("empty"), asking("bare")))
    assert got[:2] == [own, empty]
    assert len(got[2].logprobs) == 3


# ---------------------------------------------------------------- openai

numbers = st.integers(-9, 0) | st.floats() | st.text(max_size=3) | st.none() | st.just([])
entries = st.fixed_dictionaries(
    {},
    optional={
        "token": numbers,
        "logprob": numbers,
        "top_logprobs": st.lists(st.dictionaries(st.text(), numbers)),
    },
)


@given(st.lists(entries, max_size=3) | numbers | entries)
def test_any_log_probabilities_are_read_or_malformed(content: object) -> None:
    body = {"choices": [{"message": {"content": "hi"}, "logprobs": {"content": content}}]}
    got = read_body(json.dumps(body))
    if isinstance(got, Completion):
        assert all(math.isfinite(value) for value in got.logprobs)
    else:
        assert (got.remedy, got.reason) == ("retry", "malformed_response")


@pytest.mark.parametrize("found", [None, {}, {"content": None}, {"content": []}, {"token_logprobs": [-1]}, 3])
def test_a_response_without_log_probabilities_of_the_protocol_has_none(found: Any) -> None:
    assert read_logprobs(found) == ((), ())


def test_only_requests_that_want_them_ask_for_them() -> None:
    assert not {"logprobs", "top_logprobs"} & set(chat_arguments(Wire("m"), ask())[0])
    wanted, _ = chat_arguments(Wire("m", top_logprobs=4), asking())
    assert (wanted["logprobs"], wanted["top_logprobs"]) == (True, 4)
    assert "top_logprobs" not in chat_arguments(Wire("m", top_logprobs=0), asking())[0]


def test_a_server_gives_each_tokens_own_and_the_first_ones_alternatives_likeliest_first(
    server: FakeServer,
) -> None:
    plain, got = run(use(openai(MODEL, base_url=server.url), ask("a"), asking("a")))
    assert plain.logprobs == ()
    assert got.logprobs == tuple(-0.25 * place for place in range(1, 8))
    assert got.first_token == (("echo", -0.25), ("no", -2.0))
    (short,) = run(use(openai(MODEL, base_url=server.url, top_logprobs=0), asking("b")))
    assert len(short.logprobs) == 7
    assert short.first_token == ()


@pytest.mark.parametrize("case", ["silent", "logprobs-refused"])
def test_a_server_without_them_is_named_at_once(server: FakeServer, case: str) -> None:
    (got,) = run(use(openai(MODEL, base_url=server.url), asking(f"{case} question")))
    assert isinstance(got, UserError)
    assert f"gives none for '{MODEL}'" in str(got)
    assert "127.0.0.1" in str(got)
    assert server.seen[f"{case} question"] == 1


def test_a_refusal_for_another_reason_is_not_taken_for_it() -> None:
    assert not lacks_logprobs(
        FailedAttempt("give up", "bad_request", "HTTP 400: temperature must be at most 2")
    )
    assert not lacks_logprobs(FailedAttempt("retry", "server_error", "HTTP 500: logprobs worker died"))
    assert lacks_logprobs(FailedAttempt("give up", "bad_request", "HTTP 400: 'log_probs' are not available"))


# ---------------------------------------------------------------- llama.cpp


def test_llama_cpp_is_asked_for_them_only_where_they_are_wanted() -> None:
    assert "logprobs" not in chat_body(ask())
    assert chat_body(asking())["logprobs"] is True


def test_llama_cpp_streams_them_token_by_token() -> None:
    def chunk(text: str, value: float) -> dict[str, Any]:
        own, other = {"token": text, "logprob": value}, {"token": "x", "logprob": -9.0}
        tokens = [{**own, "top_logprobs": [other, own]}]
        return {"choices": [{"delta": {"content": text}, "logprobs": {"content": tokens}}]}

    got = read_chunks(
        [chunk("Tr", -0.5), chunk("ue", -0.25), {"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    )
    assert got.text == "True"
    assert got.logprobs == (-0.5, -0.25)
    assert got.first_token == (("Tr", -0.5), ("x", -9.0))


@pytest.mark.model
def test_the_embedded_model_gives_them() -> None:
    plain, got = run(
        use(local(n_parallel=2, context_length=512), ask(max_tokens=8), asking(max_tokens=8)), limit=240
    )
    assert plain.logprobs == ()
    assert sane(got)
    assert len(got.first_token) == 10


# ---------------------------------------------------------------- recorded


def test_a_recording_keeps_them_and_tells_requests_with_and_without_apart(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    inner = Scripted(lambda *_: "So it is 4", record=True)
    plain, got = run(use(Recorded(path, inner), ask(), asking()))
    assert plain.logprobs == ()
    assert sane(got)
    assert run(use(Recorded(path), ask(), asking())) == [plain, got]
    assert inner.call_count == 2
    assert request_key("m", ask()) != request_key("m", asking())
