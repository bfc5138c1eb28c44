"""The embedded engine: what is refused before it starts, and one real start with a real model."""

from __future__ import annotations

import asyncio
import importlib
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask, run, use
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.llama_cpp import backend as module
from evolve_llm.backends.llama_cpp import weights
from evolve_llm.backends.llama_cpp.backend import LlamaCpp, llama_cpp, local
from evolve_llm.backends.llama_cpp.wire import chat_body, engine_seed, read_chunks
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt

# Without the engine


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_batch": 4, "n_parallel": 8}, "n_batch=4 is smaller than n_parallel=8"),
        (
            {"flash_attention": False, "cache_type_v": "q8_0"},
            "cache_type_v=q8_0 works only with flash attention",
        ),
        ({"n_parallel": "0"}, "n_parallel"),
        ({"n_parallel": "many"}, "n_parallel.*'many'"),
        ({"context_length": 1}, "context_length"),
        ({"cache_type_k": "q3"}, "cache_type_k.*'f16'"),
        ({"ctx": 3}, "Available: .*context_length"),
    ],
)
def test_impossible_options_are_refused_before_they_reach_the_engine(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        local(**options)


def test_factories(tmp_path: Path) -> None:
    assert local(n_parallel="4").capacity == 4
    assert local().identity == f"llama_cpp:{weights.FILE_NAME}"
    assert llama_cpp(str(tmp_path / "some.gguf")).identity == "llama_cpp:some.gguf"
    with pytest.raises(UserError, match=r"--model llama_cpp:FILE\.gguf"):
        llama_cpp("")
    with pytest.raises(UserError, match=r"--model llama_cpp:x\.gguf"):
        local("x.gguf")


def test_a_missing_file_is_the_users_mistake_and_close_still_works(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model file"):
        run(use(llama_cpp(str(tmp_path / "none.gguf")), ask()))


def test_a_missing_engine_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r'pip install "evolve-llm\[local\]"'):
        module.import_engine()


@given(st.integers(0, 2**63 - 1))
def test_seeds_are_never_the_one_that_means_random(seed: int) -> None:
    assert 0 <= engine_seed(seed) < 0xFFFFFFFF


def test_no_sampler_of_llama_cpp_is_left_at_its_default() -> None:
    body = chat_body(ask(temperature=1.0))
    neutral = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}
    assert {name: body[name] for name in neutral} == neutral


def test_streams_are_put_together() -> None:
    def chunk(text: str | None, finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}

    usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
    end = {"choices": [], "usage": usage}
    assert read_chunks([chunk(None), chunk("a"), chunk("b"), chunk(None, "length"), end]) == Completion(
        "ab", "length", 5, 2, 3
    )
    with pytest.raises(RequestError, match="malformed_response"):
        read_chunks([chunk("a")])
    assert read_chunks([chunk(None, "stop"), end]) == Completion("", "stop", 5, 2, 3)  # paid for, so counted
    whole = {**end, "choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}]}
    assert read_chunks([whole]) == Completion("ab", "stop", 5, 2, 3)  # an answer that was not streamed
    with pytest.raises(RequestError, match="server_error"):
        read_chunks([{"error": {"code": 500, "message": "x"}}])


# With the engine: one start for all of these


class Engine:
    """The real model on an event loop that lives as long as the module's tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.backend = local(n_parallel=4, context_length=512)
        self.info: ModelInfo = self.run(self.backend.start())

    def run(self, coroutine: Any, limit: float = 120) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, limit))

    def ask(self, *requests: Any) -> list[Any]:
        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*map(self.backend.generate, requests), return_exceptions=True)

        found: list[Any] = self.run(all_at_once())
        return found

    def end(self) -> None:
        self.run(self.backend.close())
        self.run(self.backend.close())
        self.loop.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    pytest.importorskip("xllamacpp")
    started = Engine()
    yield started
    started.end()


@pytest.mark.model
def test_sixteen_requests_share_four_slots_and_seeds_decide(engine: Engine) -> None:
    requests = [ask(f"Name fruit number {n}.", seed=2**40 + n, max_tokens=12) for n in range(16)]
    got = engine.ask(*requests)
    assert all(isinstance(one, Completion) for one in got), got
    assert all(one.prompt_tokens > 5 and 1 <= one.completion_tokens <= 12 for one in got)
    assert {one.completion_tokens for one in got if one.finish_reason == "length"} == {12}
    assert len({one.text for one in got}) > 4
    alone = engine.ask(requests[3]), engine.ask(requests[3])
    assert alone[0][0].text == alone[1][0].text, "a seed reproduces its text"
    assert engine.ask(ask("Name fruit number 3.", seed=7, max_tokens=12))[0].text != alone[0][0].text


@pytest.mark.model
def test_what_it_says_of_itself(engine: Engine) -> None:
    assert engine.info.context_length == 512
    assert engine.info.details["quantization"] == "Q4_1"
    assert len(engine.info.details["fingerprint"]) == 64


@pytest.mark.model
def test_a_prompt_that_does_not_fit_fails_alone(engine: Engine) -> None:
    long, short = engine.ask(ask("word " * 600), ask("hi", max_tokens=3))
    assert isinstance(long, RequestError)
    assert long.reason == "context_overflow"
    assert isinstance(short, Completion)


@pytest.mark.model
def test_an_answer_that_fills_the_window_is_cut_and_says_so(engine: Engine) -> None:
    prompt = "List numbers. " + "1 2 3 4 5 6 7 8 9 " * 24
    used = engine.run(engine.backend.count_tokens(Prompt.user(prompt)))
    assert 400 < used < 505
    (got,) = engine.ask(ask(prompt, max_tokens=300, seed=2))
    assert got.finish_reason == "length" or got.completion_tokens < 512 - used


@pytest.mark.model
def test_token_counts_are_exact(engine: Engine) -> None:
    for prompt in ("hi", "What is 1234 + 99?\n\\boxed{}", "漢字 ünïcödé \ud800"):
        (got,) = engine.ask(ask(prompt, max_tokens=2))
        assert engine.run(engine.backend.count_tokens(Prompt.user(prompt))) == got.prompt_tokens


@pytest.mark.model
def test_cancelling_frees_the_slots(engine: Engine) -> None:
    async def story() -> None:
        backend = engine.backend
        many = [asyncio.create_task(backend.generate(ask(f"Story {n}", max_tokens=450))) for n in range(12)]
        await asyncio.sleep(0.5)
        for task in many:
            task.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        began = time.monotonic()
        await backend.generate(ask("hi", max_tokens=2))
        assert time.monotonic() - began < 10, "twelve stories of 450 tokens would take far longer"

    engine.run(story())


@pytest.mark.model
def test_its_port_wants_the_key(engine: Engine) -> None:
    address = engine.backend._address
    assert address.startswith("http://127.0.0.1:")
    for path in ("/props", "/slots", "/v1/chat/completions"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{address}{path}", timeout=10)
        assert error.value.code == 401


@pytest.mark.model
def test_the_signal_handlers_are_still_ours(engine: Engine) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(engine.ask(ask("still alive?", max_tokens=2))[0], Completion)


@pytest.mark.model
def test_a_half_downloaded_model_is_refused_with_advice(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    half = tmp_path / "half.gguf"
    whole = weights.default_weights()
    with whole.open("rb") as source:
        half.write_bytes(source.read(5_000_000))
    with pytest.raises(BackendError, match="half downloaded"):
        run(use(LlamaCpp(half, name="half"), ask()))


@pytest.mark.model
def test_ctrl_c_ends_a_run_that_generates_and_never_closes() -> None:
    pytest.importorskip("xllamacpp")
    program = """
        import asyncio, os, signal, threading
        from evolve_llm.backends.llama_cpp.backend import local
        from evolve_llm.nouns.address import Address
        from evolve_llm.nouns.request import Prompt, Request, Sampling

        async def main():
            backend = local(n_parallel=2, context_length=512)
            await backend.start()
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            print("started", flush=True)
            address = Address(0, 0, "vary", 0)
            await backend.generate(
                Request("p", address, Prompt.user("Tell a story"), Sampling(max_tokens=480), 0)
            )
            print("finished", flush=True)

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["started", "interrupted"], done.stderr
    assert done.returncode == 0, done.stderr
