"""One problem's population, generation after generation, until it has its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm.engine.breeding import Nursery
from evolve_llm.engine.calling import Caller
from evolve_llm.engine.credit import Credit
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.candidate import Candidate, fitness_class
from evolve_llm.nouns.errors import BudgetReached, EvolveError, OperatorError, first_of
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import derive, rng_scope
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.record.store import Store
from evolve_llm.scheme import registry
from evolve_llm.scheme.operator import Final, declared, name_of
from evolve_llm.scheme.plan import Choice, Plan, plan_generation, plan_initial
from evolve_llm.scheme.toolbox import Scheme


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
        self.grading = grading
        self.seed = caller.seed
        extract = registry.load("answer format", problem.format).extract
        public, recalled, carry = problem.public(), store.recall(place), scheme.preset.carry.carry()
        self.nursery = Nursery(
            place, public, scheme.toolbox, extract, caller, recalled, caller.tokens, self.seed, carry
        )
        self.choices: tuple[Choice, ...] = scheme.choices
        self._credit = Credit(scheme.choices)
        self._asked: dict[str, int] = {}  # calls about each candidate so far
        self._calls: set[asyncio.Task[Completion | None]] = set()
        self._refused = False  # a call of the fitness, for the budget was spent

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
            calls = list(self._calls)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, self.nursery.close(), return_exceptions=True)

    async def _close_generation(
        self,
        index: int,
        last: int,
        parents: tuple[Candidate, ...],
        offspring: list[Candidate],
        history: list[tuple[Candidate, ...]],
    ) -> Generation:
        """Measure the offspring, replace, decide whether this was the last, and store it all."""
        await self._classify(offspring)
        positional = index == 0 or self.scheme.positional
        await self._evaluate(offspring if positional else [*parents, *offspring])
        if self._refused:  # whatever the fitness made of it
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
        verdicts = await self._verdicts(graded)
        self.store.put_generation(self.place, index, born, members, verdicts, answer, last=ended)
        return Generation(self.place, self.problem, index, members, verdicts, ended, answer)

    # ---------------------------------------------------------------- breeding

    def _plans(self, generation: int, members: Sequence[Any]) -> list[Plan]:
        if generation == 0:
            return plan_initial(self.scheme.preset.population)
        return plan_generation(
            self.scheme.toolbox,
            self.choices,
            members,
            generation=generation,
            n=self.scheme.children,
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
            plans = self._plans(generation, [f"{generation - 1}.{slot}" for slot in range(n)])
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
        return [group.create_task(self._child(plan)) for plan in self._plans(index, pool)]

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
            child = await self.nursery.breed(plan, [self.nursery.born[uid] for uid in plan.parents])
        except BudgetReached:
            return None
        if self.scheme.needs_classes:  # by its children, which may start before its generation has ended
            await self._classify([child])
        return child

    # ---------------------------------------------------------------- measuring

    async def _classify(self, offspring: Sequence[Candidate]) -> None:
        """Give candidates the class of their answer."""
        offspring = [one for one in offspring if one.answer is not None and one.answer_class is None]
        answers = list({one.answer for one in offspring if one.answer is not None})
        forms = await asyncio.gather(*(self.grading.canonical(self.problem, one) for one in answers))
        classes = dict(zip(answers, forms, strict=True))
        for one in offspring:
            if one.answer is not None:
                one.answer_class = classes[one.answer]

    async def _verdicts(self, members: Sequence[Candidate]) -> dict[str, Verdict]:
        if self.problem.grader is None or self.problem.reference is None:
            return {}
        live = [one for one in members if not one.failed]
        answers = list({one.answer for one in live})
        graded = await asyncio.gather(*(self.grading.grade(self.problem, answer) for answer in answers))
        verdicts = dict(zip(answers, graded, strict=True))
        return {one.uid: verdicts[one.answer] for one in live}

    async def _evaluate(self, candidates: Sequence[Candidate]) -> None:
        evaluate = getattr(self.scheme.toolbox, "evaluate", None)
        live = [one for one in candidates if not one.failed]
        if evaluate is None or not live:
            return
        name = name_of(evaluate)
        oracle = {"verdicts": await self._verdicts(live)} if self.scheme.oracle else {}
        with _blamed("fitness", name):
            values = await evaluate(self.nursery.problem, live, self._ask, **oracle)
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

    def _ask(self, candidate: Candidate, prompt: Prompt) -> asyncio.Task[Completion | None]:
        """See ``asking.Ask``: the call's number is taken now, its answer comes later."""
        call = self._asked.get(candidate.uid, 0)
        self._asked[candidate.uid] = call + 1
        address = Address(candidate.generation, candidate.slot, "evaluate", call)

        async def answer() -> Completion | None:
            nursery = self.nursery
            try:
                outcome = await nursery.caller(self.place, self.problem.id, address, prompt, nursery.recalled)
            except BudgetReached:
                self._refused = True
                raise
            if not isinstance(outcome, Completion):
                return None
            candidate.evaluation_tokens += outcome.prompt_tokens + outcome.completion_tokens
            nursery.spent += outcome.prompt_tokens + outcome.completion_tokens
            return outcome

        call_made = asyncio.create_task(answer())
        self._calls.add(call_made)
        call_made.add_done_callback(self._ended)
        return call_made

    def _ended(self, call: asyncio.Task[Completion | None]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # a fitness may have left before: what ended the run is told elsewhere

    # ---------------------------------------------------------------- replacing, stopping, finishing

    def _replace(
        self, index: int, parents: tuple[Candidate, ...], offspring: list[Candidate]
    ) -> tuple[Candidate, ...]:
        if index == 0:
            return tuple(offspring)
        n = self.scheme.preset.population
        replace, name = self.scheme.toolbox.replace, name_of(self.scheme.toolbox.replace)
        with rng_scope(derive(self.seed, self.problem.id, index, 0, "replace")), _blamed("replacement", name):
            members = list(replace(list(parents), list(offspring), n))
        known = {id(one) for one in (*parents, *offspring)}
        different = {id(one) for one in members}
        enough = len(members) >= 1 if self.scheme.varies_size else len(members) == n
        if not enough or len(different) != len(members) or not different <= known:
            raise OperatorError(
                f"replacement {name!r} must return {'some' if self.scheme.varies_size else n} different members of "
                f"parents and offspring, got {len(members)} of which {len(different & known)} are"
            )
        return tuple(members)

    def _stops(self, history: Sequence[tuple[Candidate, ...]]) -> bool:
        for alias in self.scheme.stops:
            rule = getattr(self.scheme.toolbox, alias)
            spent = {"spent": self.nursery.spent} if declared("stop", rule, "spending") else {}
            with _blamed("stopping rule", name_of(rule)):
                if rule(self.nursery.problem, list(history), **spent):
                    return True
        return False

    async def _finish(self, index: int, members: Sequence[Candidate]) -> Candidate | None:
        live = [one for one in members if not one.failed]
        if not live:
            return None
        finish, name = self.scheme.toolbox.finish, name_of(self.scheme.toolbox.finish)
        if declared("finish", finish, "calls"):  # it shows chains to the model: as children read them
            read = [await self.nursery.read(one) for one in live]
            live = [one.parent for one in read if not one.nothing] or live
        with rng_scope(derive(self.seed, self.problem.id, index, 0, "finish")), _blamed("finish", name):
            answer = finish(self.nursery.problem, live)
        chosen = answer.parents if isinstance(answer, Final) else (answer,)
        if not chosen or any(not any(one is member for member in live) for one in chosen):
            raise OperatorError(f"finish {name!r} must choose from the population, got {answer!r:.200}")
        first = self.nursery.born[chosen[0].uid]
        if not isinstance(answer, Final):
            return first
        slot = 1 + max(one.slot for one in self.nursery.born.values() if one.generation == index)
        last = await self.nursery.conclude(index, slot, answer)
        if last.failed:
            return first
        await self._classify([last])
        return last


@contextlib.contextmanager
def _blamed(kind: str, name: str) -> Iterator[None]:
    """What an operator raises becomes an OperatorError that names it."""
    try:
        yield
    except EvolveError:
        raise
    except Exception as error:
        if isinstance(error, ExceptionGroup) and (ours := error.subgroup(EvolveError)) is not None:
            raise first_of(ours) from error  # a fitness that asks from a TaskGroup
        raise OperatorError(f"{kind} {name!r} raised {type(error).__name__}: {error}") from error
