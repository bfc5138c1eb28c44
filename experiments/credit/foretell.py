"""Fit the drift-selection model on one run of the fly, foretell others, run them, and say how far off it was."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from evolve_llm import Run, evolve
from evolve_llm.analysis.credit import credit
from evolve_llm.analysis.drift import fit, predictions

FITTED = (16, 4)
OTHERS = ((8, 4), (16, 2))
GENERATIONS = 6


def measured(size: int, n: int, k: int, folder: Path) -> Run:
    """One run of the fly. N and K are part of its directory's name, so that a killed study goes on."""
    problems = f"locks?size={size}&seed=77"
    return evolve(
        problems, "fly", "fly", population=n, parents=k, generations=GENERATIONS, out=folder / f"{n}-{k}"
    )


def main() -> None:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "evolve-llm-foretell")
    asked = parser.parse_args()
    begun = time.monotonic()
    base = measured(asked.size, *FITTED, asked.runs)
    model = fit([base])
    rows: list[dict[str, Any]] = []
    for n, k in (FITTED, *OTHERS):
        (expected,) = predictions(model, [(n, k, GENERATIONS)])
        came = [row.plain()["pass@1"] for row in measured(asked.size, n, k, asked.runs).generations()]
        off = [abs(a - b) for a, b in zip(expected.pass_1, came, strict=True)]
        rows.append(
            {"N": n, "K": k, "expected": [round(one, 3) for one in expected.pass_1],
             "measured": [round(one, 3) for one in came], "mean_absolute_error": round(sum(off) / len(off), 4)}
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    found = credit([base]).plain()
    said = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "date": time.strftime("%Y-%m-%d"),
        "problems": asked.size,
        "seconds": round(time.monotonic() - begun),
        "rows": rows,
        "credit": {key: found[key] for key in ("children", "curve", "places")},
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "foretell.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
