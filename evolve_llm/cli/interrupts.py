"""Running a coroutine that Ctrl-C and SIGTERM end in good order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class InterruptedRunError(Exception):
    """A signal ended the work; everything was closed in order. ``exit_code`` is 128 + the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` on a new event loop and return its result.

    The first SIGINT or SIGTERM cancels it, so that it closes what it holds; a second one ends the process
    at once. Raises InterruptedRunError after the first, and what ``work`` raises.
    """
    received: list[int] = []

    async def guarded() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if received:
                os._exit(128 + number)
            received.append(number)
            task.cancel()

        handled = (signal.SIGINT, signal.SIGTERM)
        for number in handled:
            loop.add_signal_handler(number, stop, number)
        try:
            return await work
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if received:
            raise InterruptedRunError(received[0]) from None
        raise
