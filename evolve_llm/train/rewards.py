"""Rewards: our graders, in their killable processes. A verdict that could not be had is no reward, and never 0."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, TypeVar

from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.thinking import apart
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.scheme import registry
from evolve_llm.train.rows import problem_of

Result = TypeVar("Result")
Kind = Literal["correct", "score"]


class Rewards:
    """Grades replies from a thread of its own, so that it can be called from a trainer that knows no event loop.

    ``deadline`` is in seconds for one answer; a grader that takes longer is killed, and the reply has no reward. Use
    ``with``, or call ``close``.
    """

    def __init__(
        self, kind: Kind = "correct", *, workers: int = 1, deadline: float = 10.0, unsafe_local: bool = False
    ) -> None:
        self.kind = kind
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rewards", daemon=True)
        self._thread.start()

        async def open_pool() -> GradingPool:
            return GradingPool(workers=workers, deadline=deadline, unsafe_local=unsafe_local)

        self._pool = self._do(open_pool())

    def require(self, problems: Sequence[Problem]) -> None:
        """Check that these problems can be graded here. Raises UserError and SandboxUnavailable as the pool does."""
        for one in problems:
            registry.load("answer format", one.format)
        self._pool.require(problems)

    def verdicts(self, rows: Sequence[dict[str, Any]], texts: Sequence[str]) -> list[Verdict]:
        """The verdicts on replies to rows of a training set, in their order. A reply cut in thought has no answer."""
        return self._do(self._graded([problem_of(row) for row in rows], texts))

    def values(self, verdicts: Sequence[Verdict]) -> list[float | None]:
        """What the verdicts are worth: None where there is none."""
        return [value(one, self.kind) for one in verdicts]

    async def _graded(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        asked = [
            self._pool.grade(one, answer_of(one, text)) for one, text in zip(problems, texts, strict=True)
        ]
        return list(await asyncio.gather(*asked))

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End the graders' processes and the thread. Closing twice does nothing."""
        if not self._loop.is_closed():
            self._do(self._pool.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Rewards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer_of(problem: Problem, text: str) -> str | None:
    """The final answer in a reply, as a run takes it out of a chain."""
    said = apart("", text).answer
    if not said.strip():
        return None
    found: str | None = registry.load("answer format", problem.format).extract(said)
    return found


def value(verdict: Verdict, kind: Kind) -> float | None:
    """1 for a correct answer and 0 for an incorrect one, or its score; None where it could not be graded."""
    if verdict.grade is Grade.UNGRADED:
        return None
    if kind == "score" and verdict.score is not None:
        return verdict.score
    return float(verdict.correct)
