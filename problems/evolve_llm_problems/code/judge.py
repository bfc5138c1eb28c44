"""One program against its tests: what each came to, under each reading; compared here, outside the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm_problems.code.compare import same_output, same_value
from evolve_llm_problems.code.inside.values import pack, unpack
from evolve_llm_problems.code.sandboxed import Outcome, Program

READINGS = ("script", "lcb")


class BadTestError(ValueError):
    """A test of the reference that is not one."""


@dataclass(frozen=True)
class Test:
    """An input and the output wanted. ``name`` is the function to call; None feeds the input to the program."""

    input: str
    output: str
    name: str | None = None

    __test__ = False  # for pytest, which collects what is called Test


@dataclass(frozen=True)
class Result:
    """What became of one test. ``how``: ``pass``, ``wrong-answer``, ``exception``, ``no-value``, ``time``,
    ``wall-time``, ``memory``, ``output-limit``, ``processes``, ``killed``, or ``not-run`` after a failure.

    ``given`` is what the program printed or returned, ``error`` the end of what it wrote to stderr.
    """

    how: str
    given: str = ""
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether the output was the wanted one."""
        return self.how == "pass"


def tests_of(rows: Any, name: str | None) -> list[Test]:
    """The tests in rows of LiveCodeBench (``input``, ``output``, ``testtype``). Raises BadTestError."""
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise BadTestError(f"tests must be a list, not {type(rows).__name__}")
    found = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise BadTestError(f"test {number} is not an object")
        given, wanted, kind = row.get("input"), row.get("output"), row.get("testtype", "stdin")
        if not isinstance(given, str) or not isinstance(wanted, str):
            raise BadTestError(f"the input and output of test {number} must be texts")
        if kind not in ("stdin", "functional"):
            raise BadTestError(f"test {number} is of type {kind!r}; known are stdin and functional")
        if kind == "functional" and not name:
            raise BadTestError(f"test {number} calls a function, and the metadata name none (func_name)")
        if kind == "functional":
            try:
                [json.loads(line) for line in [*given.split("\n"), wanted]]
            except (ValueError, RecursionError) as error:
                raise BadTestError(f"test {number} is not one JSON value a line: {error}") from error
        found.append(Test(given, wanted, name if kind == "functional" else None))
    return found


def judge(
    program: Program,
    tests: Sequence[Test],
    readings: Sequence[str] = READINGS,
    *,
    every: bool = False,
) -> dict[str, list[Result]]:
    """The results of a program's tests, in order, by reading.

    A reading stops at its first failure unless ``every`` test is wanted. A call is made once for both readings; a
    program that reads its input runs once for each, since they run it differently. Raises HostError.
    """
    results: dict[str, list[Result]] = {reading: [] for reading in readings}
    failed: set[str] = set()
    for test in tests:
        wanted = [one for one in readings if one not in failed]
        if not wanted:
            break
        for reading, result in _one(program, test, wanted):
            results[reading].append(result)
            if not result.passed and not every:
                failed.add(reading)
    return results


def _one(program: Program, test: Test, readings: Sequence[str]) -> Iterator[tuple[str, Result]]:
    if test.name is None:
        for reading in readings:
            outcome = program.script(test.input, reading)
            how = failure(outcome) or ("pass" if same_output(outcome.out, test.output) else "wrong-answer")
            yield reading, Result(how, outcome.out, outcome.err)
        return
    arguments = pack([json.loads(line) for line in test.input.split("\n")])
    outcome = program.call(test.name, arguments, prelude=True)
    how, value = returned(outcome)
    for reading in readings:
        verdict = how
        if verdict == "pass" and not same_value(value, json.loads(test.output), reading):
            verdict = "wrong-answer"
        yield reading, Result(verdict, shown(value) if how == "pass" else outcome.out, outcome.err)


def returned(outcome: Outcome) -> tuple[str, Any]:
    """``("pass", value)`` where a call returned one, else how it failed and None."""
    how = failure(outcome)
    if how is not None:
        return how, None
    if outcome.value is None:
        return "no-value", None
    try:
        return "pass", unpack(outcome.value[0])
    except (ValueError, TypeError, RecursionError):
        return "no-value", None


def failure(outcome: Outcome) -> str | None:
    """How a test failed before its output was looked at, or None."""
    if outcome.how != "ended":
        names = {"cpu": "time", "wall": "wall-time", "output": "output-limit", "processes": "processes"}
        return names.get(outcome.how, "killed")
    if outcome.signal is not None:
        return "killed"
    if outcome.code != 0:
        last = outcome.err.strip().rpartition("\n")[2]
        return "memory" if last.startswith("MemoryError") else "exception"
    return None


def shown(value: Any) -> str:
    """A value for a person or a prompt. Never raises."""
    try:
        return repr(value)
    except (RecursionError, ValueError):
        return "(a value too deep or too large to show)"
