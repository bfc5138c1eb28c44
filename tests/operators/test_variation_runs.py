"""Whole runs with every variation operator: any concurrency, any death, any failure, and what it costs."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from variation_helpers import FORMATS

from evolve_llm import (
    BackendError,
    Candidate,
    OperatorError,
    Preset,
    Problem,
    Prompt,
    Request,
    RequestError,
    evolve,
)
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.decorators import evaluation, variation
from evolve_llm.scheme.operator import MAX_CALLS, Consult, Steps
from evolve_llm.testing import Behaviour, Ledger, Reordering, contents, database, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]
OPERATORS = (
    "aggregate_answers",
    "aggregate_adaptive",
    "consensus",
    "summarize_aggregate",
    "debate",
    "critique_refine",
)
BEHAVIOUR = Behaviour(answers=("4", "5"), fail=0.1, truncate=0.1)


def preset(vary: object, **changes: Any) -> Preset:
    data = {
        "name": "tried",
        "population": 5,
        "parents": 3,
        "generations": 3,
        "vary": vary,
        "sampling": {"max_tokens": 64},
    }
    return Preset.from_plain({**data, **changes})


def rows_of(purpose: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row for row in rows if row[3] == purpose]


@pytest.mark.parametrize("selected", ["blind", "informed"])
@pytest.mark.parametrize("name", OPERATORS)
def test_any_concurrency_stores_the_same_bytes(name: str, selected: str) -> None:
    changes = {} if selected == "blind" else {"select": "tournament", "evaluate": "agreement"}
    found = set()
    for concurrency, model in (
        (1, Scripted(BEHAVIOUR)),
        (64, Scripted(BEHAVIOUR)),
        (64, Reordering(BEHAVIOUR, order="last", seed=3)),
        (3, Scripted(BEHAVIOUR, delay=lambda request: random.Random(request.id).choice((0.0, 0.0, 0.002)))),
    ):
        with run_directory() as out:
            run = evolve(PROBLEMS, preset(name, **changes), model, out=out, concurrency=concurrency)
            assert run.complete
            found.add(database(out))
    assert len(found) == 1


def test_a_mixture_of_all_operators_stores_the_same_bytes_at_any_concurrency() -> None:
    vary = [{"operator": name, "probability": 0.95 / len(OPERATORS)} for name in OPERATORS]
    found = set()
    for concurrency in (1, 64):
        with run_directory() as out:
            evolve(
                PROBLEMS,
                preset(vary),
                Reordering(BEHAVIOUR, seed=concurrency),
                out=out,
                concurrency=concurrency,
            )
            found.add(database(out))
            operators = {row[3] for row in contents(out)["candidates"]}
    assert len(found) == 1
    assert {"summarize_aggregate", "debate"} <= operators


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", OPERATORS)
def test_the_stand_in_runs_every_operator_in_every_format(name: str, form: str) -> None:
    problem = Problem("p", "What is 2 + 2?", form, "exact", "4")
    with run_directory() as out:
        run = evolve([problem], preset(name, population=3, parents=2, generations=2), "scripted", out=out)
        assert run.complete
        assert all(row[6] == "ok" for row in contents(out)["candidates"])


# ---------------------------------------------------------------- consensus


def test_parents_that_agree_are_reproduced_before_their_generation_has_ended() -> None:
    """Blind plans start a child when its own parents have ended: their answer classes are known by then."""
    model = Scripted(lambda *_: "The answer is \\boxed{4}.", record=True)
    with run_directory() as out:
        run = evolve(PROBLEMS, preset("consensus", population=4, generations=4), model, out=out)
        assert run.complete
        candidates = contents(out)["candidates"]
    assert len(model.calls) == 2 * 4
    children = [row for row in candidates if row[1] > 0]
    assert len(children) == 2 * 4 * 3
    assert all(row[8] is not None for row in children), "every child is a copy"
    assert all(len(json.loads(row[4])) == 3 for row in children), "with all those who agreed as parents"


def test_agreement_is_of_classes_whatever_the_spelling() -> None:
    spellings = ("0.5", "1/2", "\\frac{1}{2}")
    problem = Problem("p", "Half of one?", "boxed", "math", "1/2")
    model = Scripted(lambda request: f"\\boxed{{{spellings[request.seed % 3]}}}", record=True)
    with run_directory() as out:
        evolve([problem], preset("consensus", population=4, generations=2), model, out=out)
        answers = {row[9] for row in contents(out)["candidates"] if row[1] == 0}
    assert len(answers) > 1
    assert len(model.calls) == 4


def test_disagreement_is_aggregated() -> None:
    model = Scripted(lambda request: f"\\boxed{{{request.seed}}}", record=True)
    with run_directory() as out:
        evolve(PROBLEMS, preset("consensus"), model, out=out)
    assert len(model.calls) == 2 * 5 * 3


# ---------------------------------------------------------------- summarize_aggregate: consulting


def test_each_parent_is_summarized_once_however_many_children_it_has() -> None:
    books = Ledger(Scripted(Behaviour()))
    with run_directory() as out:
        evolve(PROBLEMS, preset("summarize_aggregate"), books, out=out)
        rows = contents(out)
    assert set(books.asked.values()) == {1}
    summaries = rows_of("summarize", rows["completions"])
    parents = {(row[0], uid) for row in rows["candidates"] for uid in json.loads(row[4])}
    assert {(row[0], f"{row[1]}.{row[2]}") for row in summaries} == parents
    assert len(rows_of("vary", rows["completions"])) == 2 * 5 * 3


def test_killed_anywhere_and_resumed_equals_the_uninterrupted_run_and_asks_nothing_twice() -> None:
    tried = preset("summarize_aggregate", population=4, parents=2)
    with run_directory() as out:
        whole = Ledger(Scripted(BEHAVIOUR))
        evolve(PROBLEMS, tried, whole, out=out)
        expected, calls = database(out), whole.calls
    for call in range(1, calls + 1, 2):
        books = Ledger(
            Reordering(BEHAVIOUR, seed=call), die_at=call, error=lambda: BackendError("the model died")
        )
        with run_directory() as out:
            with pytest.raises(BackendError, match="the model died"):
                evolve(PROBLEMS, tried, books, out=out, concurrency=3)
            before = Counter(books.asked)
            names = {row[0]: row[1] for row in contents(out)["problems"]}
            stored = {"/".join(map(str, (names[row[0]], *row[1:5]))) for row in contents(out)["completions"]}
            books.die_at = None
            assert evolve(PROBLEMS, tried, books, out=out, concurrency=4).complete
            assert database(out) == expected
            assert not {name for name in books.asked if books.asked[name] > before[name]} & stored


def test_more_parents_than_the_bound_on_calls_are_summarized() -> None:
    wide = preset("summarize_aggregate", population=MAX_CALLS + 4, parents=MAX_CALLS + 4, generations=2)
    with run_directory() as out:
        evolve(PROBLEMS[:1], wide, Scripted(Behaviour()), out=out)
        assert all(row[6] == "ok" for row in contents(out)["candidates"])


# ---------------------------------------------------------------- failures on the way


def failing(purpose: str, call: int) -> Scripted:
    def respond(request: Request) -> str | BaseException:
        address = request.address
        child = address.generation > 0 or address.purpose != "vary"
        if child and (address.purpose, address.call) == (purpose, call):
            return RequestError("timeout", "as scripted")
        return "\\boxed{4}"

    return Scripted(respond)


@pytest.mark.parametrize(
    ("name", "call"), [("critique_refine", 0), ("critique_refine", 1), ("debate", 1), ("debate", 2)]
)
def test_a_call_that_fails_fails_the_child_and_not_the_run(name: str, call: int) -> None:
    with run_directory() as out:
        run = evolve(PROBLEMS, preset(name, generations=2), failing("vary", call), out=out)
        assert run.complete
        children = [row for row in contents(out)["candidates"] if row[1] == 1]
    assert {(row[6], row[7]) for row in children} == {("failed", "timeout")}
    spent = {row[11] > 0 for row in children}
    assert spent == {call > 0}, "what was paid before the failure is counted"


def test_summaries_that_all_fail_fail_no_child() -> None:
    with run_directory() as out:
        evolve(PROBLEMS, preset("summarize_aggregate"), failing("summarize", 0), out=out)
        assert {row[6] for row in contents(out)["candidates"]} == {"ok"}


def test_a_generator_that_never_ends_is_stopped_and_named() -> None:
    @variation(arity=1)
    def chatterbox(problem: Problem, parents: Sequence[Candidate]) -> Steps:  # noqa: ARG001
        while True:
            yield Prompt.user("and then?")

    with run_directory() as out, pytest.raises(OperatorError, match=r"'chatterbox' asked the model 17 times"):
        evolve(PROBLEMS, preset(chatterbox), Scripted(Behaviour()), out=out)


def test_a_generator_that_consults_without_end_is_stopped_too() -> None:
    @variation(arity=1)
    def gossip(problem: Problem, parents: Sequence[Candidate]) -> Steps:  # noqa: ARG001
        while True:
            yield Consult(parents[0], "gossip", Prompt.user("what do you think of it?"))

    with run_directory() as out, pytest.raises(OperatorError, match="'gossip' asked the model"):
        evolve(PROBLEMS, preset(gossip), Scripted(Behaviour()), out=out)


def test_a_call_that_was_caught_keeps_its_number() -> None:
    """A generator may go on after a failed call: its next one has an address of its own."""

    @variation(arity=1)
    def stubborn(problem: Problem, parents: Sequence[Candidate]) -> Steps:
        try:
            yield Prompt.user(f"first of {parents[0].uid}")
        except RequestError:
            yield Prompt.user(f"second of {parents[0].uid}")
        return Prompt.user(f"last of {parents[0].uid} {problem.question}")

    with run_directory() as out:
        evolve(PROBLEMS, preset(stubborn, generations=2), failing("vary", 0), out=out)
        rows = contents(out)
    children = [row for row in rows["completions"] if row[1] == 1]
    assert {row[4] for row in children} == {0, 1, 2}
    assert {row[6] for row in rows["candidates"]} == {"ok"}


# ---------------------------------------------------------------- copies


def test_a_copy_keeps_what_a_fitness_looks_at() -> None:
    seen: dict[str, list[tuple[int, tuple[float, ...]]]] = {}

    @evaluation(weights=(1.0,), oracle=False, logprobs=True)
    async def spy(problem: Problem, candidates: Sequence[Candidate], ask: object) -> list[tuple[float, ...]]:  # noqa: ARG001
        for one in candidates:
            seen.setdefault(one.text, []).append((one.text_tokens, one.logprobs))
        return [(0.0,) for _ in candidates]

    vary = [{"operator": "aggregate", "probability": 0.1}]
    with run_directory() as out:
        evolve(
            PROBLEMS, preset(vary, evaluate=spy), Scripted(lambda request: f"chain {request.seed}"), out=out
        )
    assert any(len(found) > 1 for found in seen.values())
    for found in seen.values():
        assert len(set(found)) == 1
        assert found[0][0] == len(found[0][1]) > 0
