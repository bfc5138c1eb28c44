"""Schedules as pure functions over the same requests, and what drives them on a simulated or a real engine.

A schedule says for each request what must have ended before it may start, in order of priority. Barriers
are entries of their own, which ask for nothing and end at once: any schedule is then a graph.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass

from simulated import Engine

Node = tuple[int, int, int]  # problem, generation, slot
Schedule = Mapping[Hashable, tuple[Hashable, ...]]


@dataclass(frozen=True)
class Shape:
    """How much work there is. ``mean`` and ``cap`` of the lognormal output lengths, in tokens."""

    n: int = 16
    k: int = 4
    generations: int = 10
    question: int = 200
    mean: float = 2500.0
    sigma: float = 0.8
    cap: int = 16_384


class Work:
    """The requests of ``problems`` problems: parents, output lengths and prompt lengths, all from the seed."""

    def __init__(self, shape: Shape, problems: int, seed: int = 0) -> None:
        self.shape, self.problems = shape, problems
        self.parents: dict[Node, tuple[Node, ...]] = {}
        self.length: dict[Node, int] = {}
        mu = math.log(shape.mean) - shape.sigma**2 / 2
        for problem in range(problems):
            for generation in range(shape.generations):
                draw = random.Random(f"{seed}/{problem}/{generation}")
                for slot in range(shape.n):
                    node = (problem, generation, slot)
                    chosen = draw.sample(range(shape.n), shape.k) if generation else ()
                    self.parents[node] = tuple((problem, generation - 1, parent) for parent in chosen)
                    self.length[node] = max(1, min(shape.cap, round(draw.lognormvariate(mu, shape.sigma))))

    def prompt(self, node: Node) -> int:
        """Tokens to read: the question and all parents."""
        return self.shape.question + sum(self.length[parent] for parent in self.parents[node])

    @property
    def written(self) -> int:
        """Tokens to generate, in all."""
        return sum(self.length.values())

    def by_generation(self) -> list[Node]:
        """All requests, generation by generation over all problems."""
        return sorted(self.length, key=lambda node: (node[1], node[0], node[2]))


# ---------------------------------------------------------------- schedules


def dependencies(work: Work) -> Schedule:
    """Ours with blind selection: a child waits for its own parents; the oldest problem goes first."""
    return dict(work.parents)


def problem_barriers(work: Work) -> Schedule:
    """Ours with informed selection: a child waits for the population of its own problem."""
    plan: dict[Hashable, tuple[Hashable, ...]] = {}
    for problem, generation, slot in work.parents:
        before = ("end", problem, generation - 1)
        plan[problem, generation, slot] = (before,) if generation else ()
        if slot == work.shape.n - 1:
            plan["end", problem, generation] = tuple((problem, generation, one) for one in range(slot + 1))
    return plan


def generation_barriers(work: Work) -> Schedule:
    """One barrier a generation over all problems."""
    return _in_stages(work, lambda node: node[1])


def chunks(work: Work, size: int = 32) -> Schedule:
    """The requests of each generation over all problems in chunks, one after the other."""

    def chunk(node: Node) -> tuple[int, int]:
        return node[1], (node[0] * work.shape.n + node[2]) // size

    return _in_stages(work, chunk)


def one_problem_at_a_time(work: Work) -> Schedule:
    """Each problem to its end before the next, with a barrier a generation."""
    return _in_stages(work, lambda node: node[:2])


SCHEDULES: dict[str, Callable[[Work], Schedule]] = {
    "dependencies": dependencies,
    "problem barriers": problem_barriers,
    "generation barriers": generation_barriers,
    "chunks of 32": chunks,
    "one problem at a time": one_problem_at_a_time,
}
BOUNDS: dict[str, Callable[[Work], Schedule]] = {
    "least advanced first": lambda work: {node: work.parents[node] for node in work.by_generation()},
    "no dependencies": lambda work: dict.fromkeys(work.by_generation(), ()),
}
"""Simulated only: our dependencies without oldest problem first, and a bound that no schedule can pass."""

SERIAL = ("chunks of 32", "one problem at a time")
"""Their time is a sum over their parts, so that it can be measured on fewer problems and scaled."""


def _in_stages(work: Work, stage: Callable[[Node], Hashable]) -> Schedule:
    stages: dict[Hashable, list[Node]] = {}
    for node in sorted(work.parents, key=lambda one: (stage(one), one)):  # type: ignore[type-var]
        stages.setdefault(stage(node), []).append(node)
    plan: dict[Hashable, tuple[Hashable, ...]] = {}
    before: tuple[Hashable, ...] = ()
    for name, nodes in stages.items():
        plan |= dict.fromkeys(nodes, before)
        plan["end", name] = tuple(nodes)
        before = (("end", name),)
    return plan


# ---------------------------------------------------------------- drivers


class Dispatcher:
    """Which request goes next: those whose waits are over, in the schedule's order, ``capacity`` at once."""

    def __init__(self, schedule: Schedule, capacity: int) -> None:
        self._order = {key: place for place, key in enumerate(schedule)}
        self._keys = list(schedule)
        self._missing = {key: len(waits) for key, waits in schedule.items()}
        self._next: dict[Hashable, list[Hashable]] = {key: [] for key in schedule}
        for key, waits in schedule.items():
            for one in waits:
                self._next[one].append(key)
        self._ready = [self._order[key] for key, missing in self._missing.items() if not missing]
        self._capacity = self._free = capacity

    @property
    def held(self) -> int:
        """Requests in flight."""
        return self._capacity - self._free

    def resize(self, capacity: int) -> None:
        """Another number at once from now on; none is taken back."""
        self._free += capacity - self._capacity
        self._capacity = capacity

    def start(self) -> Node | None:
        """The request to send now, if there is one and room for it."""
        if not self._ready or self._free <= 0:
            return None
        self._free -= 1
        return self._keys[heapq.heappop(self._ready)]  # type: ignore[return-value]

    def end(self, key: Hashable) -> None:
        """Take note that a request has ended."""
        self._free += 1
        self._open(key)

    def _open(self, ended: Hashable) -> None:
        for key in self._next[ended]:
            self._missing[key] -= 1
            if self._missing[key]:
                continue
            if isinstance(key, tuple) and key[0] == "end":
                self._open(key)
            else:
                heapq.heappush(self._ready, self._order[key])


class Leaping(Engine):
    """The simulated engine, which takes steps that change nothing but the clock all at once."""

    @property
    def load(self) -> tuple[int, int]:
        """Requests in the batch, and requests that wait for room in it."""
        return len(self._reading) + len(self._writing), len(self._waiting)

    def tags(self) -> list[Node]:
        """The requests in the engine."""
        inside = (*self._waiting, *self._reading, *self._writing)
        return [one[2] for one in inside]

    def step(self) -> list[Hashable]:
        """As in Engine, but always up to a step in which something begins or ends."""
        if not self._reading and not (self._waiting and len(self._writing) < self.speed.batch):
            same = self._writing[0][0] - self.steps - 1
            if same > 0:
                self.steps += same
                self.now += same * self.speed.step(len(self._writing), 0)
        return super().step()


def simulate(
    work: Work,
    schedule: Schedule,
    engine: Engine,
    capacity: int,
    watch: Callable[[Dispatcher, list[Node]], None] | None = None,
) -> float:
    """Simulated seconds until all requests have ended. ``watch`` is given what has ended, after each step."""
    dispatcher, left = Dispatcher(schedule, capacity), len(work.length)
    while left:
        while (node := dispatcher.start()) is not None:
            engine.add(work.prompt(node), work.length[node], node)
        ended = engine.step()
        for node in ended:
            left -= 1
            dispatcher.end(node)
        if watch is not None:
            watch(dispatcher, ended)
    return engine.now


async def drive(
    work: Work, schedule: Schedule, ask: Callable[[int, int], Awaitable[None]], capacity: int
) -> float:
    """Seconds until all requests have ended. ``ask(prompt, length)`` makes one of so many tokens."""
    dispatcher, left = Dispatcher(schedule, capacity), len(work.length)
    ended: asyncio.Queue[Node] = asyncio.Queue()

    async def request(node: Node) -> None:
        await ask(work.prompt(node), work.length[node])
        ended.put_nowait(node)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while left:
            while (node := dispatcher.start()) is not None:
                group.create_task(request(node))
            dispatcher.end(await ended.get())
            left -= 1
    return time.perf_counter() - began
