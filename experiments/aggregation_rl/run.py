"""Train every arm, evaluate it, and judge the claims: ``python experiments/aggregation_rl/run.py``.

Trainings and runs lie under ``--runs``: what was interrupted goes on with the same command, and what is complete is not
done again. ``--part I/N`` does a share of the trainings and evaluations, for N processes; without it everything is
done, and results/results.json is written. ``--quick`` is a smoke run whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arms import ARMS, SEEDS, TEST, Crossed, batched_fly, machine, recipe_of, reference_run

from evolve_llm import Run, evolve
from evolve_llm.analysis.stats import ratio_interval
from evolve_llm.train.dataset import training_set
from evolve_llm.train.formats import write
from evolve_llm.train.measuring import Metrics
from evolve_llm.train.training import train

HERE = Path(__file__).parent
SHAPE: dict[str, Any] = {"population": 16, "parents": 4, "generations": 6, "seed": 2026}
COLLAPSED = 0.03  # entropy of standard replies, in nats a token


def trained(runs: Path, name: str, seed: int, steps: int) -> Path:
    """The folder of a trained arm. Others that need its training set find it made."""
    data, out = runs / f"set-{name}", runs / f"{name}-{seed}"
    if not (data / "card.json").is_file():
        write(training_set(reference_run(runs).path, recipe_of(ARMS[name])), data, ["jsonl"])
    train(data, "fly", out, ARMS[name].settings(seed, steps))
    return out


def evaluated(runs: Path, name: str, weights: Path | None, test: str) -> tuple[Run, Run | None]:
    """RSA on the test problems, and RSA of a trained model from the reference's generation 0."""
    own = evolve(test, "fly", batched_fly(weights), out=runs / f"test-{name}", **SHAPE)
    if weights is None:
        return own, None
    crossed = Crossed(batched_fly(), batched_fly(weights))
    return own, evolve(test, "fly", crossed, out=runs / f"cross-{name}", **SHAPE)


def ends(run: Run) -> list[float]:
    """The share of right members in the last generation, by problem."""
    return [
        statistics.fmean(stored[-1].verdicts[one.uid].correct for one in stored[-1].members)
        for _, stored in run.populations(texts=False)
    ]


def curve(run: Run) -> dict[str, list[float]]:
    """By generation."""
    rows = [row.plain() for row in run.generations()]
    names = ("pass@1", "pass@N", "majority", "distinct")
    return {name: [round(float(row[name]), 4) for row in rows] for name in names if name in rows[0]}


def difference(arm: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The paired difference of two arms, each given by training seed and problem; seeds are averaged first."""
    means = [[statistics.fmean(seeds) for seeds in zip(*some, strict=True)] for some in (arm, other)]
    by_problem = [a - b for a, b in zip(*means, strict=True)]
    interval = ratio_interval([(one, 1.0) for one in by_problem], bounds=(-1.0, 1.0))
    seeds = [
        statistics.fmean(some) - statistics.fmean(other[min(place, len(other) - 1)])
        for place, some in enumerate(arm)
    ]
    return {
        "mean": round(statistics.fmean(by_problem), 4),
        "interval": interval and [round(one, 4) for one in interval],
        "seeds": [round(one, 4) for one in seeds],
    }


def judged(found: dict[str, Any], wanted: int) -> str:
    """Whether a difference lies on the wanted side of 0."""
    low, high = found["interval"] or (-1.0, 1.0)
    if low > 0 or high < 0:
        return "holds" if (low > 0) == (wanted > 0) else "does not hold"
    return "open"


def report(runs: Path, seeds: Sequence[int], test: str) -> dict[str, Any]:
    """Everything that PREREGISTRATION.md asks for, from runs that are complete."""
    reference, _ = evaluated(runs, "reference", None, test)
    finals: dict[str, list[list[float]]] = {"reference": [ends(reference)]}
    arms: dict[str, Any] = {"reference": {"curves": [curve(reference)]}}
    for name in ARMS:
        pairs = [evaluated(runs, f"{name}-{seed}", runs / f"{name}-{seed}", test) for seed in seeds]
        finals[name] = [ends(own) for own, _ in pairs]
        crossed = [ends(cross) for _, cross in pairs if cross is not None]
        lines = [Metrics(runs / f"{name}-{seed}").read() for seed in seeds]
        arms[name] = {
            "curves": [curve(own) for own, _ in pairs],
            "cross_end": [round(statistics.fmean(one), 4) for one in crossed],
            "cross_less_reference": difference(crossed, finals["reference"]),
            "training": [training(some) for some in lines],
        }
    claims = {}
    for label, arm, other, wanted in (
        ("a: standard below the reference", "standard", "reference", -1),
        ("b: paper above standard", "paper", "standard", 1),
        ("b: later above standard", "later", "standard", 1),
        ("c: paper above the reference", "paper", "reference", 1),
        ("c: later above the reference", "later", "reference", 1),
    ):
        found = difference(finals[arm], finals[other])
        claims[label] = {**found, "verdict": judged(found, wanted)}
    return {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "arms": arms, "claims": claims}


def training(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first and the last ten steps of a training."""
    found: dict[str, Any] = {"seconds": round(sum(line["seconds"] for line in lines))}
    for part, some in (("first", lines[:10]), ("last", lines[-10:])):
        for name in ("reward", "entropy", "zero_variance"):
            for kind in ("standard", "aggregation"):
                values = [line[f"{name}/{kind}"] for line in some if line.get(f"{name}/{kind}") is not None]
                if values:
                    found[f"{name}/{kind}/{part}"] = round(statistics.fmean(values), 4)
    found["collapsed"] = found["entropy/standard/last"] < COLLAPSED
    return found


def main() -> None:
    """Train, evaluate, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/aggregation_rl"))
    parser.add_argument("--part", default="")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    runs = asked.runs / "quick" if asked.quick else asked.runs
    seeds, steps = (SEEDS[:1], 2) if asked.quick else (SEEDS, 50)
    test = TEST.replace("size=200", "size=8") if asked.quick else TEST
    part, parts = (int(one) for one in asked.part.split("/")) if asked.part else (0, 1)
    for number, (seed, name) in enumerate((seed, name) for seed in seeds for name in ARMS):
        if number % parts == part:
            out = trained(runs, name, seed, steps)
            evaluated(runs, f"{name}-{seed}", out, test)
            print(name, seed, "done", flush=True)
    if asked.part:
        return
    said = report(runs, seeds, test)
    print(json.dumps(said["claims"], indent=1))
    if not asked.quick:
        (HERE / "results" / "results.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
