"""Making requests and running backends: what the tests of all backends share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from evolve_llm.backends.base import Backend
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.request import Prompt, Request, Sampling

Result = TypeVar("Result")

FIRST = Address(0, 0, "init", 0)


def ask(
    text: str = "hello", *, seed: int = 1, problem: str = "p", address: Address = FIRST, **sampling: Any
) -> Request:
    """A request of one user message."""
    return Request(problem, address, Prompt.user(text), Sampling(**{"max_tokens": 64, **sampling}), seed)


def run(coroutine: Coroutine[Any, Any, Result], limit: float = 60) -> Result:
    """Run to the end, but never hang the suite."""

    async def limited() -> Result:
        return await asyncio.wait_for(coroutine, limit)

    return asyncio.run(limited())


async def use(backend: Backend, *requests: Request) -> list[Any]:
    """Start, answer all requests at once, close; failures are given, not raised."""
    try:
        await backend.start()
        return await asyncio.gather(*map(backend.generate, requests), return_exceptions=True)
    finally:
        await backend.close()
