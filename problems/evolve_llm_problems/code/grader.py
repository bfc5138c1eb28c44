"""The graders ``script`` and ``lcb``: one run of a program gives both verdicts, and the name says which one counts.

A reference is ``{"tests": [...], "private": "...", "name": null}``: public tests as rows, private ones packed as
LiveCodeBench has them or as rows, and the function that functional tests call. Or it is ``{"check": ...}``: see
``asserts``. The rule of a verdict names both: ``script=pass,lcb=exception``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolve_llm.grading import sandbox, syscalls
from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm_problems.code import asserts
from evolve_llm_problems.code.behaviour import behaviour, canonical_text
from evolve_llm_problems.code.judge import READINGS, BadTestError, Result, Test, judge, tests_of
from evolve_llm_problems.code.pickled import unpacked
from evolve_llm_problems.code.sandboxed import HostError, Limits, Program

_SHOWN = 160


@dataclass(frozen=True)
class CodeGrader:
    """``name`` is the reading that decides: ``script`` (as a judge runs it) or ``lcb`` (as the official grader)."""

    name: str
    limits: Limits = field(default_factory=Limits)

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """A sandbox of its own for each program, so that the right outputs stay outside."""
        return "own"

    def deadline(self, reference: Any) -> float:
        """Seconds all tests of a program may take at the very most; their own limits end it long before."""
        count = 100 if not isinstance(reference, Mapping) else _count(reference)
        return min(3600.0, 120.0 + 6 * self.limits.wall + count * self.limits.cpu)

    def warm(self, reference: Any) -> None:  # noqa: ARG002 - the contract's signature
        """Make the filter of system calls once in a grading process, and not for each program."""
        syscalls.missing()

    def quick(self, answer: str, reference: Any) -> Verdict | None:  # noqa: ARG002 - the contract's signature
        """Never: a program has to be run."""
        return None

    def grade(self, answer: str, reference: Any) -> Verdict:
        """Both verdicts on a program, this grader's deciding.

        ``ungraded`` with the rule ``bad-reference`` for tests that are none, ``sandbox-failed`` where it did not start
        twice.
        """
        try:
            return self._verdict(answer, reference)
        except BadTestError as error:
            return Verdict(Grade.UNGRADED, "bad-reference", detail=str(error)[:400])
        except (HostError, sandbox.SandboxUnavailable) as error:
            return Verdict(Grade.UNGRADED, "sandbox-failed", detail=str(error)[:400])

    def quick_canonical(self, answer: str) -> str | None:  # noqa: ARG002 - the contract's signature
        """Never: what a program does is not seen from its text."""
        return None

    def canonical(self, answer: str) -> str:
        """The program without comments and layout, where it parses: the class of last resort."""
        return canonical_text(answer)

    def behaviour(self, answer: str, metadata: Mapping[str, Any]) -> str:
        """What a program does on the public inputs: equal texts for equal outputs. See ``behaviour``."""
        return behaviour(answer, metadata, self.limits)

    def _verdict(self, answer: str, reference: Any) -> Verdict:
        if not isinstance(reference, Mapping):
            raise BadTestError("the reference of a program must be an object with tests, or with check")
        if "check" in reference:
            return asserts.verdict(answer, reference, self.limits, unsafe_local=sandbox.unsafe_local())
        public, private = split(reference)
        tests = [*public, *private]
        if not tests:
            raise BadTestError("the reference holds no tests")
        for again in (False, True):
            try:
                with Program(answer, self.limits, unsafe_local=sandbox.unsafe_local()) as program:
                    return self._said(judge(program, tests), len(public), len(tests))
            except HostError:
                if again:
                    raise
        raise AssertionError

    def _said(self, results: Mapping[str, Sequence[Result]], public: int, count: int) -> Verdict:
        ends = {reading: (done[-1], len(done)) for reading, done in results.items()}
        rule = ",".join(f"{reading}={ends[reading][0].how}" for reading in READINGS)
        deciding, number = ends[self.name]
        passed = number if deciding.passed else number - 1
        if deciding.passed:
            return Verdict(Grade.CORRECT, rule, 1.0)
        which = (
            f"public test {number} of {public}"
            if number <= public
            else f"private test {number - public} of {count - public}"
        )
        tail = deciding.error.strip().rpartition("\n")[2] if deciding.how == "exception" else ""
        detail = f"{self.name}: {which}: {deciding.how}{': ' + tail[:_SHOWN] if tail else ''}"
        return Verdict(Grade.INCORRECT, rule, min(passed / count, 0.99), detail)


def _count(reference: Mapping[str, Any]) -> int:
    tests, private = reference.get("tests") or reference.get("check") or [], reference.get("private") or []
    return len(tests) + (300 if isinstance(private, str) else len(private))


def split(reference: Mapping[str, Any]) -> tuple[list[Test], list[Test]]:
    """The public and the private tests of a reference. Raises BadTestError."""
    name = reference.get("name")
    private = reference.get("private") or []
    if isinstance(private, str):
        try:
            private = unpacked(private)
        except ValueError as error:
            raise BadTestError(f"the private tests cannot be read: {error}") from error
    return tests_of(reference.get("tests") or [], name), tests_of(private, name)


script = CodeGrader("script")
lcb = CodeGrader("lcb")
