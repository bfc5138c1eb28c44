"""The pool: three verdicts whatever happens to a worker, and never a process too many."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from grading_helpers import problem, with_pool

from evolve_llm.grading import wire
from evolve_llm.grading.pool import MAX_CANONICAL, GradingPool
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Grade, Verdict

HARD = r"\sqrt{8}", r"2\sqrt{2}"  # correct, and only a worker can say so


def grade(
    answer: str | None, reference: object = "yes", grader: str | None = "misbehaves", **settings: float
) -> Verdict:
    return with_pool(lambda pool: pool.grade(problem(grader, reference), answer), **settings)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_nothing_starts_until_needed() -> None:
    async def work(pool: GradingPool) -> list[int]:
        assert (await pool.grade(problem("math", 42), "42")).correct
        assert (await pool.grade(problem("option", "C"), "(c)")).correct
        return pool.worker_pids()

    assert with_pool(work) == []


@pytest.mark.parametrize("answer", [None, "", "  \n"])
def test_no_answer_is_incorrect(answer: str | None) -> None:
    assert grade(answer, 5, "math") == Verdict(Grade.INCORRECT, "no-answer")


@pytest.mark.parametrize(("grader", "reference"), [(None, 5), ("math", None), (None, None)])
def test_without_grader_or_reference_nothing_is_graded(grader: str | None, reference: object) -> None:
    assert grade("5", reference, grader) == Verdict(Grade.UNGRADED, "no-reference")
    assert grade(None, reference, grader).rule == "no-reference"


def test_an_unknown_grader_is_the_users_error() -> None:
    with pytest.raises(UserError, match="Did you mean 'math'"):
        grade("5", 5, "maths")
    with pytest.raises(UserError, match="maths"):
        GradingPool().require([problem("maths", 5)])


def test_settings_that_cannot_work() -> None:
    with pytest.raises(UserError, match="at least 1 worker"):
        GradingPool(workers=0)
    with pytest.raises(UserError, match="deadline"):
        GradingPool(deadline=0)


@pytest.mark.usefixtures("plugin_graders")
@pytest.mark.parametrize(
    ("answer", "grade_", "rule"),
    [
        ("yes", Grade.CORRECT, "compared"),
        ("no", Grade.INCORRECT, "compared"),
        ("print", Grade.INCORRECT, "compared"),
        ("exit", Grade.UNGRADED, "worker-crashed"),
        ("abort", Grade.UNGRADED, "worker-crashed"),
        ("memory", Grade.UNGRADED, "worker-crashed"),
        ("recurse", Grade.UNGRADED, "grader-error"),
        ("raise no such thing", Grade.UNGRADED, "grader-error"),
        ("score 0.5", Grade.CORRECT, "score"),
        ("score nan", Grade.UNGRADED, "worker-crashed"),
        ("score 7", Grade.UNGRADED, "worker-crashed"),
        ("sleep 30", Grade.UNGRADED, "deadline"),
        ("spin", Grade.UNGRADED, "deadline"),
        ("x" * 100_001, Grade.INCORRECT, "too-long"),
        ("\ud800\x00", Grade.INCORRECT, "compared"),
    ],
)
def test_every_ending_is_a_verdict(answer: str, grade_: Grade, rule: str) -> None:
    started = time.monotonic()
    verdict = grade(answer, deadline=1.0)
    assert (verdict.grade, verdict.rule) == (grade_, rule), verdict
    assert time.monotonic() - started < 6


@pytest.mark.usefixtures("plugin_graders")
def test_a_reference_that_is_not_json_is_ungraded() -> None:
    assert grade("x", {1, 2}).rule == "grader-error"


@pytest.mark.usefixtures("plugin_graders")
def test_the_users_environment_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert "OPENAI_API_KEY" not in grade("environ").detail


@pytest.mark.usefixtures("plugin_graders")
def test_two_hundred_at_once_of_which_some_hang() -> None:
    answers = ["sleep 30" if n % 50 == 7 else "yes" if n % 2 else "no" for n in range(200)]

    async def work(pool: GradingPool) -> tuple[list[Verdict], int]:
        tasks = [pool.grade(problem("misbehaves", "yes", str(n)), answer) for n, answer in enumerate(answers)]
        verdicts = await asyncio.gather(*tasks)
        return list(verdicts), len(pool.worker_pids())

    started = time.monotonic()
    verdicts, workers = with_pool(work, workers=2, deadline=1.0)
    assert workers <= 2
    assert time.monotonic() - started < 20
    for answer, verdict in zip(answers, verdicts, strict=True):
        wanted = {"yes": Grade.CORRECT, "no": Grade.INCORRECT}.get(answer, Grade.UNGRADED)
        assert verdict.grade is wanted, (answer, verdict)


@pytest.mark.usefixtures("plugin_graders")
def test_the_deadline_counts_from_the_start_of_the_item() -> None:
    async def work(pool: GradingPool) -> list[Verdict]:
        waits = [pool.grade(problem("misbehaves", "yes", str(n)), "sleep 0.6") for n in range(4)]
        return list(await asyncio.gather(*waits))

    assert {verdict.rule for verdict in with_pool(work, workers=1, deadline=1.2)} == {"compared"}


@pytest.mark.usefixtures("plugin_graders")
def test_equal_answers_are_graded_once() -> None:
    async def work(pool: GradingPool) -> float:
        started = time.monotonic()
        waits = [pool.grade(problem("misbehaves", "yes"), "sleep 0.5") for _ in range(20)]
        assert len(set(await asyncio.gather(*waits))) == 1
        await pool.grade(problem("misbehaves", "yes"), "sleep 0.5")
        return time.monotonic() - started

    assert with_pool(work) < 3


@pytest.mark.usefixtures("plugin_graders")
def test_a_changed_reference_is_graded_afresh() -> None:
    async def work(pool: GradingPool) -> list[Grade]:
        return [
            (await pool.grade(problem("misbehaves", wanted), "yes")).grade for wanted in ("yes", "no", "yes")
        ]

    assert with_pool(work) == [Grade.CORRECT, Grade.INCORRECT, Grade.CORRECT]


@pytest.mark.usefixtures("plugin_graders")
def test_a_worker_killed_in_the_middle_is_replaced() -> None:
    async def work(pool: GradingPool) -> tuple[Verdict, Verdict]:
        assert (await pool.grade(problem("misbehaves", "yes", "0"), "yes")).correct
        task = asyncio.ensure_future(pool.grade(problem("misbehaves", "yes", "1"), "sleep 1"))
        await asyncio.sleep(0.3)
        (pid,) = pool.worker_pids()
        os.kill(pid, signal.SIGKILL)
        verdict = await task
        assert gone([pid])
        assert pool.worker_pids() != [pid]
        return verdict, await pool.grade(problem("misbehaves", "yes", "2"), "yes")

    killed, after = with_pool(work)
    assert killed.rule == "compared"  # done again by the worker that replaced it
    assert after.correct


@pytest.mark.usefixtures("plugin_graders")
def test_close_cancel_and_deadlines_leave_no_process() -> None:
    seen: set[int] = set()

    async def work(pool: GradingPool) -> None:
        for n in range(4):
            await pool.grade(problem("misbehaves", "yes", f"d{n}"), "sleep 9")
            seen.update(pool.worker_pids())
            assert len(pool.worker_pids()) <= 2
        task = asyncio.ensure_future(pool.grade(problem("misbehaves", "yes", "c"), "sleep 9"))
        await asyncio.sleep(0.1)
        task.cancel()
        left = [
            asyncio.ensure_future(pool.grade(problem("misbehaves", "yes", f"x{n}"), "sleep 9"))
            for n in range(6)
        ]
        await asyncio.sleep(0.1)
        seen.update(pool.worker_pids())
        assert not any(one.done() for one in left)

    with_pool(work, workers=2, deadline=0.3)
    assert seen
    assert gone(sorted(seen))


PARENT = """
import asyncio, json, sys
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.problem import Problem

async def main():
    pool = GradingPool(deadline=60)
    task = asyncio.ensure_future(pool.grade(Problem("p", "q", grader=sys.argv[1], reference="x"), sys.argv[2]))
    while not pool.worker_pids():
        await asyncio.sleep(0.01)
    await asyncio.sleep(float(sys.argv[3]))
    print(json.dumps(pool.worker_pids()), flush=True)
    await task

asyncio.run(main())
"""


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found + [grandchild for child in found for grandchild in children(child)]


@pytest.mark.usefixtures("plugin_graders")
@pytest.mark.parametrize(
    ("grader", "answer"),
    [
        ("misbehaves", "sleep 50"),
        ("misbehaves", "spin"),
        pytest.param("executes", "import time; time.sleep(50)", marks=pytest.mark.sandbox),
    ],
)
def test_workers_die_with_their_parent(grader: str, answer: str) -> None:
    line = [sys.executable, "-c", PARENT, grader, answer, "1.0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        pids += [child for pid in pids for child in children(pid)]
        assert len(pids) >= 2
        assert all(alive(pid) for pid in pids)
        parent.kill()
    assert gone(pids)


def test_canonical_forms_of_equal_answers_are_equal() -> None:
    async def work(pool: GradingPool) -> None:
        p = problem("math", None)
        assert await pool.canonical(p, HARD[0]) == await pool.canonical(p, HARD[1])
        assert await pool.canonical(p, "0.50") == await pool.canonical(p, r"\frac12") == "1/2"
        assert await pool.canonical(problem(None, None), " The  Sun ") == "the sun"
        assert len(await pool.canonical(p, "ab " * 500_000)) <= MAX_CANONICAL

    with_pool(work)


@pytest.mark.usefixtures("plugin_graders")
def test_canonical_survives_what_answers_do() -> None:
    async def work(pool: GradingPool) -> list[str]:
        return [
            await pool.canonical(problem("misbehaves", "yes"), a) for a in ("sleep  9", "exit", "raise  x")
        ]

    assert with_pool(work, deadline=0.5) == ["sleep 9", "exit", "raise x"]


def test_a_closed_pool_says_so() -> None:
    async def work() -> None:
        pool = GradingPool()
        await pool.close()
        await pool.close()
        with pytest.raises(RuntimeError, match="closed"):
            await pool.grade(problem("math", 5), "5")

    asyncio.run(work())


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"grade": "correct"},
        {"grade": "perfect", "rule": "r", "score": None, "detail": ""},
        {"grade": "correct", "rule": "", "score": None, "detail": ""},
        {"grade": "correct", "rule": "r", "score": True, "detail": ""},
        {"grade": "correct", "rule": "r", "score": 1.5, "detail": ""},
        {"grade": "correct", "rule": "r", "score": float("nan"), "detail": ""},
        {"grade": "correct", "rule": "r", "score": 1.0, "detail": "", "more": 1},
    ],
)
def test_only_a_whole_verdict_is_a_verdict(value: object) -> None:
    with pytest.raises(wire.MalformedFrameError):
        wire.unpack_verdict(value)


def test_a_verdict_survives_the_wire() -> None:
    for verdict in (Verdict(Grade.CORRECT, "r", 1.0, "d"), Verdict(Grade.UNGRADED, "deadline")):
        frame = wire.encode(wire.pack_verdict(verdict))
        assert wire.body_length(frame[: wire.HEADER]) == len(frame) - wire.HEADER
        assert wire.unpack_verdict(wire.decode(frame[wire.HEADER :])) == verdict
