"""The contract of backends/base.py, over every backend that needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake_server import MODEL, FakeServer
from vllm_here import requires_vllm

from evolve_llm.backends.base import Backend
from evolve_llm.backends.openai.backend import openai
from evolve_llm.backends.recorded import Recorded
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import EvolveError, RequestError
from evolve_llm.nouns.request import Request
from evolve_llm.scheme.registry import available, load
from evolve_llm.testing import BackendContract

DELAY = 0.15


def respond(request: Request) -> Any:
    prompt = request.prompt.messages[-1].content
    return (
        RequestError("context_overflow", "scripted") if prompt.startswith("overflow") else f"echo: {prompt}"
    )


class EchoContract(BackendContract):
    """Backends that answer ``echo: PROMPT`` after DELAY, two at a time being worthwhile."""

    expected: ClassVar[Callable[[str], str] | None] = staticmethod(lambda prompt: f"echo: {prompt}")
    refused = "overflow forever"
    seconds = DELAY

    def test_capacity_is_what_was_asked_for(self) -> None:
        assert type(self).make().capacity == 2


class TestScripted(EchoContract):
    make: ClassVar[Callable[[], Backend]] = staticmethod(lambda: Scripted(respond, delay=DELAY, capacity=2))


class TestRecorded(EchoContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        type(self).make = staticmethod(
            lambda: Recorded(tmp_path / "recording", Scripted(respond, delay=DELAY, capacity=2))
        )


class TestOpenAI(EchoContract):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with FakeServer(delay=DELAY) as fake:
            type(self).make = staticmethod(lambda: openai(MODEL, base_url=fake.url, capacity=2, backoff=0.01))
            yield


@pytest.mark.parametrize(
    "name",
    [  # vLLM's own arguments are options too, and only an installed vLLM knows them
        pytest.param(name, marks=requires_vllm if name == "vllm" else ())
        for name in sorted(available("backend"))
    ],
)
def test_factories_refuse_unknown_options_and_list_the_known(name: str) -> None:
    with pytest.raises(EvolveError, match=r"unknown option of the backend .*Available: ") as caught:
        load("backend", name)(
            "" if name in ("scripted", "local", "fly", "fly-hard") else "x", no_such_option=1
        )
    assert caught.value.exit_code == 2
