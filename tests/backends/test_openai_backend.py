"""The openai backend against a real HTTP server that misbehaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, ask, run, use
from fake_server import KEY, MODEL, FakeServer

from evolve_llm import Problem, Run, Session
from evolve_llm.backends.openai.backend import OpenAI, openai
from evolve_llm.backends.openai.options import OpenAIOptions
from evolve_llm.cli.show_run import settings_of
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, Message, Prompt, Request, Sampling

IMPATIENT = {"backoff": 0.01, "backoff_limit": 0.02, "deadline": 20, "attempt_timeout": 10}


def backend(server: FakeServer, **options: object) -> OpenAI:
    return openai(MODEL, base_url=server.url, **{**IMPATIENT, **options})


def outcome(server: FakeServer, prompt: str, **options: object) -> Any:
    return run(use(backend(server, **options), ask(prompt)))[0]


@pytest.mark.parametrize(
    "case",
    [
        *("429", "500", "503", "reset", "truncated", "half-chunk", "malformed", "not-an-object"),
        *("strange", "no-choices", "empty", "inner-error"),
        *("choices-null", "choices-not-a-list", "choices-of-nothing"),
    ],
)
def test_what_passes_is_retried_and_answered(server: FakeServer, case: str) -> None:
    got = outcome(server, f"{case} 2 question")
    assert got == Completion(f"echo: {case} 2 question", "stop", 11, 7, 5)
    assert server.seen[f"{case} 2 question"] == 3


def test_a_hanging_attempt_is_given_up_and_repeated(server: FakeServer) -> None:
    got = outcome(server, "hang 1 question", attempt_timeout=0.3)
    assert got.text == "echo: hang 1 question"
    assert server.seen["hang 1 question"] == 2


def test_every_healthy_request_is_answered_among_all_kinds_of_trouble(server: FakeServer) -> None:
    troubled = [
        "429 2",
        "500 1",
        "reset 2",
        "truncated 1",
        "malformed 2",
        "no-choices 1",
        "hang 1",
        "400",
        "overflow",
    ]
    requests = [ask(f"{trouble} #{n}") for trouble in troubled for n in range(3)]
    requests += [ask(f"healthy #{n}") for n in range(60)]
    got = run(use(backend(server, attempt_timeout=1, capacity=16), *requests))
    for request, answer in zip(requests, got, strict=True):
        prompt = request.prompt.messages[0].content
        if prompt.startswith("400"):
            assert isinstance(answer, RequestError)
            assert answer.reason == "bad_request"
        elif prompt.startswith("overflow"):
            assert answer.reason == "context_overflow"
        else:
            assert answer == Completion(f"echo: {prompt}", "stop", 11, 7, 5)
    assert server.peak <= 20, "more connections than capacity"


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("400", "bad_request"),
        ("422", "bad_request"),
        ("413", "context_overflow"),
        ("overflow", "context_overflow"),
        ("filter", "content_filter"),
    ],
)
def test_what_cannot_pass_is_given_up_at_once(server: FakeServer, case: str, reason: str) -> None:
    got = outcome(server, f"{case} forever")
    assert isinstance(got, RequestError)
    assert got.reason == reason
    assert server.seen[f"{case} forever"] == 1


@pytest.mark.parametrize(
    ("case", "reason", "attempts"),
    [
        ("500", "server_error", 4),
        ("reset", "server_error", 4),
        ("malformed", "malformed_response", 4),
        ("no-choices", "empty_response", 3),
        ("choices-null", "empty_response", 3),
        ("choices-not-a-list", "malformed_response", 4),
        ("empty", "empty_response", 3),
    ],
)
def test_attempts_are_limited_and_counted(server: FakeServer, case: str, reason: str, attempts: int) -> None:
    got = outcome(server, f"{case} forever", attempts=4, empty_attempts=3)
    assert isinstance(got, RequestError)
    assert got.reason == reason
    assert server.seen[f"{case} forever"] == attempts


def test_rate_limits_use_up_no_attempts(server: FakeServer) -> None:
    assert outcome(server, "429 6 question", attempts=2).text == "echo: 429 6 question"


def test_the_deadline_ends_even_rate_limits_and_tells_why(server: FakeServer) -> None:
    got = outcome(server, "429 forever", deadline=0.5)
    assert isinstance(got, RequestError)
    assert got.reason == "timeout"
    assert "slow down" in got.detail


def test_the_deadline_covers_all_attempts_together(server: FakeServer) -> None:
    got = outcome(server, "hang forever", deadline=0.7, attempt_timeout=0.3)
    assert isinstance(got, RequestError)
    assert got.reason == "timeout"
    assert 2 <= server.seen["hang forever"] <= 3


@pytest.mark.parametrize(("case", "least"), [("429-after", 0.3), ("429-date", 0.0)])
def test_retry_after_is_honoured(server: FakeServer, case: str, least: float) -> None:
    prompt = f"{case} 1 question"
    assert outcome(server, prompt).text == f"echo: {prompt}"
    first, second = server.moments[prompt]
    assert second - first >= least


def test_a_wait_longer_than_the_deadline_ends_the_run(server: FakeServer) -> None:
    got = outcome(server, "429-tomorrow forever")
    assert isinstance(got, BackendError)
    assert "86400 s" in str(got)
    assert server.seen["429-tomorrow forever"] == 1


@pytest.mark.parametrize("case", ["403", "429-quota"])
def test_a_refused_key_or_empty_account_ends_the_run(server: FakeServer, case: str) -> None:
    got = outcome(server, f"{case} forever")
    assert isinstance(got, BackendError)
    assert server.seen[f"{case} forever"] == 1


def test_a_wrong_key_is_found_at_the_start() -> None:
    with FakeServer(need_key=True) as server:
        with pytest.raises(BackendError, match="OPENAI_API_KEY"):
            run(backend(server, api_key="wrong").start())
        assert run(use(backend(server, api_key=KEY), ask()))[0].text == "echo: hello"


def test_a_missing_model_is_found_at_the_start_and_the_others_are_listed(server: FakeServer) -> None:
    with pytest.raises(BackendError, match="fake-model, other-model"):
        run(openai("fake-modl", base_url=server.url, **IMPATIENT).start())


def test_a_missing_model_on_a_server_without_a_list_ends_the_run() -> None:
    with FakeServer(listing=False) as server:
        got = run(use(openai("fake-modl", base_url=server.url, **IMPATIENT), ask()))[0]
        assert isinstance(got, BackendError)
        assert "fake-modl" in str(got)


def test_a_server_without_a_list_of_models_is_taken_at_its_word() -> None:
    with FakeServer(listing=False) as server:
        assert outcome(server, "hello").text == "echo: hello"


def test_a_dead_server_is_found_at_the_start(server: FakeServer) -> None:
    dead = backend(server)
    server.stop()
    with pytest.raises(BackendError, match="cannot be reached"):
        run(dead.start())


def test_a_server_that_dies_in_the_middle_ends_the_run_and_fails_no_request(server: FakeServer) -> None:
    async def story() -> None:
        alive = backend(server, attempts=3)
        await alive.start()
        assert (await alive.generate(ask("before"))).text == "echo: before"
        server.stop()
        got = await asyncio.gather(
            *(alive.generate(ask(f"after {n}")) for n in range(4)), return_exceptions=True
        )
        await alive.close()
        assert all(isinstance(one, BackendError) for one in got), got

    run(story())


def test_what_is_asked(server: FakeServer) -> None:
    sampling = Sampling(0.7, 0.9, 40, 0.05, 99, ("END",))
    prompt = Prompt((Message("system", "be brief"), Message("user", "half a pair: \ud800")))
    request = Request("p", FIRST, prompt, sampling, 2**62 + 5)
    run(use(backend(server, extra_body='{"chat_template_kwargs": {"enable_thinking": false}}'), request))
    (body,) = server.bodies
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "half a pair: ?"},
    ]
    assert {
        key: body[key] for key in ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "n")
    } == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "max_tokens": 99,
        "stop": ["END"],
        "n": 1,
    }
    assert body["seed"] == 5
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


def test_hidden_sampling_defaults_of_vllm_are_switched_off(server: FakeServer) -> None:
    run(use(backend(server, seeds="none"), ask()))
    (body,) = server.bodies
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert "seed" not in body


def test_of_more_choices_than_asked_the_first_by_number_is_taken(server: FakeServer) -> None:
    assert outcome(server, "three-choices forever") == Completion("echo: more", "stop", 11, 7, 5)
    assert server.seen["three-choices forever"] == 1


def test_a_vllm_server_that_hides_its_cache_hits_is_told_what_to_start_with_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FakeServer(tells_cached=False) as server:
        got = run(use(backend(server), *(ask(f"question {n}") for n in range(3))))
    assert [one.cached_tokens for one in got] == [0, 0, 0]
    (message,) = [one.getMessage() for one in caplog.records]
    assert "127.0.0.1" in message
    assert "--enable-prompt-tokens-details" in message


@pytest.mark.parametrize("owner", ["vllm", "somebody"])
def test_nothing_is_said_where_hits_are_told_or_the_server_is_another(
    owner: str, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeServer(tells_cached=owner == "vllm", owner=owner) as server:
        run(use(backend(server), ask()))
    assert not caplog.records


def test_a_cut_answer_says_so(server: FakeServer) -> None:
    assert outcome(server, "length 1 question").finish_reason == "length"


def test_the_start_tells_window_and_server_but_no_secret(server: FakeServer) -> None:
    async def story() -> None:
        url = server.url.replace("//", "//user:secret@")
        one = openai(MODEL, base_url=url, api_key="sk-secret", **IMPATIENT)
        info = await one.start()
        await one.close()
        assert info.context_length == 4096
        assert "secret" not in f"{info} {one.identity} {one.options!r}"
        assert one.identity == f"openai:{MODEL}"

    run(story())


def test_cancelling_frees_the_connection(server: FakeServer) -> None:
    async def story() -> None:
        one = backend(server, capacity=1)
        await one.start()
        hung = [asyncio.create_task(one.generate(ask(f"hang forever {n}"))) for n in range(8)]
        await asyncio.sleep(0.2)
        for task in hung:
            task.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
        assert (await asyncio.wait_for(one.generate(ask("next")), 5)).text == "echo: next"
        await one.close()

    run(story())


@pytest.mark.parametrize(
    ("argument", "options", "message"),
    [
        ("", {}, "--model openai:NAME"),
        ("m", {}, "OPENAI_API_KEY"),
        ("m", {"base_url": "localhost:8000"}, "http://localhost:8000/v1"),
        ("m", {"base_url": "http://x/v1", "api_key": "two words"}, "copy it again"),
        ("m", {"base_url": "http://x/v1", "deadlin": 3}, "Did you mean 'deadline'"),
        ("m", {"base_url": "http://x/v1", "capacity": "0"}, "capacity"),
        ("m", {"base_url": "http://x/v1", "extra_body": "{"}, "extra_body|JSON|property"),
        ("m", {"base_url": "http://x/v1", "max_tokens_field": "tokens"}, "max_tokens_field"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(argument: str, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        openai(argument, **options)


def test_the_pool_can_follow_the_servers_load_unless_the_user_set_a_limit() -> None:
    assert OpenAIOptions().connections > OpenAIOptions().capacity * 4
    assert OpenAIOptions(capacity=64).connections == 68


def test_requests_without_seeds_are_said_to_be_without(server: FakeServer, tmp_path: Path) -> None:
    """A run whose texts cannot be had again says so while it runs, in its directory, and when it is shown."""
    problems = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]
    options = {"base_url": server.url, "api_key": KEY, "seeds": "none"}
    out = tmp_path / "run"
    session = Session(problems, "smoke", f"openai:{MODEL}", out=out, engine=options)

    async def whole() -> list[str]:
        async with session:
            async for _ in session.generations():
                pass
            return session.warnings

    assert any("no seed" in one for one in asyncio.run(whole()))
    assert all("seed" not in body for body in server.bodies if "messages" in body)
    found = Run(out)
    assert found.environment["model"]["seeds"] == "none"
    assert "a repeated run gives other texts" in settings_of(found)["seed"]
    again = Session(problems, "smoke", f"openai:{MODEL}", out=out, engine=options)
    asked = len(server.bodies)
    asyncio.run(_started_and_closed(again))
    assert len(server.bodies) == asked


async def _started_and_closed(session: Session) -> None:
    async with session:
        async for _ in session.generations():
            pass
