"""The pairs of Math-Verify's own tests: gold, prediction, and the verdict its authors expect.

Read from the source of its test modules, without running or importing them: every ``parametrize`` whose first three
names are a gold, a prediction and an expectation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROSE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_NAMED = re.compile(
    r"\\[a-zA-Z]+(?:\s*\{[a-z]*matrix\}|\s*\{array\}(?:\{[^{}]*\})?)?|\\(?:text|mbox|mathrm)\{[^{}]*\}"
)
_KNOWN = re.compile(
    r"\b(?:sqrt|sin|cos|tan|log|ln|exp|pi|and|or|infinity|inf|percent|percentage|pct|degrees?)\b"
)


@dataclass(frozen=True)
class Pair:
    """One expectation: where it stands, what is compared, and whether the two are to be equal."""

    where: str
    gold: str
    prediction: str
    expected: bool

    @property
    def form(self) -> str:
        """``boxed``, ``bare`` (nothing but mathematics) or ``prose``."""
        if "boxed" in self.prediction or "fbox" in self.prediction:
            return "boxed"
        words = _KNOWN.sub("", _NAMED.sub(" ", self.prediction))
        return "prose" if _PROSE.search(words) else "bare"


def pairs(tests: Path) -> Iterator[Pair]:
    """All pairs of a folder of test modules, in order."""
    for module in sorted(tests.glob("test_*.py")):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    yield from _of(decorator, f"{module.name}::{node.name}")


def _of(decorator: ast.expr, where: str) -> Iterator[Pair]:
    if not isinstance(decorator, ast.Call) or not ast.unparse(decorator.func).endswith("parametrize"):
        return
    if len(decorator.args) < 2:
        return
    names = [one.strip() for one in str(_value(decorator.args[0])).split(",")]
    if names[:2] not in (["gold", "pred"], ["ground_truth", "prediction"]) or names[2:3] not in (
        ["expected"],
    ):
        return
    rows = decorator.args[1]
    if not isinstance(rows, ast.List | ast.Tuple):
        return
    for row in rows.elts:
        if isinstance(row, ast.Tuple) and len(row.elts) >= 3:
            gold, prediction, expected = (_value(one) for one in row.elts[:3])
            if isinstance(gold, str) and isinstance(prediction, str):
                yield Pair(f"{where}:{row.lineno}", gold, prediction, bool(expected))


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
