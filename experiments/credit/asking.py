"""Ask a sample of the fly's children again, without a parent and in other orders, and say what parents were worth."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from evolve_llm import evolve
from evolve_llm.analysis.credit import credit
from evolve_llm.session.asking import Asking

CHILDREN, REPEATS, SEED = 240, 6, 1


def main() -> None:
    """Make the run of the fly, unless it is there, ask, write. A killed study goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--children", type=int, default=CHILDREN)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "evolve-llm-foretell")
    asked = parser.parse_args()
    problems, out = f"locks?size={asked.size}&seed=77", asked.runs / "16-4"
    run = evolve(problems, "fly", "fly", population=16, parents=4, generations=6, out=out)
    begun = time.monotonic()
    asking = Asking(run.path, "fly", children=asked.children, repeats=asked.repeats, seed=asked.seed)
    plan = asking.plan()
    print(json.dumps(asdict(plan)), flush=True)
    answered = asyncio.run(asking.carry_out())
    said = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - begun),
        "seed": asked.seed,
        "repeats": asked.repeats,
        "plan": asdict(plan),
        "cannot_be_made_again": asking.inexact,
        **asdict(answered),
        "stored_places": asdict(credit([run]))["places"],
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "asking.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
