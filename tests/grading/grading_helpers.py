"""Shared pieces of the grading tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.problem import Problem

T = TypeVar("T")


def with_pool(work: Callable[[GradingPool], Awaitable[T]], **settings: Any) -> T:
    """Run one coroutine with a pool of its own, and leave no worker behind."""

    async def run() -> T:
        async with GradingPool(**settings) as pool:
            return await work(pool)

    return asyncio.run(run())


def problem(grader: str | None, reference: Any, name: str = "p") -> Problem:
    return Problem(name, "question", grader=grader, reference=reference)
