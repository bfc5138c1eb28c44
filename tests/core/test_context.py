"""What a run would cost is known, and what cannot fit is refused, before a token is spent."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from evolve_llm import Candidate, OperatorError, Problem, Prompt, UserError, evolve, variation
from evolve_llm.backends.scripted import Scripted
from evolve_llm.session import Session
from evolve_llm.testing import Behaviour, Ledger, run_directory

PROBLEMS = [Problem(f"p{i}", "What is 2 + 2? " * (i + 1), "boxed") for i in range(3)]


def estimate(window: int | None = None, **settings: Any) -> Any:
    session = Session(PROBLEMS, "smoke", Scripted(Behaviour(), context_length=window), overrides=settings)
    return asyncio.run(session.estimate())


def test_the_estimate_bounds_what_a_run_really_takes() -> None:
    found = estimate()
    model = Scripted(lambda request: "x" * 10_000, record=True)
    with run_directory() as out:
        tokens = evolve(PROBLEMS, "smoke", model, out=out).plain()["tokens"]
    assert found.requests == len(model.calls) == 3 * 4 * 3
    assert tokens["completion"] == found.completion_tokens
    assert 0.8 * found.prompt_tokens < tokens["prompt"] <= found.prompt_tokens
    assert found.fits


def test_the_widest_request_is_the_one_with_all_parents() -> None:
    assert estimate(parents=3).widest - estimate(parents=2).widest >= 96
    assert estimate(generations=1).widest < estimate().widest


def test_what_cannot_fit_is_refused_with_what_would() -> None:
    books = Ledger(Scripted(Behaviour(), context_length=300))
    with run_directory() as out:
        with pytest.raises(
            UserError, match=r"cannot fit the context: 2 parent\(s\) of up to 96 .*--max-tokens (\d+)"
        ) as no:
            evolve(PROBLEMS, "smoke", books, out=out)
        advice = int(str(no.value).split("--max-tokens ")[1].split(" ")[0])
        assert not out.exists()
        assert books.calls == 0
        assert evolve(PROBLEMS, "smoke", books, out=out, sampling={"max_tokens": advice}).complete
    assert not estimate(300, **{"sampling.max_tokens": advice + 1}).fits


def test_a_question_that_is_too_long_by_itself() -> None:
    with run_directory() as out, pytest.raises(UserError, match="the question alone does not fit"):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour(), context_length=10), out=out)


def test_operators_are_tried_on_stand_ins_that_have_all_that_real_parents_have() -> None:
    @variation(arity=2)
    def by_fitness(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
        assert all(one.fitness.valid and one.answer_class is not None for one in parents)
        best = max(parents, key=lambda one: one.fitness.values[0])
        return Prompt.user(f"{best.text.strip()} {(best.answer or '').upper()}")

    with run_directory() as out:
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, vary=by_fitness, evaluate="agreement",
                      select="best").complete  # fmt: skip


def test_an_operator_that_raises_is_found_before_the_run() -> None:
    @variation(arity=1)
    def hasty(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
        return Prompt.user(parents[7].text)

    books = Ledger(Scripted(Behaviour()))
    with (
        run_directory() as out,
        pytest.raises(OperatorError, match=r"'hasty'.* before the run, raised IndexError"),
    ):
        evolve(PROBLEMS, "smoke", books, out=out, vary=hasty)
    assert books.calls == 0
