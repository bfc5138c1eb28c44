"""Every operator, problem set and grader that plugs in keeps its contract; nothing registered is forgotten."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mutant_suite import suite

from evolve_llm import Problem
from evolve_llm.grading.base import Grader
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme import registry
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.testing import GraderContract, ProblemContract
from evolve_llm.testing.checking import contract_of, findings

PARAMETERS: dict[str, dict[str, Any]] = suite.PARAMETERS
CLAIMS: dict[str, list[str]] = suite.CLAIMS
VARIANTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("select.tournament", {"tournsize": 1}, []),
    ("select.islands", {"count": 2, "scheme": "ring"}, []),
    ("select.neighbourhood", {"graph": "complete"}, []),
    ("evaluate.self_verify", {"votes": 2, "cases": True}, []),
    ("evaluate.self_verify", {"mode": "p_true"}, []),
    ("evaluate.confidence", {"window": 2}, []),
    ("replace.plus", {"pareto": True}, []),
    ("replace.steady_state", {"replace": "similar"}, []),
]
"""Other ways in which the built-ins are used."""


def check(name: str, parameters: dict[str, Any] | None, claims: Iterable[str]) -> None:
    _, contract = contract_of(name, parameters=parameters, claims=list(claims))
    found = findings(contract)
    assert {one.property: one.detail for one in found if one.outcome != "kept"} == {}


@pytest.mark.parametrize("name", sorted(registry.available("operator")))
def test_operators(name: str) -> None:
    """Also those that come later, and those of other packages that are installed."""
    check(name, PARAMETERS.get(name), CLAIMS.get(name, ()))


@pytest.mark.parametrize(("name", "parameters", "claims"), VARIANTS, ids=[f"{a}-{b}" for a, b, _ in VARIANTS])
def test_operators_with_other_parameters(name: str, parameters: dict[str, Any], claims: list[str]) -> None:
    check(name, parameters, claims)


def test_the_archive_keeps_the_elite_of_every_cell() -> None:
    """A cell is an answer class and a bin of lengths."""
    edges = (512, 1024, 2048, 4096)

    def cell(one: Candidate) -> tuple[str | None, int]:
        return one.answer_class, sum(one.text_tokens > edge for edge in edges)

    _, contract = contract_of("replace.archive")
    contract.elite_of = staticmethod(cell)  # type: ignore[attr-defined]
    assert [one.detail for one in findings(contract) if one.outcome != "kept"] == []


# ---------------------------------------------------------------- problem sets

ROWS = [
    {"problem_idx": n, "problem": f"Find ${n}+{n}$.", "answer": 2 * n, "problem_type": ["A"]}
    for n in (1, 2, 3)
]

PROGRAMS: dict[str, dict[str, Any]] = {
    "livecodebench": {
        "question_title": "Sum", "question_content": "Print the sum of two integers.", "platform": "atcoder",
        "question_id": "a1", "contest_date": "2025-01-04T00:00:00", "starter_code": "", "difficulty": "easy",
        "public_test_cases": '[{"input": "1 2", "output": "3", "testtype": "stdin"}]',
        "private_test_cases": '[{"input": "3 4", "output": "7", "testtype": "stdin"}]', "metadata": "{}",
    },
    "humaneval": {
        "task_id": "X/0", "prompt": 'def add(a, b):\n    """The sum."""\n', "entry_point": "add",
        "canonical_solution": "    return a + b\n", "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    },
    "mbpp": {
        "task_id": 11, "text": "Add two numbers.", "code": "def add(a, b): return a + b",
        "test_list": ["assert add(1, 2) == 3"], "test_setup_code": "", "challenge_test_list": [],
    },
}  # fmt: skip


INSPECT = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match

@task
def sums():
    return Task(dataset=[Sample(input=f"What is {n}+{n}?", target=str(2 * n)) for n in range(3)], scorer=match())
"""
ARC = [
    {"id": f"t{n}", "train": [{"input": [[n, 0]], "output": [[0, n]]}],
     "test": [{"input": [[0, n], [n, n]], "output": [[n, 0], [n, n]]}, {"input": [[n]], "output": [[n]]}]}
    for n in (1, 2, 3)
]  # fmt: skip
SUPERGPQA = [
    {"uuid": f"u{n}", "question": f"What is {n}+{n}?", "options": [f"the number {m}" for m in range(8)],
     "answer": f"the number {2 * n}", "answer_letter": "ABCDEFGH"[2 * n], "discipline": "Science"}
    for n in (1, 2, 3)
]  # fmt: skip
MMLU_PRO = [
    {"question_id": n, "question": f"What is {n}+{n}?", "options": ["two", "four", "six"], "answer": "ABC"[n - 1],
     "answer_index": n - 1, "category": "math"}
    for n in (1, 2, 3)
]  # fmt: skip
GPQA = [
    {"Record ID": f"r{n}", "Question": f"What is {n}+{n}?", "Correct Answer": f"just {2 * n}",
     **{f"Incorrect Answer {m}": f"not {2 * n} but {m}" for m in (1, 2, 3)}, "High-level domain": "Physics"}
    for n in (4, 5, 6)
]  # fmt: skip
LOCAL = {"arc_agi_1": ARC, "arc_agi_2": ARC, "supergpqa": SUPERGPQA, "mmlu_pro": MMLU_PRO, "gpqa": GPQA}
"""Sets that are read from a file: rows in the form each is published in."""


def loader(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], Iterable[Problem]]:
    """A small helping of a problem set, from this machine alone."""
    if name == "file":
        path = folder / "sums.jsonl"
        lines = [{"id": str(n), "question": f"What is {n}+{n}?", "answer": str(2 * n)} for n in range(5)]
        path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        return lambda: load_problems(str(path))
    if name == "hf":
        lines = [{"question": f"What is {n}+{n}?", "answer": str(2 * n)} for n in range(5)]
        (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        return lambda: load_problems(f"hf:{folder}")
    if name == "inspect":
        (folder / "tasks.py").write_text(INSPECT, encoding="utf-8")
        return lambda: load_problems(f"inspect:{folder / 'tasks.py'}")
    if name in PROGRAMS:
        path = folder / f"{name}.jsonl"
        path.write_text(json.dumps(PROGRAMS[name]), encoding="utf-8")
        return lambda: load_problems(f"{name}:{path}")
    if name in ("aime25", "hmmt25"):
        hub = ModuleType("datasets")
        hub.load_dataset = lambda repository, split: ROWS  # type: ignore[attr-defined]  # noqa: ARG005
        patch.setitem(sys.modules, "datasets", hub)
    if name in LOCAL:
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, LOCAL[name])), encoding="utf-8")
        return lambda: load_problems(f"{name}:{path}")
    spec = "reasoning_gym:chain_sum,maze" if name == "reasoning_gym" else name
    return lambda: load_problems(spec, limit=6)


def gym(reference: Any) -> str | None:
    """The answer of a Reasoning Gym entry that was drawn with one, a grid, or the letter of an option."""
    if isinstance(reference, list):
        return json.dumps(reference)
    if isinstance(reference, dict) and "target" in reference:
        return str(reference["target"])
    if isinstance(reference, dict) and "letter" in reference:
        return str(reference["letter"])
    if isinstance(reference, dict) and isinstance(answer := reference.get("entry", {}).get("answer"), str):
        return answer
    return str(reference) if isinstance(reference, str | int | float) else None


@pytest.mark.parametrize("name", sorted(registry.available("problem set")))
def test_problem_sets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Contract(ProblemContract):
        load = staticmethod(loader(name, tmp_path, monkeypatch))
        answer = staticmethod(gym)

    assert {one.property: one.detail for one in findings(Contract) if one.outcome != "kept"} == {}


# ---------------------------------------------------------------- graders

OPTIONS = {"letter": "B", "options": ["seven", "the eight", "nine"]}


def cases(name: str) -> dict[str, Any]:
    """What each grader must call right and wrong, and what it must call the same."""
    known: dict[str, dict[str, Any]] = {
        "math": {
            "right": (("4", "4"), (r"\frac{1}{2}", "0.5"), ("(1, 2)", "(1,2)"), ("42", r"\text{42}")),
            "wrong": (("4", "5"), ("4", r"4\sqrt{2}"), ("1/2004!", "1/2006!"), ("(1, 2)", "(2, 1)")),
            "equal": ((r"\frac{1}{2}", "1/2"), ("4", "4.0"), ("1,000", "1000")),
        },
        "exact": {
            "right": (("A cat", "a  CAT "),),
            "wrong": (("a cat", "acat"), ("4", "4.0")),
            "equal": (("A cat", "a cat"),),
        },
        "option": {
            "right": (
                ("B", "(b)"),
                ("C", r"\text{C}"),
                ("d.", "D"),
                (OPTIONS, "b"),
                (OPTIONS, "The  EIGHT."),
            ),
            "wrong": (
                ("B", "C"),
                ("B", "A B"),
                ("B", "Beetle"),
                (OPTIONS, "A"),
                (OPTIONS, "seven"),
                (OPTIONS, "D"),
            ),
            "equal": (("(c)", "C."),),
        },
        "grid": {
            "right": (([[1, 2], [3, 4]], "1 2\n3 4"), ([[1, 2], [3, 4]], "[[1,2],[3,4]]"), ([[5]], "[[5]]")),
            "wrong": (
                ([[1, 2], [3, 4]], "1 3\n2 4"),
                ([[1, 2], [3, 4]], "1 2\n3 5"),
                ([[1, 2], [3, 4]], "1 2\n3"),
                ([[5]], "[[5, 5]]"),
            ),
            "equal": (("1 2\n3 4", "[[1, 2], [3, 4]]"), ("12\n34", "1,2\n3,4")),
        },
    }
    if name in known:
        return known[name]
    if name in ("script", "lcb"):
        tests = [{"input": "1 2", "output": "3", "testtype": "stdin"}]
        reference = {"tests": tests, "private": [], "name": None}
        return {
            "right": ((reference, "print(sum(map(int, input().split())))"),),
            "wrong": ((reference, "print(4)"), (reference, "no program at all")),
            "equal": (("print( 1 )  # one", "print(1)"),),
            "hostile": False,
        }
    if name == "reasoning_gym":
        entries = [one.reference for one in load_problems("reasoning_gym:chain_sum,leg_counting", limit=4)]
        entries = [one for one in entries if registry.load("grader", name).isolation(one) == "worker"]
        right = tuple((one, gym(one)) for one in entries)
        return {
            "right": right,
            "wrong": tuple((one, f"{answer}1") for one, answer in right),
            "hostile": False,
        }
    return {}


@pytest.mark.parametrize("name", sorted(registry.available("grader")))
def test_graders(name: str) -> None:
    grader: Grader = registry.load("grader", name)
    contract = type("Contract", (GraderContract,), {"grader": grader, **cases(name)})
    assert {one.property: one.detail for one in findings(contract) if one.outcome == "broken"} == {}


def test_every_parameter_given_here_belongs_to_something_registered() -> None:
    names = {*PARAMETERS, *CLAIMS, *(name for name, _, _ in VARIANTS)}
    assert names <= {*registry.available("operator")}
    with pytest.raises(UserError, match="needs the parameter"):
        contract_of("stop.token_budget")
