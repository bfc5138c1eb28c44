"""Fixtures of the tests of all backends."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from fake_server import FakeServer


@pytest.fixture(autouse=True)
def _local_and_keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(autouse=True)
def _global_rng_is_left_alone() -> Iterator[None]:
    """DEAP draws from the global generator: nothing here may move it."""
    random.seed(2024)
    state = random.getstate()
    yield
    assert random.getstate() == state


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake
