"""What a finished problem needed is let go: memory and tasks do not grow with the problems behind us."""

from __future__ import annotations

import asyncio
import gc

import pytest

from evolve_llm import Candidate, Problem, Session
from evolve_llm.backends.scripted import Scripted
from evolve_llm.testing import Behaviour, Reordering, run_directory

CONCURRENCY = 8


def living(kind: type) -> int:
    gc.collect()
    return sum(type(one) is kind for one in gc.get_objects())


@pytest.mark.parametrize("informed", [False, True], ids=["blind", "informed"])
def test_living_candidates_and_tasks_are_bounded_by_the_problems_in_progress(informed: bool) -> None:
    problems = [Problem(f"p{i}", "q", "boxed", "exact", "4") for i in range(200)]
    settings = {"select": "tournament", "evaluate": "agreement"} if informed else {}
    before = living(Candidate)
    seen: list[tuple[int, int, int]] = []

    async def main() -> None:
        model = Reordering(Behaviour(), order="first", patience=0)
        session = Session(problems, "smoke", model, out=out, concurrency=CONCURRENCY, overrides=settings)
        async with session:
            finished = 0
            async for generation in session.generations():
                finished += generation.last
                if generation.last and finished % 25 == 0:
                    assert session.evolution is not None
                    running = session.evolution.running
                    assert running <= CONCURRENCY
                    seen.append((living(Candidate) - before, len(asyncio.all_tasks()), running))
            del generation
            assert len(asyncio.all_tasks()) == 1
            assert living(Candidate) == before

    with run_directory() as out:
        asyncio.run(main())
    assert len(seen) == 8
    per_problem = 4 * 3
    waiting = 256 * 4  # members of generations that wait to be read
    assert max(candidates for candidates, _, _ in seen) <= (CONCURRENCY + 1) * per_problem + waiting
    assert max(tasks for _, tasks, _ in seen) <= 5 + (CONCURRENCY + 1) * (per_problem + 2)
    early, late = seen[:3], seen[-3:]
    assert max(row[0] for row in late) <= max(row[0] for row in early) + per_problem * CONCURRENCY


def test_problems_are_admitted_only_as_the_model_has_room() -> None:
    started: list[str] = []

    def respond(request: object) -> str:
        started.append(request.id.split("/")[0])  # type: ignore[attr-defined]
        return "\\boxed{4}"

    async def main() -> None:
        problems = [Problem(f"p{i}", "q", "boxed") for i in range(50)]
        model = Scripted(respond, delay=0.001)
        async with Session(problems, "smoke", model, out=out, concurrency=8) as session:
            async for generation in session.generations():
                if generation.last:
                    assert len(set(started)) <= generation.place + 1 + CONCURRENCY + 1

    with run_directory() as out:
        asyncio.run(main())
    assert len(set(started)) == 50
