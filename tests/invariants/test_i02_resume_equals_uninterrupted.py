"""I2: killed anywhere and resumed equals the uninterrupted run; no completion is generated twice."""

# ruff: noqa: ARG001

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deap import base
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import BackendError, Preset, Problem, Prompt, StoreError, evolve, variation
from evolve_llm.backends.scripted import Scripted
from evolve_llm.record.store import Store
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

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]
SHAPES = {
    "blind": {"population": 3, "parents": 2, "generations": 3},
    "informed": {"population": 3, "parents": 2, "generations": 3, "select": "tournament", "evaluate": "agreement"},
}  # fmt: skip
CALLS = 2 * 3 * 3


def stored_ids(out: Path) -> set[str]:
    """The ids of the requests whose outcomes are on disk."""
    rows = contents(out)
    names = {order: name for order, name, _ in rows["problems"]}
    return {f"{names[row[0]]}/{row[1]}/{row[2]}/{row[3]}/{row[4]}" for row in rows["completions"]}


def uninterrupted(shape: dict[str, object], behaviour: Behaviour) -> bytes:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(behaviour), out=out, **shape)  # type: ignore[arg-type]
        return database(out)


def check_no_stored_completion_is_asked_again(books: Ledger, before: Counter[str], stored: set[str]) -> None:
    assert not {name for name in books.asked if books.asked[name] > before[name]} & stored


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_model_that_dies_at_any_call(shape: dict[str, object]) -> None:
    behaviour = Behaviour(fail=0.1, truncate=0.1)
    expected = uninterrupted(shape, behaviour)
    for call in range(1, CALLS + 1):
        books = Ledger(Scripted(behaviour), die_at=call, error=lambda: BackendError("the model died"))
        with run_directory() as out:
            with pytest.raises(BackendError, match="the model died"):
                evolve(PROBLEMS, "smoke", books, out=out, concurrency=3, **shape)  # type: ignore[arg-type]
            before, stored = Counter(books.asked), stored_ids(out)
            books.die_at = None
            run = evolve(PROBLEMS, "smoke", books, out=out, concurrency=2, **shape)  # type: ignore[arg-type]
            assert run.complete
            assert database(out) == expected
            check_no_stored_completion_is_asked_again(books, before, stored)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_cancelled_at_any_answer(shape: dict[str, object]) -> None:
    """What Ctrl-C does: the task of the run is cancelled while others are in flight."""
    behaviour = Behaviour()
    expected = uninterrupted(shape, behaviour)
    for answer in range(1, CALLS + 1, 2):
        books = Ledger(Reordering(behaviour, seed=answer))

        def interrupt(*_: object, books: Ledger = books, answer: int = answer) -> None:
            if len(books.answered) == answer:
                signal.raise_signal(signal.SIGINT)

        with run_directory() as out:
            books.on_answer = interrupt
            with pytest.raises(KeyboardInterrupt):
                evolve(PROBLEMS, "smoke", books, out=out, concurrency=3, **shape)  # type: ignore[arg-type]
            before, stored = Counter(books.asked), stored_ids(out)
            assert len(stored) < CALLS
            books.on_answer = None
            assert evolve(PROBLEMS, "smoke", books, out=out, **shape).complete  # type: ignore[arg-type]
            assert database(out) == expected
            check_no_stored_completion_is_asked_again(books, before, stored)


@contextlib.contextmanager
def store_that_dies(after: int, *, committed: bool) -> Iterator[Counter[str]]:
    """Every commit after the first ``after`` fails; the last good one may also be unknown to its caller."""
    whole = Store._transaction
    seen: Counter[str] = Counter()

    @contextlib.contextmanager
    def dying(store: Store) -> Iterator[object]:
        seen["commits"] += 1
        if seen["commits"] > after:
            raise StoreError("the disk is gone")
        with whole(store) as db:
            yield db
        if committed and seen["commits"] == after:
            raise StoreError("the disk is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "_transaction", dying)
        yield seen


@pytest.mark.parametrize("committed", [False, True], ids=["before-commit", "after-commit"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_store_that_dies_after_any_commit(shape: dict[str, object], committed: bool) -> None:
    behaviour = Behaviour()
    expected = uninterrupted(shape, behaviour)
    with store_that_dies(10**9, committed=False) as seen, run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(behaviour), out=out, concurrency=2, **shape)  # type: ignore[arg-type]
    assert seen["commits"] > 8
    for after in range(1, seen["commits"]):
        books = Ledger(Scripted(behaviour))
        with run_directory() as out:
            with (
                store_that_dies(after, committed=committed),
                pytest.raises(StoreError, match="the disk is gone"),
            ):
                evolve(PROBLEMS, "smoke", books, out=out, concurrency=2, **shape)  # type: ignore[arg-type]
            before, stored = Counter(books.asked), stored_ids(out)
            assert evolve(PROBLEMS, "smoke", books, out=out, **shape).complete  # type: ignore[arg-type]
            assert database(out) == expected
            check_no_stored_completion_is_asked_again(books, before, stored)


@settings(max_examples=20)
@given(
    problems=problem_sets(),
    preset=presets(),
    behaviour=behaviours(),
    seed=seeds(),
    deaths=st.lists(st.integers(1, 25), max_size=4),
    order=orders(),
    concurrency=st.sampled_from((1, 3, 64)),
)
def test_killed_any_number_of_times_in_any_order(
    problems: list[Problem],
    preset: Preset,
    behaviour: Behaviour,
    seed: int,
    deaths: list[int],
    order: str,
    concurrency: int,
) -> None:
    with run_directory() as out:
        evolve(problems, preset, Scripted(behaviour), out=out, seed=seed)
        expected = database(out)
    with run_directory() as out:
        for death in [*deaths, None]:
            books = Ledger(
                Reordering(behaviour, order=order), die_at=death, error=lambda: BackendError("dead")
            )  # type: ignore[arg-type]
            stored = stored_ids(out) if (out / "run.db").exists() else set()
            with contextlib.suppress(BackendError):
                evolve(problems, preset, books, out=out, seed=seed, concurrency=concurrency)
            assert not set(books.asked) & stored
        assert database(out) == expected


def test_an_operator_that_changed_since_is_refused_rather_than_mixed_in() -> None:
    """A resumed run whose prompts are no longer the stored ones would be two experiments in one table."""

    def rewritten(wording: str) -> Callable[[base.Toolbox], None]:
        @variation(arity=0)
        def ask(problem: Problem, parents: object) -> Prompt:
            return Prompt.user(f"{wording} {problem.question}")

        return lambda toolbox: toolbox.register("init", ask)

    books = Ledger(Scripted(Behaviour()), die_at=5, error=lambda: BackendError("dead"))
    with run_directory() as out:
        with pytest.raises(BackendError):
            evolve(PROBLEMS, "smoke", books, out=out, concurrency=1, customize=rewritten("Answer"))
        before = contents(out)
        with pytest.raises(StoreError, match="answers another prompt"):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, customize=rewritten("Solve"))
        assert contents(out)["completions"][:4] == before["completions"]


VICTIM = """
    import os, sys
    from evolve_llm import Problem, evolve
    from evolve_llm.backends.scripted import Scripted
    from evolve_llm.testing import Behaviour

    out, log, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])
    behaviour = Behaviour(fail=0.05, truncate=0.1)

    def respond(request):
        answer = behaviour(request)
        with open(log, "a") as file:
            file.write(request.id + "\\n")
        return answer

    problems = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(5)]
    evolve(problems, "smoke", Scripted(respond, delay=delay), out=out, concurrency=3)
"""


@pytest.mark.slow
def test_a_process_killed_ten_times_with_sigkill(tmp_path: Path) -> None:
    script = tmp_path / "victim.py"
    script.write_text(textwrap.dedent(VICTIM))
    whole, out, log = tmp_path / "whole", tmp_path / "run", tmp_path / "calls.log"

    def start(path: Path, calls: Path, delay: float) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), str(path), str(calls), str(delay)])

    assert start(whole, tmp_path / "whole.log", 0.0).wait() == 0
    log.touch()
    rng = random.Random(20)
    for kill in range(10):
        stored = stored_ids(out) if (out / "run.json").exists() else set()
        told = len(log.read_text().split())
        process = start(out, log, 0.05)
        wanted = told + rng.randint(0, 4)
        deadline = time.monotonic() + 60
        while len(log.read_text().split()) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        assert process.poll() is None, f"the run ended before kill {kill + 1}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not set(log.read_text().split()[told:]) & stored
    stored = stored_ids(out)
    assert 0 < len(stored) < 60
    told = len(log.read_text().split())
    assert start(out, log, 0.0).wait() == 0
    assert not set(log.read_text().split()[told:]) & stored
    assert database(out) == database(whole)
