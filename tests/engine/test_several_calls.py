"""Operators that ask the model more than once: variations in steps, fitness by vote, a finish that writes."""

# ruff: noqa: ARG001

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from evolve_llm import (
    BackendError,
    Candidate,
    OperatorError,
    Problem,
    Prompt,
    Request,
    RequestError,
    evolve,
    finishing,
    variation,
)
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.decorators import evaluation
from evolve_llm.scheme.operator import Consult, Final
from evolve_llm.testing import Behaviour, Ledger, Reordering, contents, database, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", "4") for i in range(2)]
BEHAVIOUR = Behaviour(answers=("4", "5"))


@variation(arity=2)
def debate(problem: Problem, parents: Sequence[Candidate]) -> Any:
    first = yield Prompt.user(f"for {parents[0].text}")
    try:
        second = yield Prompt.user(f"against {first.text}")
    except RequestError:
        second = yield Prompt.user(f"again {first.text}")
    return Prompt.user(f"judge {second.text}")


@variation(arity=1)
def criticise(problem: Problem, parents: Sequence[Candidate]) -> Any:
    critique = yield Consult(parents[0], "critique", Prompt.user(f"criticise {parents[0].text}"))
    return Prompt.user(f"improve {critique.text}")


@finishing()
def sum_up(problem: Problem, members: Sequence[Candidate]) -> Final:
    return Final(tuple(members), Prompt.user("sum up " + " ".join(one.text for one in members)))


@evaluation(weights=(1.0,), oracle=False)
async def vote(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float, ...]]:
    asked = [[ask(one, Prompt.user(f"good? {one.text}")) for _ in range(2)] for one in candidates]
    votes = [await asyncio.gather(*row) for row in asked]
    return [(float(sum(len(one.text) for one in row if one is not None)),) for row in votes]


SHAPE: dict[str, Any] = {
    "population": 3, "generations": 3, "evaluate": vote, "select": "tournament", "finish": sum_up,
    "vary": [{"operator": debate, "probability": 0.5}, {"operator": criticise, "probability": 0.5}],
}  # fmt: skip


@pytest.mark.parametrize("fail", [0.0, 0.3])
def test_any_order_and_any_death_store_the_same_bytes(fail: float) -> None:
    behaviour = Behaviour(answers=("4", "5"), fail=fail)
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(behaviour), out=out, concurrency=1, **SHAPE)
        expected = database(out)
        calls = len(contents(out)["completions"])
    assert calls > 2 * (9 + 2 * 6)
    for seed, order in enumerate(("first", "last", "any", "starve")):
        with run_directory() as out:
            evolve(PROBLEMS, "smoke", Reordering(behaviour, order=order, seed=seed), out=out, **SHAPE)  # type: ignore[arg-type]
            assert database(out) == expected
    for death in range(1, calls, 5):
        books = Ledger(Scripted(behaviour), die_at=death, error=lambda: BackendError("dead"))
        with run_directory() as out:
            with pytest.raises(BackendError):
                evolve(PROBLEMS, "smoke", books, out=out, concurrency=2, **SHAPE)
            before = set(books.asked)
            stored = len(contents(out)["completions"])
            books.die_at = None
            evolve(PROBLEMS, "smoke", books, out=out, **SHAPE)
            assert database(out) == expected
            assert sum(books.asked.values()) <= calls + len(before) - stored


def test_a_consultation_is_asked_once_however_many_children_want_it() -> None:
    books = Ledger(Scripted(BEHAVIOUR))
    with run_directory() as out:
        run = evolve(PROBLEMS[:1], "smoke", books, out=out, vary=criticise, select="best", evaluate="length")
        parents = {uid for index in (1, 2) for one in run.population("p0", index) for uid in one.parents}
    consultations = [name for name in books.asked if "/critique/" in name]
    assert len(consultations) == len(parents)
    assert set(books.asked.values()) == {1}


def test_a_step_that_fails_is_raised_at_its_yield_and_keeps_its_number() -> None:
    def respond(request: Request) -> str | BaseException:
        said = request.prompt.messages[0].content
        return RequestError("timeout") if said.startswith("against") else "\\boxed{4}"

    with run_directory() as out:
        run = evolve(PROBLEMS[:1], "smoke", Scripted(respond), out=out, vary=debate)
        rows = [row for row in contents(out)["completions"] if row[1] == 2 and row[2] == 0]
        assert [(row[4], row[13]) for row in rows] == [(0, None), (1, "timeout"), (2, None), (3, None)]
        assert not any(one.failed for one in run.population("p0"))


def test_a_step_that_fails_uncaught_fails_the_child_and_its_tokens_still_count() -> None:
    def respond(request: Request) -> str | BaseException:
        return RequestError("timeout") if "for" in request.prompt.messages[0].content else "\\boxed{4}"

    with run_directory() as out:
        run = evolve(PROBLEMS[:1], "smoke", Scripted(respond), out=out, vary=debate, generations=2)
        assert {(one.failed, one.reason) for one in run.population("p0")} == {(True, "timeout")}


def test_the_chain_a_finish_writes_is_a_candidate_with_its_parents_and_its_verdict() -> None:
    def respond(request: Request) -> str:
        return "\\boxed{99}" if "sum up" in request.prompt.messages[0].content else "\\boxed{4}"

    with run_directory() as out:
        run = evolve(PROBLEMS[:1], "smoke", Scripted(respond), out=out, finish=sum_up)
        (result,) = run.results()
        assert (result.uid, result.answer) == ("2.4", "99")
        assert result.verdict is not None
        assert not result.verdict.correct
        rows = {row[1:3]: row for row in contents(out)["candidates"]}
        assert rows[2, 4][3:5] == ("sum_up", '["2.0","2.1","2.2","2.3"]')
        assert len(run.population("p0")) == 4, "it is no member of the population"


def test_a_finish_whose_call_fails_answers_with_its_first_parent() -> None:
    def respond(request: Request) -> str | BaseException:
        return RequestError("timeout") if "sum up" in request.prompt.messages[0].content else "\\boxed{4}"

    with run_directory() as out:
        (result,) = evolve(PROBLEMS[:1], "smoke", Scripted(respond), out=out, finish=sum_up).results()
        assert (result.uid, result.answer) == ("2.0", "4")


def test_a_fitness_that_gives_up_on_one_call_harms_no_other() -> None:
    """Cancelled in the very moment in which others wait for the same commit."""

    @evaluation(weights=(1.0,), oracle=False)
    async def hasty(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float, ...]]:
        calls = [asyncio.ensure_future(ask(one, Prompt.user("good?"))) for one in candidates]
        await asyncio.sleep(0)
        calls[0].cancel()
        votes = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, BaseException) for one in votes) <= 1
        return [(1.0,)] * len(candidates)

    with run_directory() as out:
        assert evolve(PROBLEMS, "smoke", Scripted(BEHAVIOUR), out=out, evaluate=hasty, select="best").complete


def test_a_dead_model_met_inside_a_fitness_is_a_dead_model_and_not_a_faulty_fitness() -> None:
    @evaluation(weights=(1.0,), oracle=False)
    async def grouped(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float, ...]]:
        async def one_vote(one: Candidate) -> None:
            await ask(one, Prompt.user("good?"))

        async with asyncio.TaskGroup() as group:
            for one in candidates:
                group.create_task(one_vote(one))
        return [(1.0,)] * len(candidates)

    books = Ledger(Scripted(BEHAVIOUR), die_at=6, error=lambda: BackendError("dead"))
    with run_directory() as out, pytest.raises(BackendError, match="dead"):
        evolve(PROBLEMS[:1], "smoke", books, out=out, evaluate=grouped, select="best")


@pytest.mark.timeout(60)
def test_calls_that_nobody_awaits_end_with_their_population() -> None:
    @evaluation(weights=(1.0,), oracle=False)
    async def careless(
        problem: Problem, candidates: Sequence[Candidate], ask: Any
    ) -> list[tuple[float, ...]]:
        for one in candidates:
            ask(one, Prompt.user("good?"))
        raise ValueError("left the room")

    with (
        run_directory() as out,
        pytest.raises(OperatorError, match="'careless' raised ValueError: left the room"),
    ):
        evolve(PROBLEMS, "smoke", Scripted(BEHAVIOUR, delay=0.01), out=out, evaluate=careless, select="best")


@variation(arity=1)
def endless(problem: Problem, parents: Sequence[Candidate]) -> Any:
    while True:
        yield Prompt.user("more")


@variation(arity=1)
def stranger(problem: Problem, parents: Sequence[Candidate]) -> Any:
    yield Consult(Candidate("p0", 0, 0, "sample"), "critique", Prompt.user("who?"))
    return Prompt.user("x")


@variation(arity=1)
def fickle(problem: Problem, parents: Sequence[Candidate]) -> Any:
    yield Consult(parents[0], "critique", Prompt.user("one"))
    yield Consult(parents[0], "critique", Prompt.user("two"))
    return Prompt.user("x")


@variation(arity=1)
def thief(problem: Problem, parents: Sequence[Candidate]) -> Any:
    yield Consult(parents[0], "vary", Prompt.user("one"))
    return Prompt.user("x")


@variation(arity=1)
def nothing(problem: Problem, parents: Sequence[Candidate]) -> Any:
    yield "a text"
    return Prompt.user("x")


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        (endless, r"asked the model \d+ times for one child and did not end"),
        (stranger, "consults about a candidate that is not among its parents"),
        (fickle, "for 'critique' with two different prompts"),
        (thief, "a word of its own .*, got 'vary'"),
        (nothing, "must yield Prompts"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_operators_in_steps_that_break_their_contract_are_named(operator: Any, said: str) -> None:
    with run_directory() as out, pytest.raises(OperatorError, match=f"{operator.__name__}.*{said}"):
        evolve(PROBLEMS[:1], "smoke", Scripted(BEHAVIOUR), out=out, vary=operator)
