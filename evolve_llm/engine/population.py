"""One problem's population, generation after generation, until it has its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm.engine.breeding import Breeder
from evolve_llm.engine.calling import Caller
from evolve_llm.engine.credit import Credit
from evolve_llm.engine.measuring import Measuring
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import BudgetReached
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.seeding import derive, rng_scope
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.store import Store
from evolve_llm.scheme import applying, registry
from evolve_llm.scheme.declarations import Finishing, declaration
from evolve_llm.scheme.operator import Final
from evolve_llm.scheme.plan import Choice, Plan, plan_generation, plan_initial
from evolve_llm.scheme.scheme import Scheme


@dataclass(frozen=True, slots=True)
class Generation:
    """One finished generation of one problem. ``answer`` is set with the last one, unless all had failed."""

    place: int
    problem: Problem
    index: int
    members: tuple[Candidate, ...]
    verdicts: Mapping[str, Verdict]
    last: bool
    answer: Candidate | None = None


class Population:
    """The evolution of one problem. ``place`` is its index in the run, and so its priority."""

    def __init__(
        self,
        place: int,
        problem: Problem,
        scheme: Scheme,
        caller: Caller,
        store: Store,
        grading: GradingPool,
    ) -> None:
        self.place = place
        self.problem = problem
        self.scheme = scheme
        self.store = store
        self.seed = caller.seed
        extract = registry.load("answer format", problem.format).extract
        public, recalled, carry = problem.public(), store.recall(place), scheme.preset.carry.carry()
        self.breeder = Breeder(
            place, public, scheme.toolbox, extract, caller, recalled, caller.tokens, self.seed, carry
        )
        self.choices: tuple[Choice, ...] = scheme.choices
        self._credit = Credit(scheme.choices)
        self.measuring = Measuring(self.breeder, problem, scheme, grading)

    async def evolve(self, emit: Callable[[Generation], Awaitable[None]]) -> None:
        """Give each generation to ``emit`` once it is stored; the last one carries the answer.

        Raises BudgetReached, in a group, at the first generation that needs a request and gets no permit.
        """
        members: tuple[Candidate, ...] = ()
        history: list[tuple[Candidate, ...]] = []
        last = self.scheme.preset.generations - 1
        async with self._calls_ended(), asyncio.TaskGroup() as group:
            ahead = self._breed_ahead(group) if self.scheme.plans_ahead else None
            for index in range(last + 1):
                row = ahead[index] if ahead is not None else self._breed(group, index, members)
                offspring = [child for task in row if (child := await task) is not None]
                if len(offspring) < len(row):
                    raise BudgetReached(f"generation {index} of problem {self.problem.id!r} is not complete")
                generation = await self._close_generation(index, last, members, offspring, history)
                await emit(generation)
                members = generation.members
                if generation.last:
                    return

    @contextlib.asynccontextmanager
    async def _calls_ended(self) -> AsyncGenerator[None, None]:
        """Calls that nobody awaits any more (an operator failed, the run was cancelled) do not outlive this."""
        try:
            yield
        finally:
            await asyncio.gather(self.measuring.close(), self.breeder.close(), return_exceptions=True)

    async def _close_generation(
        self,
        index: int,
        last: int,
        parents: tuple[Candidate, ...],
        offspring: list[Candidate],
        history: list[tuple[Candidate, ...]],
    ) -> Generation:
        """Measure the offspring, replace, decide whether this was the last, and store it all."""
        await self.measuring.classify(offspring)
        positional = index == 0 or self.scheme.positional
        await self.measuring.evaluate(offspring if positional else [*parents, *offspring])
        if self.measuring.refused:  # whatever the fitness made of it
            raise BudgetReached(f"generation {index} of problem {self.problem.id!r} is not measured")
        if index > 0 and self.scheme.preset.adapt is not None:
            self.choices = self._credit.assign(self.scheme.toolbox.adapt, self.choices, parents, offspring)
        members = self._replace(index, parents, offspring)
        born = offspring
        if self.scheme.preset.stop:
            history.append(members)
        ended = index == last or self._stops(history)
        answer = None
        if ended:
            answer = await self._finish(index, members)
            if answer is not None and answer.generation == index and answer not in offspring:
                born = [*offspring, answer]
        graded = [*members, answer] if answer is not None and answer not in members else members
        verdicts = await self.measuring.verdicts(graded)
        self.store.put_generation(self.place, index, born, members, verdicts, answer, last=ended)
        return Generation(self.place, self.problem, index, members, verdicts, ended, answer)

    # ---------------------------------------------------------------- breeding

    def _plans(self, generation: int, members: Sequence[Any], children: int) -> list[Plan]:
        if generation == 0:
            return plan_initial(self.scheme.preset.first)
        return plan_generation(
            self.scheme.toolbox,
            self.choices,
            members,
            generation=generation,
            n=children,
            seed=self.seed,
            problem=self.problem.id,
            order=self.scheme.preset.order,
        )

    def _breed_ahead(self, group: asyncio.TaskGroup) -> list[list[asyncio.Task[Candidate | None]]]:
        """A task per child of every generation; each awaits the tasks of its own parents."""
        n = self.scheme.preset.population
        by_uid: dict[str, asyncio.Task[Candidate | None]] = {}
        rows = []
        for generation in range(self.scheme.preset.generations):
            members = [f"{generation - 1}.{slot}" for slot in range(n)]
            plans = self._plans(generation, members, self.scheme.children)
            row = []
            for plan in plans:
                task = group.create_task(self._child(plan, [by_uid[uid] for uid in plan.parents]))
                by_uid[plan.uid] = task
                row.append(task)
            rows.append(row)
        return rows

    def _breed(
        self, group: asyncio.TaskGroup, index: int, members: Sequence[Candidate]
    ) -> list[asyncio.Task[Candidate | None]]:
        """Tasks for the children of a population that has ended."""
        # Blind selection sees every place, as when it plans ahead: a child drops its failed parents.
        live = [one for one in members if not one.failed]
        pool: Sequence[Any] = [one.uid for one in members] if self.scheme.blind else live
        plans = self._plans(index, pool, self.scheme.children_of(len(members)))
        return [group.create_task(self._child(plan)) for plan in plans]

    async def _child(
        self, plan: Plan, awaited: Sequence[asyncio.Task[Candidate | None]] = ()
    ) -> Candidate | None:
        """The child of a plan; None where it or one of its parents needs a request beyond the budget.

        No error, so that the generations before it are completed all the same.
        """
        for task in awaited:
            if await task is None:
                return None
        try:
            child = await self.breeder.breed(plan, [self.breeder.born[uid] for uid in plan.parents])
        except BudgetReached:
            return None
        if self.scheme.needs_classes:  # by its children, which may start before its generation has ended
            await self.measuring.classify([child])
        return child

    # ---------------------------------------------------------------- replacing, stopping, finishing

    def _replace(
        self, index: int, parents: tuple[Candidate, ...], offspring: list[Candidate]
    ) -> tuple[Candidate, ...]:
        toolbox, preset = self.scheme.toolbox, self.scheme.preset
        if index == 0 and preset.initial is None:
            return tuple(offspring)
        replace = toolbox.truncate if index == 0 else toolbox.replace
        with rng_scope(derive(self.seed, self.problem.id, index, 0, "replace")):
            return applying.replace_members(replace, list(parents), list(offspring), preset.population)

    def _stops(self, history: Sequence[tuple[Candidate, ...]]) -> bool:
        rules = (getattr(self.scheme.toolbox, alias) for alias in self.scheme.stops)
        return any(
            applying.stops(one, self.breeder.problem, list(history), self.breeder.spent) for one in rules
        )

    async def _finish(self, index: int, members: Sequence[Candidate]) -> Candidate | None:
        live = [one for one in members if not one.failed]
        if not live:
            return None
        finish = self.scheme.toolbox.finish
        if declaration(Finishing, finish).calls:  # it shows chains to the model: as children read them
            read = [await self.breeder.read(one) for one in live]
            live = [one.parent for one in read if not one.nothing] or live
        with rng_scope(derive(self.seed, self.problem.id, index, 0, "finish")):
            answer = applying.choose(finish, self.breeder.problem, list(live))
        chosen = answer.parents if isinstance(answer, Final) else (answer,)
        first = self.breeder.born[chosen[0].uid]
        if not isinstance(answer, Final):
            return first
        slot = 1 + max(one.slot for one in self.breeder.born.values() if one.generation == index)
        last = await self.breeder.conclude(index, slot, answer)
        if last.failed:
            return first
        await self.measuring.classify([last])
        return last
