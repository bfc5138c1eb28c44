"""Who goes next: permits for the backend's slots, oldest problem first, and admission of new problems.

A child waits for its own parents by awaiting their tasks (see ``evolution``); here it waits for a slot.
"""

from __future__ import annotations

import asyncio
import heapq
from types import TracebackType

from evolve_llm.nouns.errors import BudgetReached

Priority = tuple[int, int, int]  # place of the problem, generation, slot


class Permits:
    """At most ``capacity`` holders at once; the waiter with the smallest priority is served first.

    ``resize`` changes the capacity. ``room`` is what admission waits for: a free permit that nobody is
    waiting for. ``close`` stops giving permits, because the budget is spent: whoever waits or asks for one
    gets BudgetReached, as soon as nobody holds one any more and so nothing that was paid for is under way.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self.peak = 0
        self.closed = False
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._arrivals = 0
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()

    def take(self, priority: Priority) -> _Permit:
        """``async with permits.take(priority):`` holds one permit."""
        return _Permit(self, priority)

    def resize(self, capacity: int) -> None:
        """Serve waiters up to the new capacity; where more are held already, none is passed on until it fits."""
        self.capacity = capacity
        while self.held < capacity and (future := self._next()) is not None:
            self.held += 1
            self.peak = max(self.peak, self.held)
            future.set_result(None)
        self._update()

    async def room(self) -> None:
        """Return when a permit is free and nobody waits for one, or when there will be no more."""
        await self._room.wait()

    def close(self) -> None:
        """Give no more permits. Waiters get BudgetReached once nobody holds one."""
        self.closed = True
        self._update()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a permit."""
        return sum(not future.done() for _, _, future in self._waiting)

    async def _acquire(self, priority: Priority) -> None:
        if self.held < self.capacity and not self.closed:
            self.held += 1
            self.peak = max(self.peak, self.held)
            self._update()
            return
        if self.closed and self.held == 0:
            raise _spent()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._waiting, (priority, self._arrivals, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._release()  # the permit was handed over and is now nobody's
            raise

    def _release(self) -> None:
        if self.held <= self.capacity and (future := self._next()) is not None:
            future.set_result(None)  # the permit passes on: held stays
            return
        self.held -= 1
        self._update()

    def _next(self) -> asyncio.Future[None] | None:
        """The waiter to be served now, off the queue; None where nobody waits or no permits are given."""
        while self._waiting and not self.closed:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                return future
        return None

    def _update(self) -> None:
        if self.closed or self.held < self.capacity:
            self._room.set()
        else:
            self._room.clear()
        if self.closed and self.held == 0:
            waiting, self._waiting = self._waiting, []
            for _, _, future in waiting:
                if not future.done():
                    future.set_exception(_spent())


def _spent() -> BudgetReached:
    return BudgetReached("the token budget is spent")


class _Permit:
    __slots__ = ("_permits", "_priority")

    def __init__(self, permits: Permits, priority: Priority) -> None:
        self._permits = permits
        self._priority = priority

    async def __aenter__(self) -> None:
        await self._permits._acquire(self._priority)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._permits._release()
