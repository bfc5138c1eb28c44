"""The claims of the RSA paper (arXiv 2509.26626), put to the fruit fly by the product's own presets.

    python experiments/paper_claims/run.py             # all: 46 minutes on two cores shared with other work
    python experiments/paper_claims/run.py --quick     # a smoke run, two minutes; its figures mean nothing
    python experiments/paper_claims/run.py --report    # no new runs: report on the runs that are complete
    python experiments/paper_claims/run.py --publish   # and renew the table and pictures of README.md and the docs

Runs are run directories under ``--out``: what is interrupted is resumed by the same command, and what is complete
is not run again. Numbers go to ``results/claims.json``, pictures to ``results/``. Needs the packages that
experiments/fruit_fly needs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import claims_measures as m
from claims_report import report
from claims_runs import PROBLEM_SEED, Arm, arms, folder, jobs, play
from claims_table import publish, table

from evolve_llm.analysis.run import Run

RESULTS = Path(__file__).parent / "results"
REDUCED = "claims_values.json"


def reduced(run: Run, budget: dict[str, float] | None = None) -> dict[str, Any]:
    """The numbers of a run by problem; kept beside it, since reading every chain takes a while.

    ``budget``: tokens a problem that a run of independent samples may spend for the entry ``equal tokens``.
    """
    kept = run.path / REDUCED
    if kept.exists() and kept.stat().st_mtime > Path(m.__file__).stat().st_mtime:
        return dict(json.loads(kept.read_text()))
    found: dict[str, Any] = {}
    for problem, populations in run.populations():
        if len(populations) > 1:
            found[problem.id] = m.by_generation(populations)
            continue
        first = populations[0]
        found[problem.id] = m.by_samples(first)
        if budget is not None:
            count = m.affordable(first.members, budget[problem.id])
            row = m.worth(first.members[:count], first.verdicts)
            found[problem.id]["equal tokens"] = [float(count), *row.values()]
    kept.write_text(json.dumps(found))
    return found


def job(out: Path, arm: Arm, seed: int, problems: int) -> tuple[str, int, float]:
    """One run to its end, in a process of its own."""
    began = time.time()
    run = play(out, arm, seed, problems)
    if arm.name != "voting":
        reduced(run)
    return arm.name, seed, time.time() - began


def machine() -> dict[str, str]:
    """What the numbers were made on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    return {
        "date": date.today().isoformat(),
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=200, help="a multiple of 4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", help="arms to run, by commas")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_claims"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="8 problems, one seed, results beside the runs")
    parser.add_argument("--report", action="store_true", help="only report on the runs that are complete")
    parser.add_argument(
        "--publish", action="store_true", help="renew the table in README.md and docs/claims.md"
    )
    given = parser.parse_args()
    if given.quick:
        given.problems, given.seeds, given.out = 8, 1, given.out.with_name(given.out.name + "_quick")
        given.results = given.out / "results"
    began = time.time()
    todo = [] if given.report else jobs(arms(), given.seeds)
    if given.only:
        todo = [(arm, seed) for arm, seed in todo if arm.name in given.only.split(",")]
    given.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(job, given.out, arm, seed, given.problems) for arm, seed in todo]
        for done in as_completed(waiting):
            name, seed, seconds = done.result()
            print(f"{time.time() - began:6.0f} s  {name}, seed {seed}: {seconds:.0f} s", flush=True)
    complete = {
        (arm.name, seed): Run(folder(given.out, arm, seed))
        for arm, seed in jobs(arms(), given.seeds)
        if (folder(given.out, arm, seed) / "run.json").exists()
    }
    complete = {key: run for key, run in complete.items() if run.complete}
    if ("rsa", 0) not in complete:
        raise SystemExit(
            f"the run of arm rsa with seed 0 is not complete in {given.out}: run it without --report"
        )
    about = {**machine(), "problems": given.problems, "problem seed": PROBLEM_SEED}
    if todo:
        about["seconds of this call"] = round(time.time() - began)
    claims = report(complete, given.results, about, reduced)
    print(table(claims))
    if given.publish and not given.quick:
        publish(claims, given.results)


if __name__ == "__main__":
    main()
