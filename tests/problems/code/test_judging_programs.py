"""Right programs pass, wrong ones do not, and what is hostile neither passes nor gets out."""

import asyncio
import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evolve_llm_problems.code.alone import alone, beside_others
from evolve_llm_problems.code.grader import CodeGrader, lcb, script
from evolve_llm_problems.code.livecodebench import problem
from evolve_llm_problems.code.sandboxed import Limits

from evolve_llm.analysis.readings import Parting, readings
from evolve_llm.grading import sandbox
from evolve_llm.grading.base import Grade
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.errors import SandboxUnavailable
from evolve_llm.nouns.problem import Problem

pytestmark = pytest.mark.sandbox
SHORT = CodeGrader("script", Limits(cpu=1.0, wall=1.5))


def stdin(*pairs: tuple[str, str]) -> dict[str, Any]:
    tests = [{"input": given, "output": wanted, "testtype": "stdin"} for given, wanted in pairs]
    return {"tests": tests, "private": [], "name": None}


def call(given: str, wanted: str, name: str = "total") -> dict[str, Any]:
    return {"tests": [{"input": given, "output": wanted, "testtype": "functional"}], "name": name}


def test_right_programs_pass_and_wrong_ones_fail(lookalikes: ModuleType) -> None:
    rows = list(lookalikes.rows())
    assert len(rows) >= 20
    for row, right, wrongs in rows:
        reference = problem(row, "row").reference
        for grader in (script, lcb):
            verdict = grader.grade(right, reference)
            assert (verdict.grade, verdict.rule) == (Grade.CORRECT, "script=pass,lcb=pass"), row[
                "question_title"
            ]
        for wrong in wrongs:
            assert script.grade(wrong, reference).grade is Grade.INCORRECT, (row["question_title"], wrong)


def test_the_two_readings_part_on_programs_that_read_as_scripts_do(lookalikes: ModuleType) -> None:
    reference = stdin(("1 2\n", "3"))
    verdicts = [script.grade(program, reference) for program in lookalikes.NAMES_PARTED.values()]
    assert [one.readings for one in verdicts] == [{"script": True, "lcb": False}] * len(verdicts)
    (counted,) = readings(("script", one) for one in verdicts)
    assert (counted.answers, counted.others) == (
        len(verdicts),
        (Parting("lcb", len(verdicts), len(verdicts), 0),),
    )
    assert not lcb.grade(lookalikes.NAMES_PARTED["global"], reference).correct


def test_functional_values_by_the_two_readings() -> None:
    assert (
        script.grade("def total(a): return [(1, 2)]", call("1", "[[1, 2]]")).rule
        == "script=pass,lcb=wrong-answer"
    )
    assert (
        script.grade("def total(a): return .1 + .2", call("1", "0.3")).rule == "script=pass,lcb=wrong-answer"
    )
    assert script.grade("def total(a): return (1, 2)", call("1", "[1, 2]")).rule == "script=pass,lcb=pass"
    assert script.grade("def total(a): return True", call("1", "1")).rule == "script=wrong-answer,lcb=pass"


def test_a_verdict_says_which_test_failed_and_how() -> None:
    reference = stdin(("1", "1"), ("2", "4")) | {"private": [{"input": "3", "output": "9"}]}
    for program, ending in {
        "print(input())": "public test 2 of 2: wrong-answer",
        "n = int(input())\nprint(n * n if n < 3 else 1 / 0)": "private test 1 of 1: exception: ZeroDivisionError",
        "n = int(input())\nwhile n > 1: pass\nprint(n)": "public test 2 of 2: time",
    }.items():
        verdict = SHORT.grade(program, reference)
        assert verdict.grade is Grade.INCORRECT
        assert ending in verdict.detail
    assert verdict.score == pytest.approx(1 / 3)


def left_over() -> set[int]:
    """Processes of this machine, seen from outside, that live in another PID namespace: what is in a sandbox."""
    ours, found = Path("/proc/self/ns/pid").readlink(), set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):  # gone in the meantime, or another user's
                if (process / "ns" / "pid").readlink() != ours:
                    found.add(int(process.name))
    return found


SLOW = {
    "sleeps", "stops itself", "leaves a thread", "threads for ever", "stderr for ever", "loops in a child",
    "ignores the CPU signal", "recurses in C", "eats memory", "loops at import",
}  # fmt: skip


def test_hostile_programs_never_pass_and_never_hang(hostile: ModuleType) -> None:
    """Those that take their whole time are left to experiments/program_grading, which runs them all."""
    assert len(hostile.STDIN) + len(hostile.CALL) >= 40
    os.environ["CANARY_KEY"] = "CANARY"
    there = left_over()
    work = [
        (name, code, stdin(("123 456\n", "579\n")))
        for name, code in hostile.STDIN.items()
        if name not in SLOW
    ]
    work += [(name, code, call("123\n456", "579")) for name, code in hostile.CALL.items()]
    try:
        with ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(lambda one: SHORT.grade(one[1], one[2]), work))
    finally:
        del os.environ["CANARY_KEY"]
    assert [
        (one[0], said.grade) for one, said in zip(work, verdicts, strict=True) if said.grade != "incorrect"
    ] == []
    assert not [place for place in ("/canary", "/usr/canary", "/etc/canary") if Path(place).exists()]
    until = time.monotonic() + 20
    while left_over() - there and time.monotonic() < until:
        time.sleep(0.05)  # the kernel ends what is left of a sandbox a moment after its first process
    assert left_over() - there == set()


def test_what_is_inside_is_neither_the_environment_nor_the_files_nor_the_network(tmp_path: Path) -> None:
    os.environ["CANARY_KEY"] = "CANARY"
    canary = tmp_path / "canary"
    canary.touch()
    program = (
        "import os, socket\nfound = [v for v in os.environ.values() if 'CANARY' in v]\n"
        f"found += [p for p in ({str(canary)!r}, '/etc/passwd') if os.path.exists(p)]\n"
        "links = [line.strip() for line in open('/proc/net/dev')][2:]\n"
        "found += [link for link in links if not link.startswith('lo:')]\n"
        "try: socket.create_connection(('127.0.0.1', 80), 1); found.append('connected')\n"
        "except OSError: pass\nprint(found)"
    )
    try:
        assert script.grade(program, stdin(("", "[]"))).correct
    finally:
        del os.environ["CANARY_KEY"]


def test_a_sleeping_program_is_tried_once_more_and_then_over_time() -> None:
    begun = time.monotonic()
    verdict = CodeGrader("script", Limits(cpu=1.0, wall=0.5)).grade(
        "import time\ntime.sleep(60)", stdin(("", ""))
    )
    assert verdict.rule == "script=wall-time,lcb=wall-time"
    assert time.monotonic() - begun < 30


def test_one_who_wants_to_be_alone_is_not_kept_waiting_by_newcomers() -> None:
    """The visitors come again and again until they are told to stop: unfair locks would never let anybody be alone."""
    inside, most, seen = 0, 0, list[int]()
    counting, entered, done = threading.Lock(), threading.Event(), threading.Event()

    def visit() -> None:
        nonlocal inside, most
        while not done.is_set():
            with beside_others():
                with counting:
                    inside += 1
                    most = max(most, inside)
                entered.set()
                time.sleep(0.01)
                with counting:
                    inside -= 1

    def want_to_be_alone() -> None:
        for _ in range(3):
            with alone():
                seen.append(inside)
                time.sleep(0.03)
                seen.append(inside)

    visitors = [threading.Thread(target=visit, daemon=True) for _ in range(3)]
    loner = threading.Thread(target=want_to_be_alone, daemon=True)
    for one in visitors:
        one.start()
    assert entered.wait(60)
    loner.start()
    loner.join(60)
    done.set()
    for one in visitors:
        one.join(60)
    assert seen == [0] * 6
    assert most > 1


@pytest.mark.parametrize(
    "reference",
    [
        "text",
        {"tests": []},
        {"tests": [{"input": 1, "output": "1"}]},
        {"tests": [{"input": "1", "output": "1", "testtype": "other"}]},
        {"tests": [{"input": "1", "output": "1", "testtype": "functional"}]},
        {"tests": [{"input": "x", "output": "1", "testtype": "functional"}], "name": "f"},
        {"private": "!!"},
        {"check": []},
        {"check": ["assert f(1)"], "names": ["f"], "setup": "import nothing_of_that_name"},
    ],
)
def test_a_bad_reference_is_ungraded(reference: Any) -> None:
    verdict = script.grade("print(1)", reference)
    assert (verdict.grade, verdict.rule) == (Grade.UNGRADED, "bad-reference")
    assert verdict.detail


def test_assertions_meet_plain_values_only() -> None:
    reference = {"check": ["assert f(2) == 4", "assert f(3) == 9"], "names": ["f"], "setup": "", "before": ""}
    assert script.grade("def f(x): return x * x", reference).rule == "script=pass"
    wrong = script.grade("def f(x): return x + 2", reference)
    assert (wrong.rule, wrong.score) == ("script=wrong-answer", 0.5)
    lying = "class Any:\n    def __eq__(self, other): return True\ndef f(x): return Any()"
    assert script.grade(lying, reference).grade is Grade.INCORRECT
    swallowed = {**reference, "check": ["try:\n    f(1)\nexcept Exception:\n    pass"]}
    assert script.grade("def f(x): raise ValueError", swallowed).rule == "script=exception"
    handing = {**reference, "check": ["assert f(len) == 4"]}
    assert script.grade("def f(x): return 4", handing).rule == "unsupported"


def test_programs_are_one_class_when_they_do_the_same_on_the_public_inputs() -> None:
    tests = [{"input": "1 2", "output": "3", "testtype": "stdin"}]
    one = Problem("p", "q", "code", "script", {"tests": tests}, {"public_tests": tests})
    bare = Problem("b", "q", "code", "script", {"tests": tests})

    async def forms() -> list[str]:
        async with GradingPool() as pool:
            sums = [
                "print(sum(map(int, input().split())))",
                "a, b = input().split()\nprint(int(a) + int(b), ' ')",
            ]
            return [
                *[await pool.canonical(one, text) for text in [*sums, "print(4)"]],
                *[
                    await pool.canonical(bare, text)
                    for text in [sums[0], sums[0] + "  # a comment", "print(4)"]
                ],
            ]

    same, too, other, text, commented, different = asyncio.run(forms())
    assert same == too != other
    assert text == commented != different


def test_without_a_sandbox_a_run_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: "no bubblewrap; pip install 'evolve-llm[sandbox]'")
    with pytest.raises(SandboxUnavailable, match="pip install"):
        GradingPool().require([Problem("p", "q", "code", "script", stdin(("", "")))])
