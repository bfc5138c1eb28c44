"""The loop: every problem's population evolves on its own, and only permits are shared.

    plan ─► render ─► generate ─► parse ─► evaluate ─► replace ─► … ─► finish

With blind selection and positional replacement all generations are planned before the first text exists,
and a child starts when its own K parents have ended: there is no barrier. Otherwise a generation waits for
its own problem's population, never for another problem.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from evolve_llm.backends.admission import INTERVAL, Admission
from evolve_llm.backends.base import Backend, load_of
from evolve_llm.engine.calling import Caller, Meter
from evolve_llm.engine.permits import Permits
from evolve_llm.engine.population import Generation, Population
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import BudgetReached, EvolveError, first_of
from evolve_llm.nouns.problem import Problem
from evolve_llm.record.store import Store
from evolve_llm.scheme.scheme import Scheme

__all__ = ["Evolution", "Generation"]


class Evolution:
    """One run in progress.

    ``problems`` are in their order in the store; those that have their answer are passed over.
    ``concurrency`` bounds the requests in flight. Without it the bound starts at the backend's capacity and
    follows the engine's load where the backend can tell it (see ``Admission``). ``budget`` bounds the
    prompt + completion tokens of the whole run; ``window`` is the model's, where it is known.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        scheme: Scheme,
        backend: Backend,
        store: Store,
        grading: GradingPool,
        *,
        seed: int,
        concurrency: int | None = None,
        budget: int | None = None,
        window: int | None = None,
    ) -> None:
        self.problems = problems
        self.scheme = scheme
        self.store = store
        self.grading = grading
        self.seed = seed
        self.meter = Meter(spent=store.spent(), budget=budget)
        self.backend = backend
        self.permits = Permits(concurrency or backend.capacity)
        self.running = 0  # problems admitted and not finished
        self._fixed = concurrency is not None
        self._places = 0  # problems whose task has not ended
        self._place_left = asyncio.Event()
        self._unfinished = False  # a problem needed a request that the budget does not allow
        sampling = scheme.preset.sampling.sampling()
        self._caller = Caller(
            backend, store, self.permits, sampling, seed, self.meter, scheme.logprobs, window
        )

    async def run(self) -> AsyncGenerator[Generation, None]:
        """Yield each finished generation of each problem; generations of one problem come in order.

        Raises BackendError, StoreError or OperatorError where the run cannot go on, BudgetReached where
        the budget ends it; everything stored before stays, and a new Evolution on the same store goes on.
        """
        results: asyncio.Queue[Generation | None] = asyncio.Queue(maxsize=256)
        if self.meter.exhausted:
            self.permits.close()
        work = asyncio.create_task(self._to_the_end(results))
        try:
            while (generation := await results.get()) is not None:
                yield generation
            await work
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, EvolveError):
                await work

    async def _to_the_end(self, results: asyncio.Queue[Generation | None]) -> None:
        try:
            await self._work(results)
        except asyncio.CancelledError:
            raise  # nobody reads any more, and the queue may be full
        except BaseException:
            await results.put(None)
            raise
        await results.put(None)

    async def _work(self, results: asyncio.Queue[Generation | None]) -> None:
        follow = asyncio.create_task(self._follow_the_load())
        try:
            await self._admit(results)
        except* EvolveError as group:
            raise first_of(group) from None
        finally:
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)
        if self._unfinished:
            raise BudgetReached(
                f"the budget of {self.meter.budget} tokens is spent ({self.meter.spent} used); "
                "repeat the command with a larger --budget-tokens to resume"
            )

    async def _follow_the_load(self) -> None:
        """Look at the engine's load now and then and resize the permits; end where it cannot tell."""
        if self._fixed:
            return
        admission, untold = Admission(self.permits.capacity), 0
        while untold < 3 and not self.permits.closed:
            await asyncio.sleep(INTERVAL)
            try:
                load = await load_of(self.backend)
            except Exception:  # a look that fails is no reason to end a run
                load = None
            if load is None:
                untold += 1
                continue
            untold = 0
            capacity = admission.update(load, self.permits.held)
            if capacity != self.permits.capacity:
                self.permits.resize(capacity)
                self._place_left.set()

    async def _admit(self, results: asyncio.Queue[Generation | None]) -> None:
        """Start problems in order while the backend has room; only admitted problems hold memory.

        Once the budget is spent, only those start that an earlier session began: all they need may be stored.
        """
        finished, begun = self.store.finished(), self.store.begun()
        async with asyncio.TaskGroup() as group:
            for place, problem in enumerate(self.problems):
                if place in finished:
                    continue
                while self._places >= max(2, self.permits.capacity):
                    self._place_left.clear()
                    await self._place_left.wait()
                await self.permits.room()
                if self.permits.closed and place not in begun:
                    self._unfinished = True
                    continue
                self.running += 1
                self._places += 1
                task = group.create_task(self._evolve(place, problem, results))
                task.add_done_callback(self._leave)
                for _ in range(3):  # until its first requests have reached the permits
                    await asyncio.sleep(0)

    def _leave(self, _: asyncio.Task[None]) -> None:
        self._places -= 1
        self._place_left.set()

    async def _evolve(self, place: int, problem: Problem, results: asyncio.Queue[Generation | None]) -> None:
        async def emit(generation: Generation) -> None:
            if generation.last:
                self.running -= 1
            await results.put(generation)

        try:
            await Population(place, problem, self.scheme, self._caller, self.store, self.grading).evolve(emit)
        except* BudgetReached:  # the others go on with what they have
            self._unfinished = True
