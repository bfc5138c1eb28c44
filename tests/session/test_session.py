"""Sessions and runs as a caller sees them: asynchronous and blocking, broken off and gone on with."""

# ruff: noqa: ARG001

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import BackendError, Generation, OperatorError, Problem, Run, Session, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme import formats, registry
from evolve_llm.testing import Behaviour, Ledger, Reordering, contents, database, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(3)]


def test_generations_arrive_in_order_for_each_problem_and_the_last_one_has_the_answer() -> None:
    seen: list[Generation] = []
    with run_directory() as out:
        run = evolve(PROBLEMS, "smoke", Reordering(Behaviour(), seed=5), out=out, on_generation=seen.append)
        answers = [one.answer for one in run.results()]
    for order, problem in enumerate(PROBLEMS):
        mine = [one for one in seen if one.place == order]
        assert [one.index for one in mine] == [0, 1, 2]
        assert [one.last for one in mine] == [False, False, True]
        assert all(one.problem == problem for one in mine)
        assert mine[-1].answer is not None
        assert mine[-1].answer.answer == answers[order]
        assert [one.answer for one in mine[:2]] == [None, None]


def test_a_finished_problem_is_passed_over_and_an_unfinished_one_told_again() -> None:
    books = Ledger(Scripted(Behaviour()), die_at=34, error=lambda: BackendError("dead"))
    with run_directory() as out:
        with pytest.raises(BackendError):
            evolve(PROBLEMS, "smoke", books, out=out, concurrency=1)
        seen: list[Generation] = []
        done = {one.id for one in Run(out).results() if one.finished}
        assert "p0" in done
        assert "p2" not in done
        assert not Run(out).complete
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, on_generation=seen.append)
        assert {one.problem.id for one in seen} == {"p0", "p1", "p2"} - done
        seen.clear()
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, on_generation=seen.append)
        assert seen == []


def test_a_complete_run_that_is_read_again_warns_of_nothing() -> None:
    """It starts no model, so what a started one says of itself is not there to be compared."""

    async def warnings_of(out: Path) -> list[str]:
        async with Session(PROBLEMS, "smoke", Scripted(Behaviour(), context_length=4096), out=out) as session:
            async for _ in session.generations():
                pass
            return session.warnings

    with run_directory() as out:
        assert [asyncio.run(warnings_of(out)) for _ in range(2)] == [[], []]


def test_a_complete_run_opens_no_model() -> None:
    class Absent(Scripted):
        async def start(self) -> Any:
            raise BackendError("the server is gone")

    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)
        assert evolve(PROBLEMS, "smoke", Absent(Behaviour()), out=out).complete


def test_the_session_may_be_driven_by_hand() -> None:
    async def main() -> int:
        count = 0
        async with Session(PROBLEMS, "smoke", Scripted(Behaviour()), out=out) as session:
            assert session.evolution is not None
            async for _ in session.generations():
                count += 1
            assert session.evolution.meter.requests == 36
            assert session.evolution.running == 0
        return count

    with run_directory() as out:
        assert asyncio.run(main()) == 9


def test_evolve_works_where_a_loop_is_running_already() -> None:
    async def notebook() -> Run:
        return evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)

    with run_directory() as out:
        assert asyncio.run(notebook()).complete


@pytest.mark.timeout(60)
@pytest.mark.parametrize("problems", [3, 300])
def test_a_reader_that_leaves_in_the_middle_hangs_nothing(problems: int) -> None:
    """Also where everybody else has long been waiting for room to say something."""
    many = [Problem(f"p{i}", "q", "boxed") for i in range(problems)]
    model = Scripted(Behaviour())

    async def main() -> None:
        async with asyncio.timeout(30), Session(many, "smoke", model, out=out) as session:
            generations = session.generations()
            async for _ in generations:
                await asyncio.sleep(0.3)
                break
            await generations.aclose()
            calls = model.call_count
            await asyncio.sleep(0.05)
            assert model.call_count == calls, "the run goes on although nobody wants it"
            assert len(asyncio.all_tasks()) == 1

    with run_directory() as out:
        asyncio.run(main())
        assert evolve(many, "smoke", model, out=out).complete


def test_an_error_of_the_callers_own_ends_the_run_and_the_run_resumes() -> None:
    def angry(generation: Generation) -> None:
        raise ZeroDivisionError("in on_generation")

    with run_directory() as out:
        with pytest.raises(ZeroDivisionError, match="in on_generation"):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, on_generation=angry)
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out).complete


def test_one_error_comes_out_however_many_tasks_had_it() -> None:
    with run_directory() as out, pytest.raises(BackendError, match=r"^dead$") as failure:
        evolve(
            PROBLEMS,
            "smoke",
            Ledger(Scripted(Behaviour()), die_at=1, error=lambda: BackendError("dead")),
            out=out,
        )
    assert not isinstance(failure.value, BaseExceptionGroup)


def test_an_answer_format_that_raises_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(text: str) -> str:
        raise RecursionError("too deep")

    load = registry.load
    broken = formats.AnswerFormat("boxed", extract)
    monkeypatch.setattr(registry, "load", lambda kind, name: broken if name == "boxed" else load(kind, name))
    with (
        run_directory() as out,
        pytest.raises(OperatorError, match="the answer format 'boxed' raised RecursionError"),
    ):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"problems": []}, "no problems were given"),
        (
            {"problems": [PROBLEMS[0], PROBLEMS[0]]},
            "two problems of .* have the id 'p0': number 1 and number 2",
        ),
        ({"problems": [Problem("", "q")]}, "empty id"),
        ({"problems": [Problem("a", " \n")]}, "empty question"),
        ({"problems": [Problem("a", "\ud800")]}, "'a' holds half of a surrogate pair"),
        ({"problems": [Problem("a", "q", reference={1, 2})]}, "'a' cannot be written as JSON"),
        ({"problems": [Problem("a", "q", reference=float("nan"))]}, "'a' cannot be written as JSON"),
        ({"problems": [Problem("a", "q", format="verse")]}, "'a': unknown answer format 'verse'"),
        ({"problems": [Problem("a", "q", grader="me")]}, "'a': unknown grader 'me'"),
        ({"problems": ["What is 2 + 2?"]}, "gave a str as problem 1, not a Problem"),
        ({"limit": 0}, "the limit must be at least 1, got 0"),
        ({"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ({"budget_tokens": -5}, "budget_tokens must be at least 1, got -5"),
        ({"seed": -1}, r"the seed must be in 0 ... 2\*\*63 - 1, got -1"),
        ({"seed": 2**63}, "the seed must be in"),
        ({"model": "gpt"}, "unknown backend 'gpt'"),
        ({"prompts": "/no/such/folder"}, "does not exist"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_refused_before_anything_is_written(settings: dict[str, Any], said: str) -> None:
    with run_directory() as out:
        arguments = {
            "problems": PROBLEMS,
            "preset": "smoke",
            "model": Scripted(Behaviour()),
            "out": out,
            **settings,
        }
        with pytest.raises(UserError, match=said):
            evolve(**arguments)
        assert not out.exists()


def test_the_limit_takes_the_first_problems() -> None:
    with run_directory() as out:
        run = evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, limit=2)
        assert [one.id for one in run.problems()] == ["p0", "p1"]


def test_a_run_read_back_says_what_happened() -> None:
    with run_directory() as out:
        run = evolve(PROBLEMS, "smoke", Scripted(Behaviour(fail=0.2, truncate=0.3)), out=out)
        plain = json.loads(run.to_json())
        rows = contents(out)
        assert plain["run"] | {"accuracy": 0} == {
            "path": str(out), "preset": "smoke", "model": "scripted", "seed": 0, "problems": 3, "finished": 3,
            "complete": True, "accuracy": 0, "oracle": False, "attempts": 1, "readings": [],
        }  # fmt: skip
        assert [row["generation"] for row in plain["generations"]] == [0, 1, 2]
        assert sum(row["failed"] for row in plain["generations"]) == sum(
            row[6] == "failed" for row in rows["candidates"]
        )
        assert [one["id"] for one in plain["problems"]] == ["p0", "p1", "p2"]
        for index in range(3):
            for one in run.population("p1", index):
                stored = next(row for row in rows["completions"] if row[:3] == (1, index, one.slot))
                assert one.text == (stored[7] or "")
        with pytest.raises(UserError, match=r"no problem 'p9' in .*; it has p0, p1, p2"):
            run.population("p9")
        with pytest.raises(UserError, match=r"has 3 finished generation.s., but no generation 7"):
            run.population("p1", 7)
    with pytest.raises(UserError, match="is not a run directory"):
        Run(out)


def test_a_run_can_be_read_while_it_is_written() -> None:
    seen: list[int] = []

    def look(generation: Generation) -> None:
        found = Run(out)
        seen.append(sum(len(populations) for _, populations in found.populations()))
        assert not found.complete or generation.last

    with run_directory() as out, run_directory() as quiet:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, on_generation=look)
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=quiet)
        assert database(out) == database(quiet)
    assert seen
    assert sorted(seen) == seen


def test_public_names_are_not_hidden_by_modules_of_the_same_name() -> None:
    import evolve_llm

    folder = Path(evolve_llm.__file__).parent
    modules = {path.stem for path in folder.iterdir()}
    assert not modules & set(evolve_llm.__all__)
    assert all(callable(getattr(evolve_llm, name)) for name in evolve_llm.__all__)
