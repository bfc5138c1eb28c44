"""Operators that run programs on the public tests: the fitness ``public_tests`` and the variation ``repair``.

They see a problem's metadata and never its reference, so no private test (invariant I3), and are no oracles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from evolve_llm.grading import sandbox
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Prompt
from evolve_llm.scheme.decorators import evaluation, variation
from evolve_llm.scheme.operator import Ask
from evolve_llm.scheme.templates import Templates
from evolve_llm_problems.code.behaviour import public_tests as tests_in
from evolve_llm_problems.code.judge import BadTestError, Result, Test, judge
from evolve_llm_problems.code.sandboxed import HostError, Program, workers

REPAIR = Templates(builtin=Path(__file__).parent / "prompts", names=("repair",))
_SHOWN = 1_500


def _weights(cases: int = 0, unsafe_local: bool = False) -> tuple[float, ...]:  # noqa: ARG001
    if not isinstance(cases, int) or isinstance(cases, bool) or not 0 <= cases <= 64:
        raise ValueError(f"cases must be a number from 0 to 64, got {cases!r}")
    return (1.0,) * max(1, cases)


@evaluation(weights=_weights, oracle=False)
async def public_tests(
    problem: Problem,
    candidates: Sequence[Candidate],
    ask: Ask,  # noqa: ARG001 - the contract's signature
    *,
    cases: int = 0,
    unsafe_local: bool = False,
) -> list[tuple[float, ...]]:
    """The share of the public tests that a program passes; 0 for a chain without one. No oracle.

    With ``cases``, that many values instead: test i alone for each but the last, the last being the share of all tests
    from there on (1.0 where there is none), so that ``lexicase`` has the tests for its cases. Equal programs run once.

    Where a problem has no public tests nobody has passed any: all values are 0. Raises UserError for public tests
    that are none, SandboxUnavailable without a sandbox unless ``unsafe_local``.
    """
    tests = _tests(problem)
    if not tests:
        return [(0.0,) * max(1, cases) for _ in candidates]
    if not unsafe_local:
        await asyncio.to_thread(sandbox.require)
    programs = list(dict.fromkeys(one.answer for one in candidates if one.answer is not None))
    free = asyncio.Semaphore(workers())

    async def passed(program: str) -> list[bool]:
        async with free:
            results = await asyncio.to_thread(_run, program, tests, unsafe_local)
        return [one.passed for one in results]

    found = dict(zip(programs, await asyncio.gather(*map(passed, programs)), strict=True))
    nothing = [False] * len(tests)
    return [_values(nothing if one.answer is None else found[one.answer], cases) for one in candidates]


def _values(passed: Sequence[bool], cases: int) -> tuple[float, ...]:
    if cases < 2:
        return (_share(passed),)
    alone = [float(one) for one in passed[: cases - 1]]
    alone += [1.0] * (cases - 1 - len(alone))
    return (*alone, _share(passed[cases - 1 :]))


def _share(passed: Sequence[bool]) -> float:
    return sum(passed) / len(passed) if passed else 1.0


@variation(arity=1)
def repair(
    problem: Problem,
    parents: Sequence[Candidate],
    *,
    unsafe_local: bool = False,
    templates: Templates = REPAIR,
) -> Prompt:
    """Show the model one parent with the first public test its program fails, what was wanted and what it gave.

    A problem without public tests is left to the model's own eyes, and the prompt says so. Source: Self-Debug, arXiv
    2304.05128. Raises UserError for public tests that are none, SandboxUnavailable
    without a sandbox unless ``unsafe_local``.
    """
    tests = _tests(problem)
    parent = parents[0]
    said = "The attempt gives no program: there is no complete fenced code block at its end."
    if not tests:
        said = "There are no public tests to run it on."
    elif parent.answer is not None:
        said = report(tests, _run(parent.answer, tests, unsafe_local))
    return templates.render(problem, "repair", candidates=[parent.text, said])


def report(tests: Sequence[Test], results: Sequence[Result]) -> str:
    """The first failed test in words for a prompt, or that all passed."""
    passed = sum(one.passed for one in results)
    head = f"It passes {passed} of the {len(tests)} public tests."
    for number, (test, one) in enumerate(zip(tests, results, strict=True), 1):
        if one.passed:
            continue
        parts = [f"{head} Test {number} ends with: {one.how}.", f"Input:\n{_cut(test.input)}"]
        parts.append(f"Expected output:\n{_cut(test.output)}")
        if one.how == "wrong-answer" or one.given.strip():
            parts.append(f"Its output:\n{_cut(one.given)}")
        if one.error.strip():
            parts.append(f"What it wrote to stderr:\n{_cut(one.error, end=True)}")
        return "\n\n".join(parts)
    return head


def _cut(text: str, *, end: bool = False) -> str:
    text = text.strip("\n")
    if len(text) <= _SHOWN:
        return text
    return f"[...] {text[-_SHOWN:]}" if end else f"{text[:_SHOWN]} [...]"


def _tests(problem: Problem) -> list[Test]:
    try:
        tests = tests_in(problem.metadata)
    except BadTestError as error:
        raise UserError(f"problem {problem.id!r}: its public tests: {error}") from error
    return tests


def _run(program: str, tests: Sequence[Test], unsafe_local: bool) -> list[Result]:
    """Every test under the reading ``script``. A sandbox that fails is tried again, then the tests count as not run."""
    for _ in range(2):
        try:
            with Program(program, unsafe_local=unsafe_local) as running:
                return judge(running, tests, ("script",), every=True)["script"]
        except HostError:
            continue
    return [Result("killed") for _ in tests]
