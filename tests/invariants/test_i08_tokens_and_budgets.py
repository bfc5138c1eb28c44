"""I8: tokens in the store are those the backend reported; a budget is exceeded by no more than was in flight."""

# ruff: noqa: ARG001

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Candidate, Completion, Preset, Problem, Prompt, Request, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import BudgetReached
from evolve_llm.scheme.decorators import evaluation, finishing, variation
from evolve_llm.scheme.operator import Final
from evolve_llm.session.session import Session
from evolve_llm.testing import (
    Behaviour,
    Ledger,
    Reordering,
    behaviours,
    contents,
    database,
    orders,
    presets,
    problem_sets,
    run_directory,
    seeds,
)

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(3)]


@settings(max_examples=30)
@given(problems=problem_sets(), preset=presets(), behaviour=behaviours(), seed=seeds())
def test_every_reported_token_is_stored_and_summed(
    problems: list[Problem], preset: Preset, behaviour: Behaviour, seed: int
) -> None:
    books = Ledger(Scripted(behaviour))
    with run_directory() as out:
        run = evolve(problems, preset, books, out=out, seed=seed)
        rows = contents(out)
        names = {order: name for order, name, _ in rows["problems"]}
        plain = run.plain()
    for row in rows["completions"]:
        name = f"{names[row[0]]}/{row[1]}/{row[2]}/{row[3]}/{row[4]}"
        said = books.answered.pop(name, Completion(""))
        assert row[10:13] == (said.prompt_tokens, said.completion_tokens, said.cached_tokens)
    assert not books.answered, "an answer that was paid for is not in the store"
    for key, column in (("prompt", 10), ("completion", 11), ("cached", 12)):
        assert plain["tokens"][key] == sum(row[column] for row in rows["completions"])
    assert sum(row["requests"] for row in plain["generations"]) == len(rows["completions"])
    spent_on_candidates = sum(row[11] + row[12] for row in rows["candidates"])
    assert spent_on_candidates == plain["tokens"]["prompt"] + plain["tokens"]["completion"]


@settings(max_examples=20)
@given(
    budget=st.integers(1, 3000),
    concurrency=st.sampled_from((1, 2, 7, 64)),
    order=orders(),
    shuffle=st.integers(0, 999),
    informed=st.booleans(),
)
def test_no_request_starts_once_the_budget_is_spent(
    budget: int, concurrency: int, order: str, shuffle: int, informed: bool
) -> None:
    behaviour = Behaviour(fail=0.1)
    shape: dict[str, Any] = {"select": "tournament", "evaluate": "agreement"} if informed else {}

    class Strict(Ledger):
        async def generate(self, request: Request) -> Completion:
            assert self.tokens < budget, "a request was made although the budget was spent"
            return await super().generate(request)

    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(behaviour), out=out, **shape)
        whole = database(out)
    with run_directory() as out:
        books = Strict(Reordering(behaviour, order=order, seed=shuffle))  # type: ignore[arg-type]
        run = evolve(
            PROBLEMS, "smoke", books, out=out, concurrency=concurrency, budget_tokens=budget, **shape
        )
        assert books.peak <= concurrency
        assert run.complete or books.tokens >= budget
        stored = sum(row[10] + row[11] for row in contents(out)["completions"])
        assert stored == books.tokens
        dearest = max(
            (one.prompt_tokens + one.completion_tokens for one in books.answered.values()), default=0
        )
        assert stored < budget + concurrency * dearest
        more = Ledger(Scripted(behaviour))
        run = evolve(PROBLEMS, "smoke", more, out=out, budget_tokens=10**9, **shape)
        assert run.complete
        assert not set(more.asked) & set(books.asked)
        assert database(out) == whole


def test_a_spent_budget_asks_for_nothing_and_says_so() -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, budget_tokens=50, concurrency=1)
        books = Ledger(Scripted(Behaviour()))

        async def again() -> None:
            async with Session(PROBLEMS, "smoke", books, out=out, budget_tokens=50) as session:
                async for _ in session.generations():
                    pass

        with pytest.raises(
            BudgetReached, match=r"the budget of 50 tokens is spent .* larger --budget-tokens"
        ):
            asyncio.run(again())
        assert books.calls == 0


@evaluation(weights=(1.0,), oracle=False)
async def voting(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float, ...]]:
    votes = await asyncio.gather(
        *(ask(one, Prompt.user(f"Good? {one.text}")) for one in candidates for _ in "ab")
    )
    lengths = [float(len(vote.text)) if vote else 0.0 for vote in votes]
    return [(lengths[2 * i] + lengths[2 * i + 1],) for i in range(len(candidates))]


@pytest.mark.parametrize("budget", [60, 200, 500, 900])
def test_a_budget_that_ends_while_a_fitness_asks_the_model(budget: int) -> None:
    """The fitness waits for permits that never come: the run must end all the same, and go on later."""
    shape: dict[str, Any] = {"evaluate": voting, "select": "best"}
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, **shape)
        whole = database(out)
    with run_directory() as out:
        books = Ledger(Scripted(Behaviour()))
        run = evolve(PROBLEMS, "smoke", books, out=out, budget_tokens=budget, concurrency=2, **shape)
        assert not run.complete
        assert budget <= books.tokens
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, **shape).complete
        assert database(out) == whole


@evaluation(weights=(1.0,), oracle=False)
async def forgiving(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float, ...]]:
    """A fitness that takes whatever goes wrong for a low value."""
    votes = await asyncio.gather(
        *(ask(one, Prompt.user(f"Good? {one.text}")) for one in candidates), return_exceptions=True
    )
    return [(float(len(vote.text)) if isinstance(vote, Completion) else 0.0,) for vote in votes]


@pytest.mark.parametrize("budget", [60, 200, 500])
def test_a_fitness_that_swallows_the_end_of_the_budget_changes_no_result(budget: int) -> None:
    shape: dict[str, Any] = {"evaluate": forgiving, "select": "best"}
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, **shape)
        whole = database(out)
    with run_directory() as out:
        assert not evolve(
            PROBLEMS, "smoke", Scripted(Behaviour()), out=out, budget_tokens=budget, concurrency=2, **shape
        ).complete
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, **shape).complete
        assert database(out) == whole


@pytest.mark.parametrize("informed", [False, True], ids=["planned ahead", "a generation at a time"])
@pytest.mark.parametrize("lost", ["answers", "populations"])
def test_a_budget_spent_to_the_last_token_is_enough_to_finish(informed: bool, lost: str) -> None:
    """Every completion is stored, and the run was killed before what follows from them was."""
    shape: dict[str, Any] = {"select": "tournament", "evaluate": "agreement"} if informed else {}
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, **shape)
        whole = contents(out)
        spent = sum(row[10] + row[11] for row in whole["completions"])
        with contextlib.closing(sqlite3.connect(out / "run.db")) as db, db:
            db.execute("DELETE FROM answers WHERE ord > 0")
            if lost == "populations":
                for table in ("populations", "candidates", "verdicts"):
                    db.execute(f"DELETE FROM {table} WHERE ord > 0")
        books = Ledger(Scripted(Behaviour()))

        async def again() -> None:
            async with Session(
                PROBLEMS, "smoke", books, out=out, budget_tokens=spent, overrides=shape
            ) as session:
                async for _ in session.generations():
                    pass

        asyncio.run(again())
        assert books.calls == 0
        assert contents(out) == whole


def test_the_generations_whose_children_are_paid_for_are_finished() -> None:
    """A generation needs no permit for its grading: the end of the budget leaves none of them behind."""
    for budget in range(40, 700, 60):
        with run_directory() as out:
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, budget_tokens=budget, concurrency=3)
            rows = contents(out)
        paid = Counter((row[0], row[1]) for row in rows["completions"] if row[3] == "vary")
        complete = {where for where, count in paid.items() if count == 4}
        assert {(row[0], row[1]) for row in rows["populations"]} == complete


def test_what_a_fitness_and_an_asking_finish_spend_is_counted() -> None:
    @finishing()
    def sum_up(problem: Problem, members: Sequence[Candidate]) -> Final:
        return Final(tuple(members[:2]), Prompt.user(members[0].text + members[1].text))

    @variation(arity=2)
    def discuss(problem: Problem, parents: Sequence[Candidate]) -> Any:
        first = yield Prompt.user("one " + parents[0].text)
        return Prompt.user("two " + first.text + parents[1].text)

    books = Ledger(Scripted(Behaviour()))
    with run_directory() as out:
        run = evolve(PROBLEMS[:1], "smoke", books, out=out, evaluate=voting, finish=sum_up, vary=discuss)
        rows = contents(out)
        tokens = run.plain()["tokens"]
    purposes = [row[3] for row in rows["completions"]]
    assert purposes.count("evaluate") == 2 * 12
    assert purposes.count("vary") == 4 + 2 * 8 + 1
    assert tokens["prompt"] + tokens["completion"] == books.tokens
