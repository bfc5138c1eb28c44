"""Admission: the engine's batch is full, its queue is short, and the capacity does not swing."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Completion, Problem, Request, Session, evolve
from evolve_llm.backends.admission import LEAST, MOST, WINDOW, Admission
from evolve_llm.backends.base import Load, load_of
from evolve_llm.backends.recorded import Recorded
from evolve_llm.backends.scripted import Scripted
from evolve_llm.cli import progress
from evolve_llm.engine import evolution
from evolve_llm.testing import Behaviour, Ledger, contents, database, run_directory


@dataclass
class Engine:
    """Continuous batching: ``room`` requests run at once, the rest wait, first come first served."""

    room: int
    rng: random.Random
    arrival_lag: int = 0  # steps before a new request may run, as in a queue for prefill
    running: list[int] = field(default_factory=list)
    queue: deque[tuple[int, int]] = field(default_factory=deque)
    step_number: int = 0

    def fill(self, held: int) -> None:
        while len(self.running) + len(self.queue) < held:
            length = max(1, round(self.rng.lognormvariate(4.5, 1.0)))
            self.queue.append((self.step_number + self.arrival_lag, length))

    def step(self) -> None:
        self.step_number += 1
        self.running = [left - 1 for left in self.running if left > 1]
        while self.queue and len(self.running) < self.room and self.queue[0][0] <= self.step_number:
            self.running.append(self.queue.popleft()[1])

    @property
    def load(self) -> Load:
        return Load(len(self.running), len(self.queue))

    @property
    def held(self) -> int:
        return len(self.running) + len(self.queue)


def looks(engine: Engine, admission: Admission, count: int) -> Iterator[int]:
    """Capacities after each look, some engine steps apart, while there is no end of requests."""
    for _ in range(count):
        for _ in range(10):
            engine.fill(admission.capacity)
            engine.step()
        yield admission.update(engine.load, engine.held)


@settings(max_examples=15, deadline=None)
@given(room=st.integers(4, 200), start=st.integers(1, 300), lag=st.integers(0, 3), seed=st.integers(0, 2**32))
def test_the_batch_fills_the_queue_stays_short_and_the_capacity_comes_to_rest(
    room: int, start: int, lag: int, seed: int
) -> None:
    engine = Engine(room, random.Random(seed), lag)
    admission = Admission(min(start, 8 * room))  # more would take longer to end than this test looks
    list(looks(engine, admission, 500))  # 1 to 300 by ones and sixteenths: 62 moves of WINDOW looks
    settled, full = [], 0
    for capacity in looks(engine, admission, 200):
        settled.append(capacity)
        full += len(engine.running) >= 0.95 * room - 1
    assert full >= 190, "the batch is not full"
    assert max(settled) <= max(1.25 * room + 3, LEAST + 4), "a long queue stands in the engine"
    moves = sum(a != b for a, b in pairwise(settled))
    swings = max(settled) - min(settled)
    assert moves <= 8, f"{moves} moves in 200 looks"
    assert swings <= max(2, room // 8), f"it swings by {swings} around {room}"


@given(
    start=st.integers(1, 5000),
    seen=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000)), max_size=200),
)
def test_bounds_and_gentleness_whatever_an_engine_says(start: int, seen: list[tuple[int, int, int]]) -> None:
    admission, again = Admission(start), Admission(start)
    before, since = start, 0
    for running, waiting, held in seen:
        capacity = admission.update(Load(running, waiting), held)
        assert capacity == again.update(Load(running, waiting), held), "the same looks, another capacity"
        assert min(start, LEAST) <= capacity <= max(start, MOST)
        since += 1
        if capacity != before:
            assert since >= WINDOW, "two moves within one window"
            since = 0
            assert capacity <= before + max(1, before // 16)
            assert capacity >= min(before, held) // 2
            if capacity < before:
                assert waiting > 0, "shrunk although nothing waits"
            else:
                assert held >= before, "grown although permits were free"
        before = capacity


def test_a_burst_is_no_standing_queue() -> None:
    admission = Admission(64)
    for turn in range(100):
        admission.update(Load(40, 60 if turn % WINDOW else 4), held=64)
    assert admission.capacity == 64


def test_requests_that_do_not_reach_the_engine_are_no_reason_to_send_more() -> None:
    admission = Admission(64)
    for _ in range(100):
        admission.update(Load(20, 0), held=64)
    assert admission.capacity == 64


def test_free_permits_are_no_reason_for_more() -> None:
    admission = Admission(64)
    for _ in range(100):
        admission.update(Load(30, 0), held=30)
    assert admission.capacity == 64


def test_it_follows_an_engine_whose_room_changes() -> None:
    """A cache that long chains fill: the engine runs a quarter of what it ran, then again all."""
    engine, admission = Engine(200, random.Random(1)), Admission(200)
    list(looks(engine, admission, 100))
    engine.room = 50
    list(looks(engine, admission, 300))
    assert 50 <= admission.capacity <= 63
    engine.room = 200
    list(looks(engine, admission, 300))
    assert 200 <= admission.capacity <= 250


# ---- the whole run


class Telling(Scripted):
    """A scripted engine with ``room`` for so many at once; it tells its load, and queues the rest."""

    def __init__(self, room: int, capacity: int, delay: float = 0.002) -> None:
        super().__init__(Behaviour(), capacity=capacity)
        self.room, self.pause, self.looks = asyncio.Semaphore(room), delay, 0
        self.running = self.queued = 0

    async def generate(self, request: Request) -> Completion:
        self.queued += 1
        async with self.room:
            self.queued -= 1
            self.running += 1
            try:
                await asyncio.sleep(self.pause)
                return await super().generate(request)
            finally:
                self.running -= 1

    async def load(self) -> Load | None:
        self.looks += 1
        return Load(self.running, self.queued)


PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(40)]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolution, "INTERVAL", 0.003)


def capacities(model: Any, **settings: Any) -> tuple[list[int], dict[str, Any]]:
    """The permits' capacity after each generation of a run, and the bytes the run left."""

    async def main() -> None:
        async with Session(PROBLEMS, "smoke", model, out=out, **settings) as session:
            async for _ in session.generations():
                assert session.evolution is not None
                found.append(session.evolution.permits.capacity)

    found: list[int] = []
    with run_directory() as out:
        asyncio.run(main())
        return found, database(out)


def test_i01_a_capacity_that_moves_changes_no_byte() -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, concurrency=1)
        plain = database(out)
    grown, stored = capacities(Telling(room=64, capacity=8))
    assert max(grown) > 8
    assert stored == plain
    shrunk, stored = capacities(Telling(room=8, capacity=64))
    assert min(shrunk) < 40
    assert stored == plain


def test_concurrency_is_fixed_and_asks_for_no_load() -> None:
    model = Telling(room=4, capacity=64)
    found, _ = capacities(model, concurrency=16)
    assert set(found) == {16}
    assert model.looks == 0
    assert model.peak_in_flight <= 16


@pytest.mark.parametrize("tells", ["nothing", "an error"])
def test_a_load_that_cannot_be_told_ends_the_looking_and_nothing_else(tells: str) -> None:
    class Silent(Telling):
        async def load(self) -> Load | None:
            self.looks += 1
            if tells == "nothing":
                return None
            raise RuntimeError("no metrics here")

    model = Silent(room=64, capacity=8)
    found, _ = capacities(model)
    assert set(found) == {8}
    assert model.looks == 3


def test_what_stands_before_a_backend_passes_its_load_on(tmp_path: Path) -> None:
    model = Telling(room=4, capacity=8)
    model.running, model.queued = 4, 3
    session = Session(PROBLEMS, "smoke", model, out=tmp_path / "run")
    progress.Progress(session)
    for outer in (Recorded(tmp_path / "answers.db", model), session.backend):
        assert asyncio.run(load_of(outer)) == Load(4, 3), type(outer).__name__
    assert asyncio.run(load_of(Recorded(tmp_path / "answers.db", Scripted(Behaviour())))) is None


def test_i08_a_budget_holds_while_the_capacity_grows() -> None:
    budget = 6000
    books = Ledger(model := Telling(room=64, capacity=8, delay=0.004))
    books.load = model.load  # type: ignore[attr-defined]
    with run_directory() as out:
        run = evolve(PROBLEMS, "smoke", books, out=out, budget_tokens=budget)
        assert not run.complete
        stored = sum(row[10] + row[11] for row in contents(out)["completions"])
    assert books.peak > 8
    dearest = max(one.prompt_tokens + one.completion_tokens for one in books.answered.values())
    assert budget <= stored == books.tokens < budget + books.peak * dearest
