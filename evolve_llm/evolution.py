"""The loop: every problem's population evolves on its own, and only permits are shared.

    plan ─► render ─► generate ─► parse ─► evaluate ─► replace ─► … ─► finish

With blind selection and positional replacement all generations are planned before the first text exists,
and a child starts when its own K parents have ended: there is no barrier. Otherwise a generation waits for
its own problem's population, never for another problem.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from evolve_llm import registry
from evolve_llm.backends.base import Backend
from evolve_llm.breeding import Caller, Meter, Nursery
from evolve_llm.candidate import Candidate, fitness_class
from evolve_llm.errors import BudgetReached, EvolveError, OperatorError
from evolve_llm.grading.pool import GradingPool
from evolve_llm.operator import name_of
from evolve_llm.plan import Plan, plan_generation, plan_initial
from evolve_llm.problem import Problem
from evolve_llm.request import Completion, Prompt
from evolve_llm.schedule import Permits
from evolve_llm.seeding import derive, rng_scope
from evolve_llm.store import Address, Store
from evolve_llm.toolbox import Scheme
from evolve_llm.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Generation:
    """One finished generation of one problem. ``answer`` is set with the last one, unless all had failed."""

    order: int
    problem: Problem
    index: int
    members: tuple[Candidate, ...]
    verdicts: Mapping[str, Verdict]
    last: bool
    answer: Candidate | None = None


class Evolution:
    """One run in progress.

    ``problems`` are in their order in the store; those that have their answer are passed over.
    ``concurrency`` bounds the requests in flight (default: the backend's capacity); ``budget`` bounds the
    prompt + completion tokens of the whole run.
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
    ) -> None:
        self.problems = problems
        self.scheme = scheme
        self.store = store
        self.grading = grading
        self.seed = seed
        self.meter = Meter(spent=store.spent(), budget=budget)
        self.permits = Permits(concurrency or backend.capacity)
        self.running = 0  # problems admitted and not finished
        self.born = 0
        self._busy = 0
        sampling = scheme.preset.sampling.sampling()
        self._caller = Caller(backend, store, self.permits, sampling, seed, self.meter)

    async def run(self) -> AsyncGenerator[Generation, None]:
        """Yield each finished generation of each problem; generations of one problem come in order.

        Raises BackendError, StoreError or OperatorError where the run cannot go on, BudgetReached where
        the budget ends it; everything stored before stays, and a new Evolution on the same store goes on.
        """
        results: asyncio.Queue[Generation | None] = asyncio.Queue(maxsize=256)
        if self.meter.exhausted:
            self.permits.close()
        work = asyncio.create_task(self._work(results))
        try:
            while (generation := await results.get()) is not None:
                yield generation
            await work
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, EvolveError):
                await work

    async def _work(self, results: asyncio.Queue[Generation | None]) -> None:
        admit = asyncio.create_task(self._admit(results))
        drained = asyncio.create_task(self.permits.drained.wait())
        try:
            await asyncio.wait({admit, drained}, return_when=asyncio.FIRST_COMPLETED)
            if not admit.done() and not await self._settled(admit):
                raise BudgetReached(
                    f"the budget of {self.meter.budget} tokens is spent ({self.meter.spent} used); "
                    "repeat the command with a larger --budget-tokens to go on"
                )
            await admit
        except* EvolveError as group:
            raise _first(group) from None
        finally:
            for task in (admit, drained):
                task.cancel()
            await asyncio.gather(admit, drained, return_exceptions=True)
            await results.put(None)

    async def _settled(self, admit: asyncio.Task[None]) -> bool:
        """After the budget closed the permits: let everything finish that needs none. True if all did."""
        quiet, before = 0, None
        while quiet < 50 and not admit.done():
            await asyncio.sleep(0 if self._busy == 0 else 0.01)
            now = (self.born, self.meter.requests, self.running)
            quiet = quiet + 1 if now == before and self._busy == 0 else 0
            before = now
        return admit.done()

    async def _admit(self, results: asyncio.Queue[Generation | None]) -> None:
        """Start problems in order while the backend has room; only admitted problems hold memory."""
        finished = self.store.finished()
        places = asyncio.Semaphore(max(2, self.permits.capacity))
        async with asyncio.TaskGroup() as group:
            for order, problem in enumerate(self.problems):
                if order in finished:
                    continue
                await places.acquire()
                await self.permits.room()
                self.running += 1
                task = group.create_task(self._evolve(order, problem, results))
                task.add_done_callback(lambda _: places.release())
                for _ in range(3):  # until its first requests have reached the permits
                    await asyncio.sleep(0)

    async def _evolve(self, order: int, problem: Problem, results: asyncio.Queue[Generation | None]) -> None:
        scheme, preset = self.scheme, self.scheme.preset
        answer_format = registry.load("answer format", problem.format)
        recalled = self.store.recall(order)
        nursery = Nursery(
            order, problem.public(), scheme.toolbox, answer_format.extract, self._caller, recalled
        )
        members: tuple[Candidate, ...] = ()
        async with asyncio.TaskGroup() as group:
            ahead = self._breed_ahead(group, nursery) if scheme.plans_ahead else None
            for index in range(preset.generations):
                if ahead is not None:
                    offspring = [await task for task in ahead[index]]
                else:
                    plans = self._plans(problem.id, index, [one for one in members if not one.failed])
                    tasks = [group.create_task(self._child(nursery, plan)) for plan in plans]
                    offspring = [await task for task in tasks]
                self._busy += 1
                try:
                    verdicts = await self._measure(problem, offspring)
                    await self._evaluate(nursery, offspring, verdicts)
                    members = self._replace(problem.id, index, members, offspring)
                    verdicts = {one.uid: verdict for one, verdict in await self._verdicts(problem, members)}
                    last = index == preset.generations - 1
                    answer = self._finish(nursery.problem, index, members) if last else None
                    self.store.put_generation(order, index, offspring, members, verdicts, answer, last=last)
                finally:
                    self._busy -= 1
                if last:
                    self.running -= 1
                await results.put(Generation(order, problem, index, members, verdicts, last, answer))

    # ---------------------------------------------------------------- planning and breeding

    def _plans(self, problem: str, generation: int, members: Sequence[object]) -> list[Plan]:
        n = self.scheme.preset.population
        if generation == 0:
            return plan_initial(n)
        return plan_generation(
            self.scheme.toolbox,
            self.scheme.choices,
            members,
            generation=generation,
            n=n,
            seed=self.seed,
            problem=problem,
        )

    def _breed_ahead(self, group: asyncio.TaskGroup, nursery: Nursery) -> list[list[asyncio.Task[Candidate]]]:
        """A task per child of every generation; each awaits the tasks of its own parents."""
        n = self.scheme.preset.population
        tasks: dict[str, asyncio.Task[Candidate]] = {}
        rows = []
        for generation in range(self.scheme.preset.generations):
            members = [f"{generation - 1}.{slot}" for slot in range(n)]
            row = []
            for plan in self._plans(nursery.problem.id, generation, members):
                parents = [tasks[uid] for uid in plan.parents]
                tasks[plan.uid] = group.create_task(self._child(nursery, plan, parents))
                row.append(tasks[plan.uid])
            rows.append(row)
        return rows

    async def _child(
        self, nursery: Nursery, plan: Plan, awaited: Sequence[asyncio.Task[Candidate]] = ()
    ) -> Candidate:
        for task in awaited:
            await task
        parents = [nursery.born[uid] for uid in plan.parents]
        child = await nursery.breed(plan, parents)
        self.born += 1
        return child

    # ---------------------------------------------------------------- measuring and replacing

    async def _measure(self, problem: Problem, offspring: Sequence[Candidate]) -> dict[str, Verdict]:
        """Give candidates their answer classes; return the verdicts where the fitness is an oracle."""
        answers = {one.answer: "" for one in offspring if one.answer is not None}
        classes = dict(
            zip(
                answers,
                await asyncio.gather(*(self.grading.canonical(problem, one) for one in answers)),
                strict=True,
            )
        )
        for one in offspring:
            if one.answer is not None:
                one.answer_class = classes[one.answer]
        if not self.scheme.oracle:
            return {}
        return {one.uid: verdict for one, verdict in await self._verdicts(problem, offspring)}

    async def _verdicts(
        self, problem: Problem, members: Sequence[Candidate]
    ) -> list[tuple[Candidate, Verdict]]:
        if problem.grader is None or problem.reference is None:
            return []
        live = [one for one in members if not one.failed]
        answers = list(dict.fromkeys(one.answer for one in live))
        graded = await asyncio.gather(*(self.grading.grade(problem, answer) for answer in answers))
        verdicts = dict(zip(answers, graded, strict=True))
        return [(one, verdicts[one.answer]) for one in live]

    async def _evaluate(
        self, nursery: Nursery, offspring: Sequence[Candidate], verdicts: Mapping[str, Verdict]
    ) -> None:
        evaluate = getattr(self.scheme.toolbox, "evaluate", None)
        live = [one for one in offspring if not one.failed]
        if evaluate is None or not live:
            return

        async def ask(candidate: Candidate, prompt: Prompt, *, call: int = 0) -> Completion | None:
            address = Address(candidate.generation, candidate.slot, "evaluate", call)
            outcome = await self._caller(nursery.order, nursery.problem.id, address, prompt, nursery.recalled)
            return outcome if isinstance(outcome, Completion) else None

        name = name_of(evaluate)
        oracle = {"verdicts": verdicts} if self.scheme.oracle else {}
        try:
            values = await evaluate(nursery.problem, live, ask, **oracle)
        except EvolveError:
            raise
        except Exception as error:
            raise OperatorError(f"fitness {name!r} raised {type(error).__name__}: {error}") from error
        if not isinstance(values, list) or len(values) != len(live):
            raise OperatorError(
                f"fitness {name!r} must return a list of {len(live)} tuples, got {values!r:.200}"
            )
        kind = fitness_class(self.scheme.weights or (1.0,))
        for one, value in zip(live, values, strict=True):
            one.fitness = kind()
            try:
                one.fitness.assign(value)
            except (TypeError, ValueError) as error:
                raise OperatorError(f"fitness {name!r} of candidate {one.uid}: {error}") from error

    def _replace(
        self, problem: str, index: int, parents: tuple[Candidate, ...], offspring: Sequence[Candidate]
    ) -> tuple[Candidate, ...]:
        if index == 0:
            return tuple(offspring)
        n = self.scheme.preset.population
        replace = self.scheme.toolbox.replace
        with rng_scope(derive(self.seed, problem, index, 0, "replace")):
            try:
                members = list(replace(list(parents), list(offspring), n))
            except Exception as error:
                raise OperatorError(
                    f"replacement {name_of(replace)!r} raised {type(error).__name__}: {error}"
                ) from error
        known = {id(one) for one in (*parents, *offspring)}
        if (
            len(members) != n
            or len({id(one) for one in members}) != n
            or any(id(one) not in known for one in members)
        ):
            raise OperatorError(
                f"replacement {name_of(replace)!r} must return {n} different members of parents and offspring, "
                f"got {len(members)} ({len({id(one) for one in members})} different)"
            )
        return tuple(members)

    def _finish(self, problem: Problem, index: int, members: Sequence[Candidate]) -> Candidate | None:
        live = [one for one in members if not one.failed]
        if not live:
            return None
        finish = self.scheme.toolbox.finish
        with rng_scope(derive(self.seed, problem.id, index, 0, "finish")):
            try:
                answer = finish(problem, live)
            except Exception as error:
                raise OperatorError(
                    f"finish {name_of(finish)!r} raised {type(error).__name__}: {error}"
                ) from error
        if not any(answer is one for one in live):
            raise OperatorError(
                f"finish {name_of(finish)!r} must return a member of the population, got {answer!r:.200}"
            )
        return answer  # type: ignore[no-any-return]


def _first(group: BaseExceptionGroup[EvolveError]) -> EvolveError:
    """The one error to tell the user: all of a group's are consequences of the first."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, EvolveError)
    return found
