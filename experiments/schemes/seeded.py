"""Does a larger first generation, of which the best are kept, help RSA at equal tokens? On the fly.

``PYTHONPATH=experiments/paper_claims python experiments/schemes/seeded.py`` writes ``results/seeded.json``. README.md
says what was expected.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from claims_verdicts import own_verdicts

from evolve_llm import Run, evolve
from evolve_llm.analysis.compare import Contrast, compare

ARMS: dict[str, dict[str, Any]] = {
    "rsa": {"evaluate": own_verdicts, "finish": "majority"},
    "rsa-best": {"evaluate": own_verdicts, "finish": "best"},
    "seeded": {"evaluate": own_verdicts, "finish": "best", "initial": 64, "truncate": "plus"},
    "chosen": {
        "evaluate": own_verdicts, "finish": "best", "initial": 256, "truncate": "plus", "generations": 1,
    },
}  # fmt: skip


def made(folder: Path, problems: int, seeds: int) -> dict[str, list[Run]]:
    """The runs of every arm; requests that two of them share are asked once."""
    return {
        name: [
            evolve(
                f"locks?size={problems}", "fly", "fly", seed=seed, out=folder / f"{name}-{seed}",
                cache=folder / f"cache-{seed}.db", **changes,
            )
            for seed in range(seeds)
        ]
        for name, changes in ARMS.items()
    }  # fmt: skip


def table(contrast: Contrast) -> list[dict[str, Any]]:
    """The differences of one arm from the baseline, at the end, at equal tokens and after each generation."""
    return [
        {
            "metric": row.metric, "moment": row.moment, "generations": row.generations, "tokens": row.tokens,
            "baseline": round(one.baseline, 4), "value": round(one.value, 4), "difference": round(one.difference, 4),
            "interval": None if one.interval is None else [round(end, 4) for end in one.interval], "p": one.p,
        }
        for row in contrast.rows
        if (one := row.estimate) is not None
    ]  # fmt: skip


def main() -> None:
    """Run all arms, compare them with two baselines, and write what came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU"}
    found |= {"problems": given.problems, "seeds": given.seeds}
    with tempfile.TemporaryDirectory() as folder:
        runs = made(Path(folder), given.problems, given.seeds)
        for baseline, others in (("rsa-best", ("rsa", "seeded", "chosen")), ("chosen", ("seeded",))):
            result = compare([runs[name] for name in (baseline, *others)])
            for name, contrast in zip(others, result.contrasts, strict=True):
                found[f"{name} less {baseline}"] = table(contrast)
    text = json.dumps(found, indent=1)
    print(text)
    if given.problems == 120:
        (Path(__file__).parent / "results" / "seeded.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
