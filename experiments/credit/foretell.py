"""Fit the drift-selection model on one run of a fly, foretell others, run them, and say how far off it was.

    python experiments/credit/foretell.py --fly fly         # and --fly fly-hard; writes results/foretell-NAME.json

Needs torch (the fly in batches, ../fruit_fly/batched.py). Given again it resumes from the run directories below
``--runs``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "fruit_fly"))

from batched import batched_fly

from evolve_llm import Run, evolve
from evolve_llm.analysis.credit import credit
from evolve_llm.analysis.drift import Model, fit, predict
from evolve_llm.backends.base import Backend
from evolve_llm.backends.fly import SHIPPED

PROBLEMS = {"fly": "locks?size={}&seed={}", "fly-hard": "locks?size={}&seed={}&laziness=0.5"}
FITTED = (16, 4, 6)
OTHERS = ((8, 4, 6), (32, 4, 6), (16, 2, 6), (16, 1, 6), (16, 4, 10))
"""N, K and T."""


def measured(backend: Backend, problems: str, setting: tuple[int, int, int], folder: Path) -> Run:
    """One run of the fly. N, K and T are part of its directory's name, so that a killed study goes on."""
    n, k, t = setting
    out = folder / f"{n}-{k}-{t}"
    return evolve(problems, "fly", backend, population=n, parents=k, generations=t, out=out)


def shares(run: Run) -> dict[str, list[float]]:
    """The share of right members by generation, for each problem."""
    found = {}
    for problem, populations in run.populations(texts=False):
        found[problem.id] = [
            sum(one.correct for one in each.verdicts.values()) / len(each.verdicts) for each in populations
        ]
    return found


def row(model: Model, run: Run, setting: tuple[int, int, int]) -> dict[str, Any]:
    """Expected and measured pass@1 by generation, and the last difference with its interval over problems."""
    came = shares(run)
    expected = predict(model, *setting)
    actual = np.array([came[start.problem] for start in model.starts])
    off = actual - expected
    last = off[:, -1]
    spread = 1.96 * float(last.std(ddof=1)) / len(last) ** 0.5
    n, k, t = setting
    return {
        "N": n,
        "K": k,
        "T": t,
        "expected": [round(float(one), 3) for one in expected.mean(axis=0)],
        "measured": [round(float(one), 3) for one in actual.mean(axis=0)],
        "mean_absolute_error": round(float(np.abs(off.mean(axis=0)).mean()), 4),
        "last_less_expected": [round(float(last.mean()) + one, 4) for one in (0.0, -spread, spread)],
    }


def main() -> None:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fly", choices=sorted(PROBLEMS), default="fly")
    parser.add_argument("--size", type=int, default=120)
    parser.add_argument("--seed", type=int, default=77, help="of the problems")
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "evolve-llm-foretell")
    asked = parser.parse_args()
    begun = time.monotonic()
    folder = asked.runs / f"{asked.fly}-{asked.size}-{asked.seed}"
    problems = PROBLEMS[asked.fly].format(asked.size, asked.seed)
    backend = batched_fly(SHIPPED[asked.fly])
    base = measured(backend, problems, FITTED, folder)
    model = fit([base])
    rows: list[dict[str, Any]] = []
    for setting in (FITTED, *OTHERS):
        rows.append(row(model, measured(backend, problems, setting, folder), setting))
        print(json.dumps(rows[-1]), flush=True)
    found = credit([base]).plain()
    said = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "date": time.strftime("%Y-%m-%d"),
        "fly": asked.fly,
        "problems": problems,
        "seconds": round(time.monotonic() - begun),
        "rows": rows,
        "credit": {key: found[key] for key in ("children", "curve", "places")},
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    name = asked.fly if asked.seed == 77 else f"{asked.fly}-{asked.seed}"
    (results / f"foretell-{name}.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
