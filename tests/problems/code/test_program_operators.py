"""``public_tests`` and ``repair``: what runs on public tests, and nothing else, feeds back."""

import asyncio
from typing import Any

import pytest
from evolve_llm_problems.code.operators import public_tests, repair

from evolve_llm import evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.declarations import measures
from evolve_llm.scheme.preset import Preset
from evolve_llm.testing import run_directory

pytestmark = pytest.mark.sandbox
TESTS = [{"input": str(n), "output": str(n * n), "testtype": "stdin"} for n in (1, 2, 3)]
PRIVATE = [{"input": "70", "output": "4900", "testtype": "stdin"}]
PROBLEM = Problem(
    "p", "Square it.", "code", "script", {"tests": TESTS, "private": PRIVATE}, {"public_tests": TESTS}
)
PROGRAMS = ["print(int(input()) ** 2)", "print(input())", "print(4)", None]


def candidates(*answers: str | None) -> list[Candidate]:
    return [
        Candidate("p", 0, slot, "sample", f"chain {slot}", answer, answer)
        for slot, answer in enumerate(answers)
    ]


def values(problem: Problem, **options: Any) -> list[tuple[float, ...]]:
    return asyncio.run(public_tests(problem.public(), candidates(*PROGRAMS), None, **options))  # type: ignore[arg-type]


def test_the_share_of_public_tests_passed() -> None:
    assert values(PROBLEM) == [(1.0,), (pytest.approx(1 / 3),), (pytest.approx(1 / 3),), (0.0,)]


def test_each_public_test_a_case() -> None:
    assert values(PROBLEM, cases=3) == [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 0)]
    assert values(PROBLEM, cases=5)[1] == (1, 0, 0, 1, 1)
    assert values(PROBLEM, cases=2)[1] == (1, 0)
    assert measures(public_tests).weights == (1.0,)


def test_a_problem_without_public_tests_gives_nobody_anything() -> None:
    assert values(Problem("p", "q", "code")) == [(0.0,)] * 4


def test_repair_shows_the_first_failing_test_and_no_private_one() -> None:
    text = repair(PROBLEM.public(), candidates("print(input())")).messages[-1].content
    assert "1 of the 3 public tests" in text
    assert "Test 2 ends with: wrong-answer" in text
    assert "Expected output:\n4" in text
    assert "Its output:\n2" in text
    assert "4900" not in text
    broken = repair(PROBLEM.public(), candidates("1 / 0")).messages[-1].content
    assert "ZeroDivisionError" in broken
    assert "gives no program" in repair(PROBLEM.public(), candidates(None)).messages[-1].content
    assert "no public tests" in repair(Problem("p", "q", "text"), candidates("x")).messages[-1].content


def test_a_run_with_lexicase_on_public_tests_and_repair() -> None:
    model = Scripted(lambda request: f"```python\n{PROGRAMS[request.seed % 3]}\n```", record=True)
    preset = {
        "name": "t", "population": 4, "generations": 2, "select": "lexicase",
        "evaluate": {"operator": "public_tests", "cases": 3}, "vary": "repair", "finish": "majority",
    }  # fmt: skip
    with run_directory() as out:
        assert evolve([PROBLEM], Preset.from_plain(preset), model, out=out).complete
    assert any("public tests" in message.content for call in model.calls for message in call.prompt.messages)
