"""HumanEval's reference solutions, and mutants of them, through our grader and through plain Python.

``python experiments/program_grading/mutants.py HumanEval.jsonl.gz`` prints a JSON object: how many references pass, and
on how many mutants the grader and HumanEval's own check, executed as published in a process of its own, agree.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gzip
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evolve_llm_problems.code.grader import CodeGrader
from evolve_llm_problems.code.humaneval import problem
from evolve_llm_problems.code.sandboxed import Limits, workers

from evolve_llm.grading.base import Verdict

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mutants(source: str) -> Iterator[str]:
    """The source with one operator swapped, one number off by one, or one ``return`` giving None."""
    count = sum(1 for _ in ast.walk(ast.parse(source)))
    for place in range(count):
        tree = ast.parse(source)
        node: Any = next(one for number, one in enumerate(ast.walk(tree)) if number == place)
        if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
            node.op = SWAPS[type(node.op)]()
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            node.ops[0] = SWAPS[type(node.ops[0])]()
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            node.value += 1
        elif isinstance(node, ast.Return) and node.value is not None:
            node.value = ast.Constant(None)
        else:
            continue
        yield ast.unparse(tree)


def changed(row: dict[str, Any], mutant: str) -> list[str]:
    """The lines in which a mutant differs from its reference."""
    source = ast.unparse(ast.parse(row["prompt"] + row["canonical_solution"]))
    lines = difflib.unified_diff(source.split("\n"), mutant.split("\n"), n=0, lineterm="")
    return [line for line in lines if line[:1] in "-+" and line[:3] not in ("---", "+++")]


def published(program: str, row: dict[str, Any], seconds: float = 20.0) -> bool:
    """Whether HumanEval's check passes in plain Python: for mutants of trusted programs only."""
    source = f"{program}\n{row['test']}\ncheck({row['entry_point']})\n"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", source], capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> None:
    """Grade, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--mutants", type=int, default=330)
    asked = parser.parse_args()
    with gzip.open(asked.file) as file:
        rows = [json.loads(line) for line in file]
    grader = CodeGrader("script", Limits(cpu=6.0, wall=20.0))
    begun = time.monotonic()

    def reference(row: dict[str, Any]) -> bool:
        return grader.grade(row["prompt"] + row["canonical_solution"], problem(row, "row").reference).correct

    def both(work: tuple[dict[str, Any], str]) -> tuple[bool, Verdict]:
        row, program = work
        return published(program, row), grader.grade(program, problem(row, "row").reference)

    each = -(-asked.mutants // len(rows))
    made = [
        (row, one)
        for row in rows
        for one in list(mutants(row["prompt"] + row["canonical_solution"]))[::3][:each]
    ]
    with ThreadPoolExecutor(workers()) as pool:
        passed = sum(pool.map(reference, rows))
        seen = list(pool.map(both, made))
    print(
        json.dumps(
            {
                "references": len(rows),
                "references_passed": passed,
                "mutants": len(made),
                "its_own_check_fails": sum(not own for own, _ in seen),
                "we_fail": sum(not ours.correct for _, ours in seen),
                "disagree": [
                    {"task": row["task_id"], "change": changed(row, one), "its_own": own, "ours": ours.rule}
                    for (row, one), (own, ours) in zip(made, seen, strict=True)
                    if own != ours.correct
                ],
                "grades": Counter(str(ours.grade) for _, ours in seen),
                "seconds": round(time.monotonic() - begun, 1),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
