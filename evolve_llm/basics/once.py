"""Doing a thing once for all who want it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(slots=True)
class _Flight(Generic[Value]):
    task: asyncio.Task[Value]
    passengers: int = 0


class Once(Generic[Value]):
    """Work by key. Later callers of a key share the work of the first and its outcome, an error included.

    A caller that is cancelled leaves without the others; when the last one has left, the work itself is
    cancelled. Finished work is forgotten, unless ``keep``: then whoever comes later shares it too.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._flights: dict[Hashable, _Flight[Value]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    async def run(self, key: Hashable, work: Callable[[], Awaitable[Value]]) -> Value:
        """The outcome of ``work`` (called at most once at a time for a key). Raises what it raises."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(_as_coroutine(work)))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.passengers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.passengers -= 1
            if flight.passengers == 0 and not flight.task.done():
                self._forget(key, flight.task)
                flight.task.cancel()

    async def cancel_all(self) -> None:
        """End all work in progress and wait until it has ended. Never raises."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        if task.cancelled() or not self._keep:
            self._forget(key, task)
        if not task.cancelled():
            task.exception()  # seen: every passenger gets it, and there may be none left to complain

    def _forget(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]


async def _as_coroutine(work: Callable[[], Awaitable[Value]]) -> Value:
    return await work()
