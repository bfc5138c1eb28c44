"""Decide the recipe of the harder fly on training problems: ``python experiments/aggregation_rl/sweep.py``.

Four settings, one training of arm `later` each, a training seed that the study does not use, and RSA on training
problems that are in no training set. What is kept is the setting with which `later` ends highest. Writes
results/fly-hard/sweep.json, from which ``run.py`` takes the settings of all arms. ``--also standard`` trains another
arm with all settings too, which decides nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

from arms import ARMS, FLIES, Fly, Tuning, batched_fly, machine, trained
from rl_measures import curve, difference, ends, training

from evolve_llm import Run, evolve
from evolve_llm.train.measuring import Metrics

GRID = ((5e-5, 0.1), (1e-4, 0.1), (2e-4, 0.1), (1e-4, 0.3))
"""Learning rate and beta."""
DECIDES = "later"
SEED = 7
STEPS = 40
SHAPE: dict[str, Any] = {"population": 16, "parents": 4, "generations": 6, "seed": 14}


def tried(fly: Fly, runs: Path, name: str, tuning: Tuning) -> tuple[Run, list[dict[str, Any]]]:
    """RSA of an arm with these settings on the problems of the sweep, and the metrics of its training."""
    label = f"sweep-{name}-{tuning.learning_rate:g}-{tuning.beta:g}"
    out = trained(fly, runs, name, runs / label, ARMS[name].settings(SEED, tuning))
    assert fly.sweep is not None
    run = evolve(fly.sweep, "fly", batched_fly(out), out=runs / f"test-{label}", **SHAPE)
    return run, Metrics(out).read()


def main() -> None:
    """Try every setting, keep the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/aggregation_rl"))
    parser.add_argument("--also", choices=ARMS)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    fly = FLIES["fly-hard"]
    runs = fly.runs(asked.runs)
    assert fly.sweep is not None
    reference = evolve(fly.sweep, "fly", batched_fly(fly.weights), out=runs / "test-sweep-reference", **SHAPE)
    before = [ends(reference)]
    said: dict[str, Any] = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "problems": fly.sweep}
    said["reference"] = curve(reference)
    found: list[dict[str, Any]] = []
    for name in [DECIDES, *([asked.also] if asked.also else [])]:
        for rate, beta in GRID:
            tuning = Tuning(rate, beta, STEPS)
            run, lines = tried(fly, runs, name, tuning)
            end = ends(run)
            found.append(
                {
                    "arm": name,
                    **dataclasses.asdict(tuning),
                    "end": round(statistics.fmean(end), 4),
                    "less_reference": difference([end], before),
                    "curve": curve(run),
                    "training": training(lines),
                }
            )
            print(json.dumps(found[-1]), flush=True)
    best = max((one for one in found if one["arm"] == DECIDES), key=lambda one: float(one["end"]))
    said |= {"settings": found, "chosen": {name: best[name] for name in ("learning_rate", "beta", "steps")}}
    fly.results.mkdir(parents=True, exist_ok=True)
    (fly.results / "sweep.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
