"""The openai backend against a vLLM server that is really started, with the tiny model that ships.

One start serves the whole file; the last test kills the server.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from asking import ask, run
from fake_server import FakeServer
from vllm_here import requires_vllm
from vllm_server import NAME, READY_WITHIN, VllmServer

from evolve_llm import evolve
from evolve_llm.analysis.run import Run
from evolve_llm.backends.base import Backend, load_of, token_starts
from evolve_llm.backends.openai.backend import openai
from evolve_llm.backends.openai.wire import SEED_LIMIT
from evolve_llm.engine.evolution import Generation
from evolve_llm.nouns.errors import BackendError
from evolve_llm.nouns.request import Prompt
from evolve_llm.testing import BackendContract

pytestmark = [requires_vllm, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(READY_WITHIN + 300)]

CHAIN = "a5780.b9932B"
PROMPTS = ["<a5037;>", f"<{CHAIN}|{CHAIN}|{CHAIN}|a5037;b9372;>", "a" * 300, "<a5é😀0;>"]
SMALL: dict[str, Any] = {"population": 6, "parents": 3, "generations": 3, "sampling": {"max_tokens": 40}}


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with VllmServer(tmp_path_factory.mktemp("vllm")) as server:
        yield server


class TestContract(BackendContract):
    """What the fly has no letters for its tokenizer leaves out, so the contract's questions are short to it."""

    refused = "a" * 600
    seconds: ClassVar[float] = 2.0

    @pytest.fixture(autouse=True)
    def _server(self, vllm: VllmServer) -> None:
        type(self).make = staticmethod(lambda: openai(NAME, base_url=vllm.url(), capacity=8))


class TestContractOfReplicas(TestContract):
    @pytest.fixture(autouse=True)
    def _server(self, vllm: VllmServer) -> None:
        urls = [vllm.url(), vllm.url("localhost")]
        type(self).make = staticmethod(lambda: openai(NAME, base_url=urls, capacity=4))


def with_server(vllm: VllmServer, story: Callable[[Backend], Any], **options: Any) -> Any:
    async def whole() -> Any:
        backend = openai(NAME, base_url=vllm.url(), **options)
        try:
            await backend.start()
            return await story(backend)
        finally:
            await backend.close()

    return run(whole(), limit=240)


def test_it_tells_window_engine_and_that_it_counts(vllm: VllmServer) -> None:
    info = run(openai(NAME, base_url=vllm.url()).start())
    assert info.context_length == 512
    assert info.details["served by"] == "vllm"
    assert info.details["prompt lengths"] == "counted by the server"


def test_counts_are_what_the_server_bills(vllm: VllmServer) -> None:
    async def story(backend: Backend) -> None:
        counts = [await backend.count_tokens(Prompt.user(prompt)) for prompt in PROMPTS]
        given = await asyncio.gather(*(backend.generate(ask(one, max_tokens=2)) for one in PROMPTS))
        assert counts == [one.prompt_tokens for one in given]
        assert counts[0] == len(PROMPTS[0])

    with_server(vllm, story)


def test_tokens_start_where_the_model_sees_them_start(vllm: VllmServer) -> None:
    async def story(backend: Backend) -> None:
        assert await token_starts(backend, CHAIN) == list(range(len(CHAIN)))
        assert await token_starts(backend, "") == []
        assert await token_starts(backend, "<a5é0;>") is None  # a letter is lost on the way: no exact places

    with_server(vllm, story)


def test_a_prompt_asked_twice_comes_from_the_prefix_cache(
    vllm: VllmServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(backend: Backend) -> tuple[int, int]:
        prompt = "<" + "b9932B|" * 12 + "a5037;b9372;>"
        first = await backend.generate(ask(prompt, max_tokens=4))
        again = await backend.generate(ask(prompt, max_tokens=4))
        assert first.text == again.text, "the same seed"
        return again.cached_tokens, again.prompt_tokens

    cached, whole = with_server(vllm, story)
    assert whole - 32 <= cached < whole
    assert not caplog.records


def test_its_load_is_seen_while_it_works(vllm: VllmServer) -> None:
    async def story(backend: Backend) -> None:
        seen = await load_of(backend)
        assert seen is not None
        enough = asyncio.Event()

        async def ask_on(number: int) -> None:
            while not enough.is_set():
                await backend.generate(ask("<a5037;>", seed=number, max_tokens=40))

        asking = [asyncio.create_task(ask_on(number)) for number in range(20)]
        while not seen.running:
            await asyncio.sleep(0.2)
            seen = await load_of(backend)
            assert seen is not None
        enough.set()
        await asyncio.gather(*asking)
        assert seen.running <= 16, "--max-num-seqs"
        assert seen.running + seen.waiting <= 20

    with_server(vllm, story, extra_body={"ignore_eos": True})


def test_rsa_from_end_to_end(vllm: VllmServer, tmp_path: Path) -> None:
    done = evolve(
        "locks?locks=4&size=3",
        preset="rsa",
        model=f"openai:{NAME}",
        engine={"base_url": vllm.url()},
        out=tmp_path / "run",
        **SMALL,
    )
    _is_whole(done, problems=3)
    assert done.plain()["tokens"]["cached"] > 0


def test_rsa_over_two_replicas_is_the_same_run(vllm: VllmServer, tmp_path: Path) -> None:
    """Also to the store: a run begun on one server goes on with two."""
    where = {"model": f"openai:{NAME}", "out": tmp_path / "run", "preset": "rsa", **SMALL}
    begun = evolve(
        "locks?locks=3&size=2", engine={"base_url": vllm.url()}, budget_tokens=200, concurrency=2, **where
    )
    assert not begun.complete
    both = f"{vllm.url()},{vllm.url('localhost')}"
    done = evolve("locks?locks=3&size=2", engine={"base_url": both}, **where)
    _is_whole(done, problems=2)


def _is_whole(done: Run, problems: int) -> None:
    assert done.complete
    rows = done.generations()
    assert [row.requests for row in rows] == [problems * SMALL["population"]] * SMALL["generations"]
    assert all(row.failed == 0 for row in rows)
    assert all(row.prompt_tokens > 0 for row in rows)


def test_a_server_killed_in_the_middle_ends_the_run_soon_and_nothing_is_asked_again(
    vllm: VllmServer, tmp_path: Path
) -> None:
    """The last test. Another server takes over; it is a stand-in, since vLLM takes a minute to start."""
    killed: list[float] = []

    def kill(_: Generation) -> None:
        if not killed:
            vllm.kill()
            killed.append(time.monotonic())

    def go(url: str, **more: Any) -> Run:
        return evolve(
            "locks?locks=3&size=4",
            preset="rsa",
            model=f"openai:{NAME}",
            engine={"base_url": url, "attempts": 3, "backoff": 0.1, "deadline": 20, "connect_timeout": 2},
            concurrency=4,
            out=tmp_path / "run",
            **SMALL,
            **more,
        )

    with pytest.raises(BackendError, match=r"the server http://127\.0\.0\.1:\d+/v1 cannot be reached"):
        go(vllm.url(), on_generation=kill)
    assert time.monotonic() - killed[0] < 60
    stored = _stored_seeds(tmp_path / "run")
    every = 4 * SMALL["population"] * SMALL["generations"]
    assert 0 < len(stored) < every
    with FakeServer(model=NAME, window=512) as other:
        done = go(other.url)
        asked = [body["seed"] for body in other.bodies]
    assert done.complete
    assert len(asked) == len(set(asked)) == every - len(stored)
    assert not stored & set(asked)


def _stored_seeds(folder: Path) -> set[int]:
    with sqlite3.connect(folder / "run.db") as store:
        return {int(seed) % SEED_LIMIT for (seed,) in store.execute("SELECT seed FROM completions")}
