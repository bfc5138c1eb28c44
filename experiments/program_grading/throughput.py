"""How fast programs are graded here, and what the tries of the hostile corpus come to.

``python experiments/program_grading/throughput.py`` writes ``results/throughput.json``: seconds to start a sandbox, to
run a test in one, and for 200 programs of 20 tests each with one and two at once, under each of the two readings.
``--hostile N`` runs the hostile corpus N times, while every core is kept busy, and says how often verdicts differ.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evolve_llm_problems.code.grader import CodeGrader
from evolve_llm_problems.code.judge import Test, judge
from evolve_llm_problems.code.sandboxed import Limits, Program, workers
from hostile import CALL, STDIN

RIGHT = "import sys\nn, *a = map(int, sys.stdin.read().split())\nprint(sum(a))\n"
RESULTS = Path(__file__).parent / "results"


def throughput(programs: int, count: int) -> dict[str, Any]:
    """Seconds and programs a second, all tests passed."""
    tests = [Test(f"3\n{i} {i} {i}\n", str(3 * i)) for i in range(count)]
    starts, singles = [], []
    for _ in range(20):
        begun = time.monotonic()
        with Program(RIGHT) as program:
            starts.append(time.monotonic() - begun)
            program.script(tests[0].input)
            begun = time.monotonic()
            program.script(tests[0].input)
            singles.append(time.monotonic() - begun)

    def one(readings: tuple[str, ...]) -> None:
        with Program(RIGHT) as program:
            results = judge(program, tests, readings)
        assert all(result.passed for done in results.values() for result in done)

    found: dict[str, Any] = {
        "sandbox_start_seconds": round(statistics.median(starts), 4),
        "test_seconds": round(statistics.median(singles), 4),
        "programs": programs,
        "tests_each": count,
    }
    for at_once in (1, 2):
        for readings in (("script",), ("script", "lcb")):
            begun = time.monotonic()
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(one, [readings] * programs))
            seconds = time.monotonic() - begun
            name = f"{'+'.join(readings)}, {at_once} at once"
            found[name] = {"seconds": round(seconds, 1), "programs_a_second": round(programs / seconds, 2)}
    return found


def hostile(times: int) -> dict[str, Any]:
    """Verdicts on the hostile corpus, every core kept busy: passes, ungraded ones, and how many changed."""
    grader = CodeGrader("script", Limits(cpu=1.0, wall=3.0))
    rows = {"input": "123 456\n", "output": "579\n", "testtype": "stdin"}
    calls = {"input": "123\n456", "output": "579", "testtype": "functional"}
    work = [(name, code, {"tests": [rows]}) for name, code in STDIN.items()]
    work += [(name, code, {"tests": [calls], "name": "total"}) for name, code in CALL.items()]

    def one(item: tuple[str, str, dict[str, Any]]) -> str:
        verdict = grader.grade(item[1], item[2])
        return f"{verdict.grade} {verdict.rule}"

    burners = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(workers())]
    for burner in burners:
        burner.start()
    begun = time.monotonic()
    try:
        with ThreadPoolExecutor(workers()) as pool:
            rounds = [list(pool.map(one, work)) for _ in range(times)]
    finally:
        for burner in burners:
            burner.kill()
    different = [item[0] for number, item in enumerate(work) if len({row[number] for row in rounds}) > 1]
    return {
        "programs": len(work),
        "rounds": times,
        "passed": sum(said.startswith("correct") for row in rounds for said in row),
        "ungraded": sum(said.startswith("ungraded") for row in rounds for said in row),
        "different_between_rounds": different,
        "grades_different": sum(len({row[n].split()[0] for row in rounds}) > 1 for n in range(len(work))),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _burn() -> None:
    while True:
        pass


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--tests", type=int, default=20)
    parser.add_argument("--hostile", type=int, default=0)
    asked = parser.parse_args()
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    if asked.hostile:
        name, found = "hostile", hostile(asked.hostile)
    else:
        name, found = "throughput", throughput(asked.programs, asked.tests)
    RESULTS.mkdir(exist_ok=True)
    said = json.dumps({"machine": machine, "date": time.strftime("%Y-%m-%d"), **found}, indent=2)
    (RESULTS / f"{name}.json").write_text(said + "\n", encoding="utf-8")
    print(said)


if __name__ == "__main__":
    main()
