"""The arms with 64 replies to a prompt, on a GPU: ``python experiments/aggregation_rl/on_a_gpu.py [--minutes 15]``.

It needs one GPU, the extra ``train``, and nothing from a network: the harder fly, its problems and the sweep's settings
lie in this repository. A step has 768 chains where run.py has 144. It trains one seed of every arm in turn, so far as
the minutes reach, evaluates each, and writes results/gpu.json with the GPU's name. Trainings and runs lie under
``--runs`` and are gone on with. ``--quick`` is a smoke run, on a CPU too, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import warnings
from pathlib import Path

from arms import ARMS, FLIES, RESULTS, Tuning, machine, trained
from run import evaluated, quick, report

from evolve_llm.train.settings import TrainSettings

WIDER = {
    "standard": {"rollouts": 64},
    "paper": {"rollouts": 64},
    "later": {"rollouts": 64},
    "paragator": {"prompts": 8, "rollouts": 8},
    "population": {"prompts": 8, "rollouts": 4},
}
"""What makes 768 chains a step of an arm's 144."""


def settings_of(name: str, tuning: Tuning, *, small: bool = False) -> TrainSettings:
    """An arm's settings in float32; ``small`` leaves the chains as they are."""
    plain = ARMS[name].settings(0, tuning).model_dump(exclude_unset=True)
    return TrainSettings(**plain | ({} if small else WIDER[name]) | {"bf16": False})


def main() -> None:
    """Train and evaluate until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--runs", type=Path, default=Path("runs/aggregation_rl_gpu"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    import torch

    if not torch.cuda.is_available() and not asked.quick:
        raise SystemExit("there is no GPU here; run.py is the study for a CPU, and --quick tries this script")
    fly, runs = FLIES["fly-hard"], asked.runs
    tuning = fly.tuning()
    if asked.quick:
        fly, runs, tuning = quick(fly), runs / "quick", dataclasses.replace(tuning, steps=1)
    evaluated(fly, runs, "reference")
    begun, done = time.monotonic(), []
    for name in ARMS:
        if time.monotonic() - begun > 60 * asked.minutes:
            break
        trained(fly, runs, name, runs / f"{name}-0", settings_of(name, tuning, small=asked.quick))
        evaluated(fly, runs, f"{name}-0")
        done.append(name)
        print(name, "done", flush=True)
    said = report(fly, runs, done, (0,))
    said["machine"] = machine() | {"gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None}
    print(json.dumps(said["claims"], indent=1))
    if not asked.quick:
        (RESULTS / "gpu.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
