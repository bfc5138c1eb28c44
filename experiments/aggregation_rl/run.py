"""Train every arm, evaluate it, and judge the claims: ``python experiments/aggregation_rl/run.py [--fly fly-hard]``.

Trainings and runs lie under ``--runs``: what was interrupted goes on with the same command, and what is complete is not
done again. ``--part I/N`` does a share of the trainings and evaluations, for N processes; without it everything is
done, and results/FLY/results.json is written; ``--report`` writes it from what is complete so far. ``--arms`` does some
of the arms alone. ``--quick`` is a smoke run whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arms import ARMS, FLIES, SEEDS, Crossed, Fly, Tuning, batched_fly, machine, trained
from rl_measures import at_tokens, curve, difference, ends, judged, reading, training

from evolve_llm import Run, evolve
from evolve_llm.train.measuring import Metrics

SHAPE: dict[str, Any] = {"population": 16, "parents": 4, "generations": 6, "seed": 2026}


def evaluated(fly: Fly, runs: Path, name: str) -> Run:
    """RSA on the test problems."""
    weights = fly.weights if name == "reference" else runs / name
    return evolve(fly.test, "fly", batched_fly(weights), out=runs / f"test-{name}", **SHAPE)


def complete(out: Path) -> bool:
    """Whether a run is there and done."""
    return (out / "run.json").is_file() and Run(out).complete


def crossed(fly: Fly, runs: Path, name: str) -> Run:
    """RSA of a trained model from the reference's generation 0."""
    both = Crossed(batched_fly(fly.weights), batched_fly(runs / name))
    return evolve(fly.test, "fly", both, out=runs / f"cross-{name}", **SHAPE)


def claims(finals: dict[str, list[list[float]]], arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The claims of the preregistration, judged on what every arm reached, by training seed and problem."""
    others = [name for name in arms if name != "standard"]
    asked = [("a: standard below the reference", "standard", "reference", -1)]
    asked += [(f"b: {name} above standard", name, "standard", 1) for name in others]
    asked += [(f"c: {name} above the reference", name, "reference", 1) for name in others]
    said = {}
    for label, arm, other, wanted in asked:
        if arm in finals and other in finals:
            found = difference(finals[arm], finals[other])
            said[label] = {**found, "verdict": judged(found, wanted)}
    return said


def report(fly: Fly, runs: Path, arms: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Everything that the preregistration asks for, from the runs that are complete."""
    own: dict[str, list[Run]] = {"reference": [evaluated(fly, runs, "reference")]}
    told: dict[str, Any] = {
        "reference": {"curves": [curve(own["reference"][0])], "reading": [reading(own["reference"][0])]}
    }
    for name in arms:
        had = [seed for seed in seeds if complete(runs / f"test-{name}-{seed}")]
        if not had:
            continue
        own[name] = [Run(runs / f"test-{name}-{seed}") for seed in had]
        lines = [Metrics(runs / f"{name}-{seed}").read() for seed in had]
        told[name] = {
            "seeds": had,
            "curves": [curve(run) for run in own[name]],
            "reading": [reading(run) for run in own[name]],
            "training": [training(some) for some in lines],
        }
        crosses = [seed for seed in had if complete(runs / f"cross-{name}-{seed}")]
        if crosses:
            cross = [ends(Run(runs / f"cross-{name}-{seed}")) for seed in crosses]
            told[name] |= {
                "cross_seeds": crosses,
                "cross_end": [round(statistics.fmean(one), 4) for one in cross],
                "cross_less_reference": difference(cross, [ends(own["reference"][0])]),
            }
    finals = {name: [ends(run) for run in some] for name, some in own.items()}
    budget = min(one["tokens"][-1] for some in told.values() for one in some["curves"])
    equal = {name: [at_tokens(run, budget) for run in some] for name, some in own.items()}
    return {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "arms": told,
        "claims": claims(finals, arms),
        "equal_tokens": {
            "tokens": budget,
            "pass@1": {n: [round(statistics.fmean(one), 4) for one in some] for n, some in equal.items()},
            "claims": claims(equal, arms),
        },
    }


def quick(fly: Fly) -> Fly:
    """The same with eight problems of each kind."""
    fewer = {
        name: getattr(fly, name).replace("size=400", "size=24").replace("size=200", "size=8")
        for name in ("train", "test")
    }
    return dataclasses.replace(fly, **fewer)


def main() -> None:
    """Train, evaluate, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fly", choices=FLIES, default="fly")
    parser.add_argument("--runs", type=Path, default=Path("runs/aggregation_rl"))
    parser.add_argument("--arms", default="", help="some of the arms, with commas between")
    parser.add_argument("--part", default="")
    parser.add_argument("--report", action="store_true", help="of what is complete, without doing more")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    fly, seeds = FLIES[asked.fly], SEEDS
    runs = fly.runs(asked.runs)
    if asked.quick:
        fly, runs, seeds, tuning = quick(fly), runs / "quick", SEEDS[:1], Tuning(steps=2)
    else:
        tuning = fly.tuning()
    arms = asked.arms.split(",") if asked.arms else fly.arms
    part, parts = (int(one) for one in asked.part.split("/")) if asked.part else (0, 1)
    mine = [(seed, name) for seed in seeds for name in arms][part::parts]
    mine = [] if asked.report else mine
    for seed, name in mine:
        trained(fly, runs, name, runs / f"{name}-{seed}", ARMS[name].settings(seed, tuning))
        evaluated(fly, runs, f"{name}-{seed}")
        print(name, seed, "done", flush=True)
    for seed, name in mine:
        crossed(fly, runs, f"{name}-{seed}")
    if asked.part:
        return
    said = report(fly, runs, arms, seeds)
    print(json.dumps({**said["claims"], "equal_tokens": said["equal_tokens"]}, indent=1))
    if not asked.quick and tuple(arms) == fly.arms:
        fly.results.mkdir(parents=True, exist_ok=True)
        (fly.results / "results.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
