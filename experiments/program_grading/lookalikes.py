"""Problems in the shape of LiveCodeBench's rows, made for this project: statements, tests, one right and some wrong programs.

Each is ``(name, stdin or functional, function, inputs, right, wrongs)``; the outputs are what the right program gives
outside any sandbox. ``rows`` gives them as LiveCodeBench publishes them, the private tests packed the same way.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import pickle
import sys
import zlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

R = "import sys\nd = sys.stdin.read().split('\\n')\n"

STDIN: list[tuple[str, list[str], str, list[str]]] = [
    (
        "sum",
        ["1 2", "10 -3\n", "0 0"],
        "a, b = map(int, input().split())\nprint(a + b)",
        ["a, b = map(int, input().split())\nprint(a - b)"],
    ),
    (
        "decimals",
        ["1 3", "2 4", "10 5"],
        "a, b = map(int, input().split())\nprint(f'{a / b:.6f}')",
        ["a, b = map(int, input().split())\nprint(f'{a / b:.2f}')"],
    ),
    (
        "trailing blanks",
        ["3", "1"],
        "n = int(input())\nprint(' '.join(map(str, range(n))) + '  ')\nprint()",
        ["n = int(input())\nprint(*range(n + 1))"],
    ),
    (
        "many lines",
        ["5000", "1"],
        "n = int(input())\nprint('\\n'.join(str(i * i) for i in range(n)))",
        [
            "n = int(input())\nprint(' '.join(str(i * i) for i in range(n)))",
            "n = int(input())\nfor i in range(n): print(i ** 3)",
        ],
    ),
    (
        "long input",
        ["100000\n" + " ".join(map(str, range(100000))), "1\n7"],
        "import sys\nd = sys.stdin.read().split()\nprint(sum(map(int, d[1:])))",
        ["n = int(input())\nprint(n)"],
    ),
    ("reverse", ["abc", "x y z"], "print(input()[::-1])", ["print(input())"]),
    (
        "count words",
        ["a b a\nb c", "x"],
        "import sys\nfrom collections import Counter\nc = Counter(sys.stdin.read().split())\nfor k in sorted(c): print(k, c[k])",
        [
            "import sys\nfrom collections import Counter\nc = Counter(input().split())\nfor k in sorted(c): print(k, c[k])"
        ],
    ),
    (
        "largest gap",
        ["4\n1 9 3 4", "2\n5 5"],
        "n = int(input())\na = sorted(map(int, input().split()))\nprint(max(y - x for x, y in zip(a, a[1:])))",
        [
            "n = int(input())\na = list(map(int, input().split()))\nprint(max(y - x for x, y in zip(a, a[1:])))"
        ],
    ),
    ("parity", ["3", "4", "0"], "print('odd' if int(input()) % 2 else 'even')", ["print('odd')"]),
    (
        "power",
        ["7 300", "2 10"],
        "a, b = map(int, input().split())\nprint(a ** b)",
        [
            "a, b = map(int, input().split())\nprint(float(a ** b))",
            "a, b = map(int, input().split())\nprint(a ** b + 1)",
        ],
    ),
    (
        "grid",
        ["2 3\n#.#\n.#.", "1 1\n#"],
        "h, w = map(int, input().split())\nprint(sum(input().count('#') for _ in range(h)))",
        ["h, w = map(int, input().split())\nprint(h * w)"],
    ),
    (
        "queries",
        ["3\n1 2\n2 3\n3 4", "1\n9 9"],
        "for _ in range(int(input())):\n    a, b = map(int, input().split())\n    print(a * b)",
        ["for _ in range(int(input())):\n    a, b = map(int, input().split())\n    print(a * b, end='')"],
    ),
]

CALLS: list[tuple[str, str, list[list[Any]], str, list[str]]] = [
    ("two sum", "twoSum", [[[2, 7, 11], 9], [[3, 3], 6]], "class Solution:\n    def twoSum(self, a: List[int], t: int) -> List[int]:\n        s = {}\n        for i, x in enumerate(a):\n            if t - x in s: return [s[t - x], i]\n            s[x] = i", ["class Solution:\n    def twoSum(self, a, t): return [0, 0]"]),
    ("longest", "longest", [[["a", "bbb"]], [[]]], "class Solution:\n    def longest(self, a):\n        return max(a, key=len, default='')", ["class Solution:\n    def longest(self, a):\n        return a[0] if a else ''"]),
    ("mean", "mean", [[[1, 2]], [[1, 1, 2]]], "class Solution:\n    def mean(self, a): return sum(a) / len(a)", ["class Solution:\n    def mean(self, a): return sum(a) // len(a)"]),
    ("any even", "anyEven", [[[1, 2]], [[1]]], "class Solution:\n    def anyEven(self, a): return any(x % 2 == 0 for x in a)", ["class Solution:\n    def anyEven(self, a): return True"]),
    ("transpose", "transpose", [[[[1, 2], [3, 4]]], [[[1]]]], "class Solution:\n    def transpose(self, m): return [list(r) for r in zip(*m)]", ["class Solution:\n    def transpose(self, m): return m"]),
    ("nothing", "firstNegative", [[[1, -2]], [[1]]], "class Solution:\n    def firstNegative(self, a): return next((x for x in a if x < 0), None)", ["class Solution:\n    def firstNegative(self, a): return -2"]),
    ("text", "shout", [["a\nb"], ["é\"'"]], "class Solution:\n    def shout(self, s: str) -> str: return s.upper() + '!'", ["class Solution:\n    def shout(self, s): return s.upper()"]),
    ("long list", "total", [[list(range(20000))], [[]]], "class Solution:\n    def total(self, a): return sum(a)", ["class Solution:\n    def total(self, a): return len(a)"]),
    ("plain function", "double", [[3], [5]], "def double(x): return 2 * x", ["def double(x): return x * x"]),
    ("three arguments", "clamp", [[5, 0, 3], [-1, 0, 3]], "class Solution:\n    def clamp(self, x: int, lo: int, hi: int) -> int: return max(lo, min(hi, x))", ["class Solution:\n    def clamp(self, x, lo, hi): return min(hi, x)"]),
]  # fmt: skip

NAMES_PARTED: dict[str, str] = {
    "os.read": "import os\na, b = map(int, os.read(0, 100).split())\nprint(a + b)",
    "open(0)": "a, b = map(int, open(0).read().split())\nprint(a + b)",
    "sys.stdin.buffer": "import sys\na, b = map(int, sys.stdin.buffer.read().split())\nprint(a + b)",
    "sys.stdout.buffer": "import sys\na, b = map(int, input().split())\nsys.stdout.buffer.write(str(a + b).encode())",
    "global": "n = 0\ndef add(x):\n    global n\n    n += x\nfor x in map(int, input().split()): add(x)\nprint(n)",
}
"""Right programs for ``sum`` that a judge accepts and LiveCodeBench's own grader does not."""


def rows() -> Iterator[tuple[dict[str, Any], str, list[str]]]:
    """``(row, right program, wrong programs)`` for each problem."""
    for number, (name, inputs, right, wrongs) in enumerate(STDIN):
        tests = [{"input": one, "output": _printed(right, one), "testtype": "stdin"} for one in inputs]
        yield row(f"s{number:02}", name, tests, None, ""), right, wrongs
    for number, (name, function, calls, right, wrongs) in enumerate(CALLS):
        tests = [
            {
                "input": "\n".join(map(json.dumps, call)),
                "output": json.dumps(_returned(right, function, call)),
                "testtype": "functional",
            }
            for call in calls
        ]
        starter = "class Solution:\n    ..." if "class Solution" in right else ""
        yield row(f"f{number:02}", name, tests, function, starter), right, wrongs


def row(
    identity: str, name: str, tests: list[dict[str, str]], function: str | None, starter: str
) -> dict[str, Any]:
    """A row as published: the first test public, the others private and packed."""
    return {
        "question_title": name,
        "question_content": f"Solve {name}.",
        "platform": "leetcode" if function else "atcoder",
        "question_id": identity,
        "contest_date": "2025-01-04T00:00:00",
        "starter_code": starter,
        "difficulty": "easy",
        "public_test_cases": json.dumps(tests[:1]),
        "private_test_cases": packed(tests[1:]),
        "metadata": json.dumps({"func_name": function} if function else {}),
    }


def packed(tests: Any) -> str:
    """Base64 of zlib of a pickle of the JSON text, as LiveCodeBench packs private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def _printed(program: str, text: str) -> str:
    out = io.StringIO()
    with mock.patch.object(sys, "stdin", io.StringIO(text)), contextlib.redirect_stdout(out):
        exec(compile(program, "right.py", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def _returned(program: str, function: str, call: list[Any]) -> Any:
    names: dict[str, Any] = {}
    exec("from typing import *\n" + program, names)
    owner = names["Solution"]() if "Solution" in names else None
    return (getattr(owner, function) if owner else names[function])(*call)
