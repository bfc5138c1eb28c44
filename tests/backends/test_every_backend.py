"""The contract of backends/base.py, over every backend that needs no weights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask, run
from fake_server import MODEL, FakeServer

from evolve_llm.backends.base import Backend
from evolve_llm.backends.openai import openai
from evolve_llm.backends.recorded import Recorded
from evolve_llm.backends.scripted import Scripted
from evolve_llm.errors import EvolveError, RequestError
from evolve_llm.registry import available, load
from evolve_llm.request import Completion, ModelInfo, Prompt, Request

DELAY = 0.15


def respond(request: Request) -> Any:
    prompt = request.prompt.messages[-1].content
    return (
        RequestError("context_overflow", "scripted") if prompt.startswith("overflow") else f"echo: {prompt}"
    )


@pytest.fixture(params=["scripted", "recorded", "openai"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Backend]]:
    """A factory of backends that answer ``echo: PROMPT`` after DELAY, two at a time being worthwhile."""
    if request.param == "openai":
        with FakeServer(delay=DELAY) as fake:
            yield lambda: openai(MODEL, base_url=fake.url, capacity=2, backoff=0.01)
    elif request.param == "recorded":
        yield lambda: Recorded(tmp_path / "recording", Scripted(respond, delay=DELAY, capacity=2))
    else:
        yield lambda: Scripted(respond, delay=DELAY, capacity=2)


def test_it_is_a_backend_before_it_is_started(make: Callable[[], Backend]) -> None:
    backend = make()
    assert isinstance(backend, Backend)
    assert backend.identity
    assert "http" not in backend.identity
    assert backend.capacity == 2


def test_a_life(make: Callable[[], Backend]) -> None:
    async def story() -> None:
        backend = make()
        info = await backend.start()
        assert isinstance(info, ModelInfo)
        assert info.context_length is None or info.context_length > 0
        assert all(isinstance(value, str) for pair in info.details.items() for value in pair)
        prompts = [f"question {n}" for n in range(6)]
        got = await asyncio.gather(*(backend.generate(ask(prompt)) for prompt in prompts))
        assert [one.text for one in got] == [f"echo: {prompt}" for prompt in prompts]
        assert all(one.prompt_tokens > 0 and one.completion_tokens > 0 for one in got)
        assert (
            await backend.count_tokens(Prompt.user("x" * 4000))
            > await backend.count_tokens(Prompt.user("x"))
            > 0
        )
        await backend.close()
        await backend.close()

    run(story())


def test_one_request_that_fails_leaves_the_others_alone(make: Callable[[], Backend]) -> None:
    async def story() -> None:
        backend = make()
        await backend.start()
        got = await asyncio.gather(
            backend.generate(ask("fine")), backend.generate(ask("overflow forever")), return_exceptions=True
        )
        assert isinstance(got[0], Completion)
        assert isinstance(got[1], RequestError)
        assert got[1].reason == "context_overflow"
        await backend.close()

    run(story())


def test_cancelling_frees_what_is_held(make: Callable[[], Backend]) -> None:
    async def story() -> None:
        backend = make()
        await backend.start()
        many = [asyncio.create_task(backend.generate(ask(f"cancelled {n}"))) for n in range(20)]
        await asyncio.sleep(DELAY / 3)
        for task in many:
            task.cancel()
        got = await asyncio.gather(*many, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in got)
        async with asyncio.timeout(20 * DELAY):
            assert (await backend.generate(ask("next"))).text == "echo: next"
        await backend.close()

    run(story())


def test_close_is_allowed_at_any_moment(make: Callable[[], Backend]) -> None:
    async def story() -> None:
        await make().close()
        busy = make()
        await busy.start()
        tasks = [asyncio.create_task(busy.generate(ask(f"unfinished {n}"))) for n in range(4)]
        await asyncio.sleep(DELAY / 3)
        await busy.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(story())


@pytest.mark.parametrize("name", sorted(available("backend")))
def test_factories_refuse_unknown_options_and_list_the_known(name: str) -> None:
    with pytest.raises(EvolveError, match=r"unknown option of the backend .*Available: ") as caught:
        load("backend", name)("" if name in ("scripted", "local") else "x", no_such_option=1)
    assert caught.value.exit_code == 2
