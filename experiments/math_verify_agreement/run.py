"""Our verdicts beside the expectations of Math-Verify's own tests, and the speed of both.

    git clone https://github.com/huggingface/Math-Verify
    python experiments/math_verify_agreement/run.py Math-Verify/tests

Writes results/agreement.json: agreement by form of the prediction, and each disagreement with the reason we give for
it (``reasons.json``, by module and line of the release named there). One without a reason is printed as unexplained.
Nothing of the test suite itself is kept but the first characters of a disagreement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from pairs import Pair, pairs

from evolve_llm.grading.math import grader
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.formats import final_boxes, stated

HERE = Path(__file__).parent


async def verdicts(found: list[Pair]) -> list[dict[str, Any]]:
    """Each pair with our verdict: boxed and bare predictions as the strict reading has them, prose by its last
    statement."""
    async with GradingPool(workers=2, deadline=20.0) as pool:
        rows = []
        for pair in found:
            reading = stated if pair.form == "prose" else final_boxes
            answer = reading(pair.prediction) or (pair.prediction if pair.form == "bare" else None)
            problem = Problem(pair.where, "?", "boxed", "math", pair.gold)
            verdict = await pool.grade(problem, answer)
            rows.append(
                {
                    "where": pair.where,
                    "form": pair.form,
                    "expected": pair.expected,
                    "ours": str(verdict.grade),
                    "rule": verdict.rule,
                    "agrees": verdict.correct == pair.expected,
                    "gold": pair.gold[:60],
                    "prediction": pair.prediction[-60:],
                }
            )
        return rows


def honest(count: int) -> list[tuple[str, str]]:
    """Answers as honest models write them, with their references: numbers, fractions, names, boxes, pairs."""
    rng, found = Random(0), []
    for index in range(count):
        n = rng.randrange(1_000_000)
        answer, reference = [
            (str(n), str(n)),
            (f"{n:,}", str(n)),
            (rf"\frac{{{n}}}{{7}}", f"{n}/7"),
            (f"x = {n}", str(n)),
            (rf"\boxed{{{n}}}", str(n)),
            (f"({n}, {index})", f"({n},{index})"),
            (f"{n}.50", f"{n}.5"),
            (rf"$\frac{{{n}}}{{2}}$", f"{n}/2"),
        ][index % 8]
        found.append((answer, reference))
    return found


def speed(count: int) -> dict[str, float]:
    """Honest answers a second: ours inline, and Math-Verify in process; the best of three each."""
    from math_verify import parse, verify

    cases = honest(count)

    def ours() -> int:
        return sum(bool((one := grader.quick(*case)) and one.correct) for case in cases)

    def theirs() -> int:
        return sum(
            bool(verify(parse(f"${gold}$"), parse(f"${answer}$"))) for answer, gold in cases[: count // 20]
        )

    rates = {}
    for name, work, size in (("evolve_llm", ours, count), ("math_verify", theirs, count // 20)):
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
        rates[name] = round(size / min(seconds))
    return rates


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", type=Path, help="the folder tests/ of a checkout of Math-Verify")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--answers", type=int, default=8_000, help="honest answers to time")
    given = parser.parse_args()
    reasons = json.loads((HERE / "reasons.json").read_text("utf-8"))
    rows = asyncio.run(verdicts(list(pairs(given.tests))))
    forms = Counter((row["form"], row["agrees"]) for row in rows)
    summary: dict[str, Any] = {
        form: {"pairs": forms[form, True] + forms[form, False], "agree": forms[form, True]}
        for form in ("boxed", "bare", "prose")
    }
    disagree = [{**row, "reason": reasons.get(row["where"], "")} for row in rows if not row["agrees"]]
    for row in disagree:
        print(f"{row['form']:5}  {row['where']:60}  {row['reason'] or 'UNEXPLAINED'}")
    strict = [row for row in rows if row["form"] != "prose"]
    share = sum(row["agrees"] for row in strict) / len(strict)
    argued = sum(row["agrees"] or row["where"] in reasons for row in strict) / len(strict)
    rates = speed(given.answers)
    print(f"boxed or bare: {share:.1%} of {len(strict)} agree, {argued:.1%} agree or are argued")
    print(f"answers a second: ours {rates['evolve_llm']:,}, Math-Verify in process {rates['math_verify']:,}")
    given.out.mkdir(exist_ok=True)
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "pairs": len(rows),
        "by_form": summary,
        "boxed_or_bare": {"agree": round(share, 4), "agree_or_argued": round(argued, 4)},
        "answers_a_second": rates,
        "disagreements": disagree,
    }
    (given.out / "agreement.json").write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
