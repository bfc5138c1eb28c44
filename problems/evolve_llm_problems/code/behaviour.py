"""What a program does on the public inputs of its problem: the class that votes count and diversity compares."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from evolve_llm.grading import sandbox
from evolve_llm.grading.normalize import spaced
from evolve_llm_problems.code.judge import Result, Test, judge, tests_of
from evolve_llm_problems.code.sandboxed import Limits, Program

EXTRA = "inputs"
"""A problem's metadata may hold further inputs under this key (texts; generated, say): their outputs count too."""


def public_tests(metadata: Mapping[str, Any]) -> list[Test]:
    """The public tests in a problem's metadata. Raises BadTestError where they are none."""
    return tests_of(metadata.get("public_tests") or [], metadata.get("name"))


def behaviour(answer: str, metadata: Mapping[str, Any], limits: Limits) -> str:
    """A text that programs share which give the same outputs on the public inputs and fail in the same way.

    Without public inputs it is the program's own text, without comments and layout. Raises HostError and
    BadTestError.
    """
    tests = public_tests(metadata)
    name = metadata.get("name")
    tests += [Test(str(one), "null" if name else "", name) for one in metadata.get(EXTRA) or []]
    if not tests:
        return canonical_text(answer)
    with Program(answer, limits, unsafe_local=sandbox.unsafe_local()) as program:
        results = judge(program, tests, ("script",), every=True)["script"]
    return "behaviour sha256:" + digest([_seen(one) for one in results])


def _seen(one: Result) -> list[str]:
    if one.how in ("pass", "wrong-answer"):
        return ["gave", "\n".join(line.strip() for line in one.given.strip().split("\n"))]
    return [one.how]


def canonical_text(answer: str) -> str:
    """A program without its comments and layout; one that does not parse, with its white space normalised."""
    try:
        text = ast.unparse(ast.parse(answer))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = spaced(answer)
    return "program sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest(value: Any) -> str:
    """A short name for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
