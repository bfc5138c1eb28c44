"""GradingPool: verdicts and canonical forms for whole runs, from workers that can be killed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from evolve_llm.grading import sandbox, wire
from evolve_llm.grading.base import Grade, Grader, Verdict
from evolve_llm.grading.normalize import folded, spaced
from evolve_llm.grading.process import WorkerDiedError, WorkerProcess
from evolve_llm.nouns.errors import SandboxUnavailable, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme import registry

T = TypeVar("T")

MAX_ANSWER = 100_000
"""Characters. A longer answer that the inline comparison does not settle is ``incorrect``, ``too-long``."""

MAX_CANONICAL = 2_000
"""Characters. A longer canonical form is replaced by its hash: it is compared, never read."""

_MEMORY = 2 << 30
_CACHED = 8192
_CACHED_LENGTH = 4_000


class GradingPool:
    """Grades answers and names their equivalence classes, off the event loop, whatever the answers do.

    Costs nothing until a worker is needed; then at most ``workers`` processes of each kind (plain, and
    one kind for each grader that asks for a sandbox). ``deadline`` is in seconds for each item, counted
    from when it starts in a worker. With ``unsafe_local``, graders that ask for a sandbox run in plain
    workers on machines where none can be had.

    Use from one event loop; `close` it there, or use ``async with``.
    """

    def __init__(self, *, workers: int = 1, deadline: float = 10.0, unsafe_local: bool = False) -> None:
        if workers < 1 or not deadline > 0:
            raise UserError(
                f"grading needs at least 1 worker and a deadline above 0 s, got {workers} and {deadline}"
            )
        self._workers = workers
        self._deadline = deadline
        self._unsafe_local = unsafe_local
        self._lanes: dict[str, _Lane] = {}
        self._verdicts: _Cache[tuple[Problem, Verdict]] = _Cache()
        self._forms: _Cache[str] = _Cache()
        self._pending: dict[tuple[str, ...], tuple[Problem, asyncio.Task[Any]]] = {}
        self._closed = False

    def require(self, problems: Iterable[Problem]) -> None:
        """Check before a run that these problems can be graded here. May take a tenth of a second.

        Raises UserError for an unknown grader and SandboxUnavailable when one needs a sandbox that
        cannot be had; both say what to do.
        """
        for problem in problems:
            if problem.grader is None or problem.reference is None:
                continue
            grader = _grader(problem)
            if grader.isolation(problem.reference) != "worker" and not self._unsafe_local:
                sandbox.require()

    async def grade(self, problem: Problem, answer: str | None) -> Verdict:
        """The verdict on an answer. Whatever the answer does, this returns.

        Where the problem's format has to guess where an answer is, the rule names that reading first.
        Raises UserError when the problem names an unknown grader, and SandboxUnavailable as `require` does.
        """
        verdict = await self._judged(problem, answer)
        reading = registry.load("answer format", problem.format).reading
        return replace(verdict, rule=f"{reading}:{verdict.rule}") if reading else verdict

    async def _judged(self, problem: Problem, answer: str | None) -> Verdict:
        self._check_open()
        if problem.grader is None or problem.reference is None:
            return Verdict(Grade.UNGRADED, "no-reference")
        grader = _grader(problem)
        if answer is None or not answer.strip():
            return Verdict(Grade.INCORRECT, "no-answer")
        with suppress(Exception):  # a grader whose short cut fails still has its full comparison
            verdict = grader.quick(answer, problem.reference)
            if verdict is not None:
                return verdict
        if len(answer) > MAX_ANSWER:
            return Verdict(Grade.INCORRECT, "too-long", detail=f"{len(answer)} characters")
        key = ("grade", problem.grader, problem.id, answer)
        known = self._verdicts.get(key)
        if known is not None and _same_reference(known[0], problem):
            return known[1]
        verdict = await self._once(key, problem, lambda: self._grade(problem, grader, answer))
        if verdict.rule != "worker-crashed":
            self._verdicts.put(key, (problem, verdict))
        return verdict

    async def canonical(self, problem: Problem, answer: str) -> str:
        """A text that equivalent answers to this problem share: what majority voting counts.

        At worst the answer with its white space normalised; without a grader, also case-folded. Never raises
        for anything an answer does.
        """
        self._check_open()
        if problem.grader is None:
            return _bounded(folded(answer))
        grader = _grader(problem)
        with suppress(Exception):
            form = grader.quick_canonical(answer)
            if form is not None:
                return _bounded(form)
        if len(answer) > MAX_ANSWER:
            return _bounded(spaced(answer))
        behaves = hasattr(grader, "behaviour")
        key = ("canonical", problem.grader, problem.id if behaves else "", answer)
        known = self._forms.get(key)
        if known is None:
            known = _bounded(await self._once(key, problem, lambda: self._canonical(problem, grader, answer)))
            self._forms.put(key, known)
        return known

    async def close(self) -> None:
        """End all workers. Verdicts still awaited are cancelled. Closing twice does nothing."""
        self._closed = True
        tasks = [task for _, task in self._pending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lane in self._lanes.values():
            lane.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def worker_pids(self) -> list[int]:
        """The processes that are alive now, for monitoring and tests."""
        return [pid for lane in self._lanes.values() for pid in lane.pids()]

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this GradingPool is closed; make a new one")

    async def _once(self, key: tuple[str, ...], problem: Problem, work: Callable[[], Awaitable[T]]) -> T:
        """One piece of work for all who wait for the same thing; it outlives any one of them."""
        waiting = self._pending.get(key)
        if waiting is None or not _same_reference(waiting[0], problem):
            task = asyncio.ensure_future(work())
            waiting = self._pending[key] = (problem, task)

            def forget(done: asyncio.Future[Any]) -> None:
                if self._pending.get(key, (None, None))[1] is done:
                    del self._pending[key]
                if not done.cancelled():
                    done.exception()

            task.add_done_callback(forget)
        return cast(T, await asyncio.shield(waiting[1]))

    async def _grade(self, problem: Problem, grader: Grader, answer: str) -> Verdict:
        said = await self._ask("grade", problem, grader, answer)
        if "result" in said:
            try:
                return wire.unpack_verdict(said["result"])
            except wire.MalformedFrameError as error:
                return Verdict(Grade.UNGRADED, "worker-crashed", detail=f"malformed verdict: {error}")
        if "deadline" in said:
            return Verdict(Grade.UNGRADED, "deadline", detail=f"no verdict within {self._deadline:g} s")
        if "crashed" in said:
            return Verdict(Grade.UNGRADED, "worker-crashed", detail=str(said["crashed"])[: wire.MAX_DETAIL])
        return Verdict(Grade.UNGRADED, "grader-error", detail=str(said.get("error", ""))[: wire.MAX_DETAIL])

    async def _canonical(self, problem: Problem, grader: Grader, answer: str) -> str:
        try:
            do = "behaviour" if hasattr(grader, "behaviour") else "canonical"
            said = await self._ask(do, problem, grader, answer)
        except SandboxUnavailable:
            said = {}
        form = said.get("result")
        return form if isinstance(form, str) else spaced(answer)

    async def _ask(self, do: str, problem: Problem, grader: Grader, answer: str) -> dict[str, Any]:
        try:
            lane = await self._lane(problem, grader)
            request = {
                "do": do,
                "grader": _location(problem),
                "answer": answer,
                "reference": dict(problem.metadata) if do == "behaviour" else problem.reference,
            }
            wire.encode(request)
        except (TypeError, ValueError, RecursionError) as error:
            return {"error": f"the reference cannot be sent to a worker ({error}); it must be a JSON value"}
        longest = getattr(grader, "deadline", None)
        return await lane.ask(request, max(self._deadline, longest(request["reference"]) if longest else 0.0))

    async def _lane(self, problem: Problem, grader: Grader) -> _Lane:
        isolation = grader.isolation(problem.reference)
        sandboxed = isolation == "sandbox"
        if isolation != "worker":
            reason = await asyncio.to_thread(sandbox.available)
            if reason is not None and not self._unsafe_local:
                raise SandboxUnavailable(reason)
            sandboxed = sandboxed and reason is None
        location = _location(problem)
        name = f"sandbox {location}" if sandboxed else isolation if isolation == "own" else "worker"
        size = max(self._workers, _cores()) if isolation == "own" else self._workers
        unsafe = isolation == "own" and self._unsafe_local
        return self._lanes.setdefault(name, _Lane(location, sandboxed, size, unsafe))


class _Lane:
    """Up to ``size`` workers of one kind, started when first needed and replaced when they die."""

    def __init__(self, grader: str, sandboxed: bool, size: int, unsafe_local: bool) -> None:
        self._unsafe_local = unsafe_local
        self._grader = grader
        self._sandboxed = sandboxed
        self._free = asyncio.Semaphore(size)
        self._idle: list[WorkerProcess] = []
        self._all: set[WorkerProcess] = set()

    async def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """What a worker says. One that dies of itself is replaced once for this item."""
        async with self._free:
            failure = ""
            for _ in range(2):
                worker = None
                try:
                    worker = await self._take()
                    said = await worker.ask(request, deadline)
                except WorkerDiedError as error:
                    failure = str(error)
                    continue
                else:
                    self._idle.append(worker)
                    worker = None
                    return said
                finally:
                    if worker is not None:
                        self._drop(worker)
            return {"crashed": f"the worker died twice on this item ({failure})"}

    async def _take(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._drop(worker)
        worker = WorkerProcess(self._grader, self._sandboxed, _MEMORY, self._unsafe_local)
        self._all.add(worker)
        try:
            await worker.connect()
        except BaseException:
            self._drop(worker)
            raise
        return worker

    def _drop(self, worker: WorkerProcess) -> None:
        self._all.discard(worker)
        worker.kill()

    def pids(self) -> list[int]:
        return [worker.pid for worker in self._all if worker.alive]

    def close(self) -> None:
        self._idle.clear()
        for worker in list(self._all):
            self._drop(worker)


class _Cache(Generic[T]):
    """The most recently used entries, by texts of moderate length."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, ...], T] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> T | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: tuple[str, ...], value: T) -> None:
        if sum(map(len, key)) > _CACHED_LENGTH:
            return
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > _CACHED:
            self._entries.popitem(last=False)


def _grader(problem: Problem) -> Grader:
    return cast(Grader, registry.load("grader", str(problem.grader)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _location(problem: Problem) -> str:
    return registry.available("grader")[str(problem.grader)].value


def _same_reference(one: Problem, other: Problem) -> bool:
    return one.reference is other.reference or bool(one.reference == other.reference)


def _bounded(form: str) -> str:
    if len(form) <= MAX_CANONICAL:
        return form
    return "sha256:" + hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest()
