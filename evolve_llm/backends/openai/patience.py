"""When one request to a server is tried again, for how long, and when that stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from evolve_llm.backends.openai.options import OpenAIOptions
from evolve_llm.backends.openai.wire import FailedAttempt
from evolve_llm.nouns.errors import BackendError

Value = TypeVar("Value")


class AttemptError(Exception):
    """One attempt's failure on its way to the retry loop; no error that a run sees."""

    def __init__(self, failure: FailedAttempt, *, refused: bool = False) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.refused = refused
        """Whether not even a connection came about."""

    @property
    def may_pass(self) -> bool:
        """Whether another attempt can help."""
        return self.failure.remedy in ("retry", "wait")


class Patience:
    """How often and when one request is tried again. One object a request; asked by tenacity.

    Full jitter: each pause is uniform between nothing and a bound that doubles, so that requests which failed
    together do not come back together. A pause that the server asks for is kept and some jitter added.
    Rate limits (429) do not use up attempts: only the deadline ends them.
    """

    def __init__(self, options: OpenAIOptions, rng: Random, ends_at: float) -> None:
        self._options = options
        self._rng = rng
        self._ends_at = ends_at
        self._spent = 0
        self._empty = 0

    def stop(self, state: RetryCallState) -> bool:
        """Whether the attempts are used up."""
        failure = _failure(state).failure
        if failure.remedy == "wait":
            return False
        self._spent += 1
        self._empty += failure.reason == "empty_response"
        return self._spent >= self._options.attempts or self._empty >= self._options.empty_attempts

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the next attempt. Raises BackendError where the server asks for more than is left."""
        failure = _failure(state).failure
        bound = min(
            self._options.backoff * 2.0 ** min(state.attempt_number - 1, 30), self._options.backoff_limit
        )
        if failure.after is None:
            return self._rng.uniform(0, bound)
        if asyncio.get_running_loop().time() + failure.after > self._ends_at:
            raise BackendError(
                f"the server asks to come back in {failure.after:.0f} s, which is later than the deadline "
                f"of a request ({failure.detail}); resume later with the same command, or raise "
                "engine.deadline"
            )
        return failure.after + self._rng.uniform(0, min(bound, self._options.backoff))


async def patiently(attempt: Callable[[], Awaitable[Value]], options: OpenAIOptions, jitter: Random) -> Value:
    """What ``attempt`` gives, tried again as Patience says and within ``options.deadline``.

    Raises the last AttemptError where attempts or time are used up, and at once one that cannot pass.
    """
    ends_at = asyncio.get_running_loop().time() + options.deadline
    patience = Patience(options, jitter, ends_at)
    last: AttemptError | None = None

    async def once() -> Value:
        nonlocal last
        try:
            return await attempt()
        except AttemptError as error:
            last = error
            raise

    retrying = AsyncRetrying(
        stop=patience.stop,
        wait=patience.wait,
        retry=retry_if_exception(lambda error: isinstance(error, AttemptError) and error.may_pass),
        sleep=asyncio.sleep,
        reraise=True,
    )
    try:
        async with asyncio.timeout_at(ends_at):
            return await retrying(once)
    except TimeoutError:
        why = f"; last failure: {last}" if last is not None else ""
        failure = FailedAttempt(
            "retry", "timeout", f"no answer within engine.deadline={options.deadline:g} s{why}"
        )
        raise AttemptError(failure, refused=last is not None and last.refused) from None


def _failure(state: RetryCallState) -> AttemptError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, AttemptError)  # the only kind that is retried
    return error
