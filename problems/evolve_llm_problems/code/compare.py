"""Whether what a program gave is what was wanted, by two readings: ``script`` and ``lcb``."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Any

from evolve_llm_problems.code.inside.values import Opaque

TOLERANCE = 1e-5
"""How far, absolutely or relatively, a float of a function may lie off under ``script``: what LeetCode allows."""
_MOST = 5_000
_DEPTH = 100


def same_output(given: str, wanted: str) -> bool:
    """Line by line after stripping, each as text, else token by token as decimals. Both readings agree on this.

    Source: LiveCodeBench, lcb_runner/evaluation/testing_util.py.
    """
    ours, theirs = _lines(given), _lines(wanted)
    return len(ours) == len(theirs) and all(
        one == other or _same_numbers(one, other) for one, other in zip(ours, theirs, strict=True)
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_numbers(one: str, other: str) -> bool:
    ours, theirs = one.split(), other.split()
    if len(ours) != len(theirs) or any(len(token) > _MOST for token in ours):
        return False
    try:
        return all(Decimal(a) == Decimal(b) for a, b in zip(ours, theirs, strict=True))
    except InvalidOperation:
        return False


def same_value(given: Any, wanted: Any, reading: str) -> bool:
    """A returned value (unpacked) against the wanted JSON value.

    ``lcb`` takes one outermost tuple for a list and compares exactly. ``script`` takes tuples for lists anywhere,
    and allows floats ``TOLERANCE``.
    """
    if reading == "lcb":
        return _equal(list(given) if isinstance(given, tuple) else given, wanted)
    return _close(given, wanted, 0)


def _equal(given: Any, wanted: Any) -> bool:
    if isinstance(given, Opaque):
        return False
    try:
        return bool(given == wanted)
    except RecursionError:
        return False


def _close(given: Any, wanted: Any, depth: int) -> bool:
    if depth > _DEPTH or isinstance(given, Opaque):
        return False
    if isinstance(wanted, list):
        return (
            isinstance(given, list | tuple)
            and len(given) == len(wanted)
            and all(_close(one, other, depth + 1) for one, other in zip(given, wanted, strict=True))
        )
    if isinstance(wanted, dict):
        return (
            isinstance(given, dict)
            and given.keys() == wanted.keys()
            and all(_close(given[key], wanted[key], depth + 1) for key in wanted)
        )
    if isinstance(wanted, float) and isinstance(given, int | float) and not isinstance(given, bool):
        try:
            return math.isclose(given, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        except OverflowError:
            return False
    return (type(given) is type(wanted) and bool(given == wanted)) or _same_whole(given, wanted)


def _same_whole(given: Any, wanted: Any) -> bool:
    """A whole float where an integer is wanted."""
    return type(given) is float and type(wanted) is int and given == wanted
