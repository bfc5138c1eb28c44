"""DEAP's own algorithms (``eaSimple``, ``eaMuPlusLambda``, …) on one problem, with model calls in batches.

DEAP varies individuals one pair at a time and evaluates them with ``toolbox.map``. Here ``mate`` and ``mutate``
only note what is to be written: an individual has no text until ``toolbox.map`` is called, and then all that a
generation lacks is asked for at once. What is never evaluated is never asked for (``varOr`` drops a twin).

Nothing is written to a run directory: give ``cache`` to keep every completion. See docs/deap.md.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from deap import base, tools

from evolve_llm.backends.base import Backend, make_backend
from evolve_llm.backends.recorded import Recorded
from evolve_llm.engine.breeding import Breeder
from evolve_llm.engine.calling import Caller, Meter
from evolve_llm.engine.measuring import Measuring
from evolve_llm.engine.permits import Permits
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.candidate import Candidate, Fitness, fitness_class
from evolve_llm.nouns.errors import EvolveError, OperatorError, UserError, first_of
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme import registry
from evolve_llm.scheme.plan import Plan
from evolve_llm.scheme.preset import Preset, load_preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.templates import check_prompts
from evolve_llm.scheme.toolbox import build

Value = TypeVar("Value")

WORST = -1e9
"""What a failed individual's fitness is, where more is better: DEAP's algorithms cannot pass it over."""


@dataclass(eq=False, slots=True)
class _Birth:
    """How a chain comes to be, shared by all copies of it; ``candidate`` once it has."""

    alias: str
    parents: tuple[_Birth, ...] = ()
    plan: Plan | None = None
    candidate: Candidate | None = None
    task: asyncio.Task[None] | None = None


class Individual:
    """What DEAP's algorithms handle: a fitness, and a chain that is written when it is first evaluated."""

    def __init__(self, birth: _Birth, fitness: Fitness) -> None:
        self.birth = birth
        self.fitness = fitness

    @property
    def candidate(self) -> Candidate:
        """The chain, with its text and answer. Raises OperatorError before it was evaluated."""
        if self.birth.candidate is None:
            raise OperatorError("this individual has no text yet; it gets one when toolbox.map evaluates it")
        return self.birth.candidate

    def __deepcopy__(self, memo: dict[int, Any]) -> Individual:
        copy = Individual(self.birth, type(self.fitness)())
        if self.fitness.valid:
            copy.fitness.values = self.fitness.values
        return copy


class ModelToolbox(base.Toolbox):  # type: ignore[misc]  # deap has no types
    """A DEAP toolbox for one problem, whose individuals are chains of a model. Use it in a ``with`` block.

    From ``preset`` come ``init``, the first operator of two or more parents as ``mate``, the first of one as
    ``mutate``, ``evaluate`` and the sampling; ``select`` is DEAP's tournament of 3 until you register
    another. ``population(n)`` gives individuals to start from, ``generate`` and ``update`` serve
    ``eaGenerateUpdate`` with generations of the preset's size, bred from uniformly drawn parents.

    ``map`` measures the individuals it is given, so ``agreement`` is agreement among those. A chain that
    failed gets the fitness WORST and is no parent; a child with none left is sampled afresh.
    ``batches`` holds how many chains each ``map`` had written. Seeds of requests derive from ``seed``; DEAP
    itself draws from the global ``random``: seed that too.

    Raises UserError where the preset lacks one of the operators.
    """

    def __init__(
        self,
        problem: Problem,
        model: str | Backend,
        preset: str | Preset | None = None,
        *,
        seed: int = 0,
        cache: str | Path | None = None,
        prompts: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.problem, self.seed, self.batches = problem, seed, list[int]()
        chosen = preset if isinstance(preset, Preset) else load_preset(preset) if preset else _DEFAULT
        self.scheme: Scheme = build(chosen, Path(prompts) if prompts is not None else None)
        missing = [name for name in ("mate", "mutate", "evaluate") if not hasattr(self.scheme.toolbox, name)]
        if missing or self.scheme.oracle:
            raise UserError(
                f"DEAP's algorithms need a preset with mate, mutate and evaluate; {chosen.name!r} has no "
                f"{', '.join(missing) or 'evaluate that works without the reference'}"
            )
        if chosen.initial is not None:
            raise UserError(
                f"preset {chosen.name!r} samples {chosen.initial} candidates at first and keeps some; in DEAP's own "
                "loops you choose who stays: start from toolbox.population(n), and leave initial out"
            )
        check_prompts(self.scheme.templates, [problem])
        backend = make_backend(model) if isinstance(model, str) else model
        self.backend: Backend = backend if cache is None else Recorded(Path(cache), backend)
        self.unregister("map")
        self.register("mate", self._mate)
        self.register("mutate", self._mutate)
        self.register("evaluate", self._evaluate_one)
        self.register("select", tools.selTournament, tournsize=3)
        self.register("generate", self._generate)
        self.register("update", self._update)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._born = 0
        self._current: list[Individual] = []

    def __enter__(self) -> ModelToolbox:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="evolve-llm-deap", daemon=True)
        self._thread.start()
        try:
            self._run(self._open())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._close())
        finally:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
                self._thread.join()
                loop.close()

    def population(self, n: int) -> list[Individual]:
        """A list of n individuals that are to be sampled from scratch."""
        return [self._individual("init") for _ in range(n)]

    def map(self, function: Callable[..., Value], individuals: Iterable[Individual]) -> list[Value]:
        """The function of each individual, once the chains of all have been written, in one batch."""
        everyone = list(individuals)
        pending: dict[int, _Birth] = {}
        self._plan([one.birth for one in everyone], pending)
        if pending:
            self.batches.append(len(pending))
            self._run(self._write(list(pending.values())))
        if getattr(function, "func", None) == self._evaluate_one:
            return cast(list[Value], self._run(self._measure(everyone)))
        return [function(one) for one in everyone]

    # ---------------------------------------------------------------- what DEAP calls

    def _individual(self, alias: str, *parents: Individual) -> Individual:
        fitness = fitness_class(self.scheme.weights or (1.0,))()
        return Individual(_Birth(alias, tuple(one.birth for one in parents)), fitness)

    def _mate(self, one: Individual, other: Individual) -> tuple[Individual, Individual]:
        return self._individual("mate", one, other), self._individual("mate", other, one)

    def _mutate(self, one: Individual) -> tuple[Individual]:
        return (self._individual("mutate", one),)

    def _generate(self) -> list[Individual]:
        preset = self.scheme.preset
        if not self._current:
            return self.population(preset.population)
        k = min(preset.parents, len(self._current))
        groups = [random.sample(self._current, k) for _ in range(preset.population)]
        return [self._individual("mate" if k > 1 else "mutate", *group) for group in groups]

    def _update(self, population: Sequence[Individual]) -> None:
        self._current = list(population)

    def _evaluate_one(self, one: Individual) -> tuple[float, ...]:
        values: list[tuple[float, ...]] = self.map(self.evaluate, [one])
        return values[0]

    # ---------------------------------------------------------------- on the loop of the worker thread

    def _run(self, work: Coroutine[Any, Any, Value]) -> Value:
        if self._loop is None:
            work.close()
            raise UserError(
                "a ModelToolbox works only inside its with block: with ModelToolbox(...) as toolbox"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _open(self) -> None:
        self._grading = GradingPool()
        extract = registry.load("answer format", self.problem.format).extract
        info, preset = await self.backend.start(), self.scheme.preset
        caller = Caller(
            self.backend,
            _Forgetful(),
            Permits(self.backend.capacity),
            preset.sampling.sampling(),
            self.seed,
            Meter(),
            self.scheme.logprobs,
            info.context_length,
        )
        public, carry = self.problem.public(), preset.carry.carry()
        self._breeder = Breeder(
            0, public, self.scheme.toolbox, extract, caller, {}, caller.tokens, self.seed, carry
        )
        self._measuring = Measuring(self._breeder, self.problem, self.scheme, self._grading)

    async def _close(self) -> None:
        await self.backend.close()
        await self._grading.close()

    def _plan(self, births: Sequence[_Birth], pending: dict[int, _Birth]) -> None:
        """Collect those not yet written and their unwritten parents, parents first, each with its place."""
        for birth in births:
            if birth.candidate is None and id(birth) not in pending:
                self._plan(birth.parents, pending)
                if birth.plan is None:
                    birth.plan = Plan(len(self.batches), self._born, birth.alias)
                    self._born += 1
                pending[id(birth)] = birth

    async def _write(self, births: Sequence[_Birth]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for birth in births:  # parents come before their children
                    birth.task = group.create_task(self._bear(birth))
        except* EvolveError as failed:
            raise first_of(failed) from None

    async def _bear(self, birth: _Birth) -> None:
        for parent in birth.parents:
            if parent.task is not None:
                await parent.task
        assert birth.plan is not None
        parents = [parent.candidate for parent in birth.parents if parent.candidate is not None]
        born = await self._breeder.breed(birth.plan, parents)
        await self._measuring.classify([born])
        birth.candidate, birth.parents, birth.task = born, (), None

    async def _measure(self, everyone: Sequence[Individual]) -> list[tuple[float, ...]]:
        live = list(
            {id(one.candidate): one.candidate for one in everyone if not one.candidate.failed}.values()
        )
        found = await self._measuring.fitness(live)
        known = {id(one): fitness.values for one, fitness in zip(live, found, strict=True)}
        worst = tuple(WORST * weight for weight in self.scheme.weights or (1.0,))
        return [known.get(id(one.candidate), worst) for one in everyone]


class _Forgetful:
    """Where a run's completions would be committed: nowhere."""

    def put(self, *_: object) -> asyncio.Future[None]:
        """Done at once."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


_DEFAULT = Preset.from_plain(
    {
        "name": "deap",
        "population": 8,
        "parents": 2,
        "generations": 2,
        "vary": [{"operator": "aggregate", "probability": 0.5}, {"operator": "refine", "probability": 0.5}],
        "evaluate": "agreement",
    }
)
