"""Run every selection scheme on the fruit fly, and write one line a problem, seed and arm. DESIGN.md is the plan.

    python experiments/selection_schemes/run.py             # the study, then: analyse.py
    python experiments/selection_schemes/run.py --quick     # does it work? a few problems, a minute or two
    python experiments/selection_schemes/run.py --pilot     # the variance that DESIGN.md reckons with
    python experiments/selection_schemes/run.py --hard      # the arms again on fly-hard, then: ranks.py

Needs torch (the fly in batches, experiments/fruit_fly/batched.py). Given again it resumes: every run is a run
directory of the product, below ``--out``. Blocks of problems are run one after the other, each by all arms; no
block is begun after ``--minutes``. After each whole block the table is written.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "fruit_fly"))
sys.path.insert(0, str(Path(__file__).parent))

from evolve_llm_problems.locks import LAZINESS, load
from measures import row
from schemes import ARMS, BASELINE, IN_FULL, NULL, Arm

from evolve_llm import evolve
from evolve_llm.backends.fly import SHIPPED
from evolve_llm.nouns.problem import Problem

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Plan:
    """What is run: ``blocks`` blocks of ``size`` problems of one problem set, under each run seed, on a fly."""

    name: str
    problem_seed: int
    blocks: int
    size: int
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...] = ARMS
    fly: str = "fly"
    laziness: float = LAZINESS


_IN_PILOT = (BASELINE, NULL, "shared_prefix(16,4)")
STUDY = Plan("study", problem_seed=1000, blocks=18, size=20, seeds=(0,))
HARD = Plan("hard", problem_seed=1000, blocks=6, size=20, seeds=(0,), fly="fly-hard", laziness=0.5)
QUICK = Plan("quick", problem_seed=800, blocks=1, size=4, seeds=(0, 1))
PILOT = Plan(
    "pilot",
    problem_seed=900,
    blocks=1,
    size=40,
    seeds=(0, 1),
    arms=tuple(arm for arm in ARMS if arm.parents == IN_FULL and arm.scheme.name in _IN_PILOT),
)

COLUMNS = (
    *("K", "scheme", "seed", "block", "problem", "locks"),
    *("majority", "pass@N", "distinct", "ancestors", "failed", "truncated", "first", "pass@1 by generation"),
)


def block_of(plan: Plan, block: int) -> list[Problem]:
    """The problems of one block, as many of each number of locks; no question stands in two blocks."""
    everything = list(load(size=plan.blocks * plan.size, seed=plan.problem_seed, laziness=plan.laziness))
    return everything[block * plan.size : (block + 1) * plan.size]


def run_one(plan: Plan, arm: Arm, seed: int, block: int, out: Path) -> list[dict[str, Any]]:
    """One run of the product, or what is left of it, reduced to a line a problem."""
    from batched import batched_fly

    folder = out / plan.name / f"block{block}" / f"{arm.slug}-seed{seed}"
    fly = batched_fly(SHIPPED[plan.fly], threads=1)
    run = evolve(block_of(plan, block), "rsa", fly, seed=seed, out=folder, **arm.overrides)
    return [
        {
            "K": arm.parents,
            "scheme": arm.scheme.name,
            "seed": seed,
            "block": block,
            "problem": problem.id,
            "locks": problem.metadata["locks"],
            **row(populations),
        }
        for problem, populations in run.populations()
    ]


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """As a table that gzip holds: numbers to six digits; equal rows are equal bytes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in rows:
        shown = {**one, "pass@1 by generation": " ".join(f"{value:g}" for value in one["by generation"])}
        table.writerow(
            [f"{shown[name]:.6g}" if isinstance(shown[name], float) else shown[name] for name in COLUMNS]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def run_all(
    plan: Plan, out: Path, workers: int, minutes: float
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """After each block: how many are done, and the lines of all of them. Blocks of an earlier call count first."""
    started, rows = time.monotonic(), list[dict[str, Any]]()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for block in range(plan.blocks):
            if time.monotonic() - started > 60 * minutes:
                break
            jobs = [
                pool.submit(run_one, plan, arm, seed, block, out) for seed in plan.seeds for arm in plan.arms
            ]
            for job in jobs:
                rows += job.result()
            print(
                f"block {block + 1} of {plan.blocks}: {(time.monotonic() - started) / 60:.1f} minutes",
                flush=True,
            )
            yield block + 1, rows


def described(plan: Plan, blocks: int, seconds: float) -> dict[str, Any]:
    """What was run, where and when."""
    import torch

    lazy = "" if plan.laziness == LAZINESS else f"&laziness={plan.laziness:g}"
    return {
        "plan": plan.name,
        "fly": plan.fly,
        "problems": f"locks?seed={plan.problem_seed}{lazy}, the first {blocks * plan.size}",
        "blocks": blocks,
        "blocks planned": plan.blocks,
        "problems a block": plan.size,
        "run seeds": list(plan.seeds),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "deap": version("deap"),
        "seconds of this call": round(seconds),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")


def main(arguments: Sequence[str] | None = None) -> None:
    """One plan from beginning to end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_const", dest="plan", const=QUICK, default=STUDY)
    which.add_argument("--pilot", action="store_const", dest="plan", const=PILOT)
    which.add_argument("--hard", action="store_const", dest="plan", const=HARD)
    parser.add_argument(
        "--minutes", type=float, default=60, help="begin no block later than this (default 60)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each (default 2)")
    parser.add_argument("--out", type=Path, default=Path("runs/selection_schemes"))
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ResourceWarning)
    started = time.monotonic()
    folder = chosen.out / "quick" if chosen.plan is QUICK else RESULTS
    for blocks, rows in run_all(chosen.plan, chosen.out, chosen.workers, chosen.minutes):
        write(folder / f"{chosen.plan.name}.csv.gz", rows)
        settings = described(chosen.plan, blocks, time.monotonic() - started)
        (folder / f"{chosen.plan.name}.json").write_text(json.dumps(settings, indent=1) + "\n")
    print(f"{folder / chosen.plan.name}.csv.gz is written; next: analyse.py")


if __name__ == "__main__":
    main()
