"""Tests that are Python assertions (HumanEval, MBPP): run in one sandbox, the program they call in another.

A reference is ``{"check": [test, ...], "setup": source, "names": [function, ...], "before": source}``: the tests
are executed in order after the setup, each call of a named function goes to the program, which stands after
``before``. Assertions compare plain values; one that hands a function or an object of a class to the program
cannot be run this way and is ``ungraded``, rule ``unsupported``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve_llm.grading.base import Grade, Verdict
from evolve_llm_problems.code.inside.values import pack
from evolve_llm_problems.code.judge import BadTestError, returned
from evolve_llm_problems.code.sandboxed import HostError, Limits, Process, Program

MOST_CALLS = 10_000
_CHECK_SECONDS = 60.0


def verdict(
    answer: str, reference: Mapping[str, Any], limits: Limits, *, unsafe_local: bool = False
) -> Verdict:
    """The verdict on a program by its assertions: rule ``script=pass`` or ``script=`` how the first failure came.

    Raises BadTestError for a reference that is none, HostError when a sandbox did not start.
    """
    tests, names = reference.get("check"), reference.get("names")
    if not _texts(tests) or not _texts(names):
        raise BadTestError("check and names must be lists of texts that are not empty")
    setup, before = str(reference.get("setup") or ""), str(reference.get("before") or "")
    with (
        Program(answer, limits, unsafe_local=unsafe_local) as program,
        Process("checker.py", unsafe_local=unsafe_local) as checker,
    ):
        checker.send({"setup": setup, "tests": tests, "names": names})
        done = _relayed(checker, program, before)
    return _said(done, len(tests or ()))


def _relayed(checker: Process, program: Program, before: str) -> Mapping[str, Any]:
    for _ in range(MOST_CALLS):
        said = checker.receive(_CHECK_SECONDS)
        if "done" in said:
            done = said["done"]
            return done if isinstance(done, Mapping) else {}
        try:
            outcome = program.call(str(said["name"]), said["arguments"], said["keywords"], before=before)
        except HostError:
            return {"failed": 0, "how": "killed"}
        how, value = returned(outcome)
        checker.send({"value": pack(value)} if how == "pass" else {"how": how})
    raise BadTestError(f"the tests call the program more than {MOST_CALLS} times")


def _said(done: Mapping[str, Any], count: int) -> Verdict:
    if done.get("passed") == count:
        return Verdict(Grade.CORRECT, "script=pass", 1.0)
    if "bad" in done:
        raise BadTestError(str(done["bad"]))
    how, number = str(done.get("how", "killed")), int(done.get("failed", 0))
    if how == "unsupported":
        return Verdict(Grade.UNGRADED, how, detail=f"test {number} hands the program more than plain data")
    why = f": {done['why']}" if done.get("why") else ""
    score = min(max(0, number - 1) / count, 0.99)
    return Verdict(Grade.INCORRECT, f"script={how}", score, f"script: test {number} of {count}: {how}{why}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
