"""The schemes study as a table: what was quoted, and what is described beside it.

    cd experiments/schemes && python written.py ../../studies/FOLDER [--limit 120]

Reads the folder that ``evolve-llm study study.toml`` made. Writes results/schemes.json, prints the table as Markdown.
Arms that have not run to their end are left out, and named.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolve_llm.analysis.compare import Contrast, Difference, compare
from evolve_llm.analysis.run import Run
from evolve_llm.study.places import run_folder
from evolve_llm.study.plan import read_plan
from evolve_llm.study.spec import read_study
from evolve_llm.study.table import came, results

HERE = Path(__file__).parent


def of(contrast: Contrast, metric: str, moment: str) -> Difference | None:
    """One number of a contrast."""
    return next((row.estimate for row in contrast.rows if (row.metric, row.moment) == (metric, moment)), None)


def described(difference: Difference | None) -> dict[str, Any] | None:
    """Without a test: value, difference and interval."""
    if difference is None:
        return None
    return {"value": difference.value, "difference": difference.difference, "interval": difference.interval}


def read(folder: Path, limit: int | None) -> dict[str, Any]:
    """The study's result with the numbers beside it, by arm."""
    study = read_study(HERE / "study.toml", limit)
    plan = read_plan(folder)
    assert plan is not None
    where, seeds = study.places[0], study.seeds
    done = tuple(
        arm
        for arm in study.arms
        if all(
            (path := run_folder(folder, where, arm, seed)).exists() and Run(path).complete for seed in seeds
        )
    )
    left_out = [arm.name for arm in study.arms if arm not in done]
    study = replace(study, arms=done)
    data = {**results(study, folder, plan), "left_out": left_out}
    runs = {arm.name: [Run(run_folder(folder, where, arm, seed)) for seed in seeds] for arm in study.arms}
    base = study.arms[0].name
    for row in data["contrasts"]:
        (contrast,) = compare([runs[base], runs[row["arm"]]]).contrasts
        row["came"] = came(row)
        row["end"] = described(of(contrast, "pass@1", "end"))
        row["answer"] = described(of(contrast, "answer", "end"))
        ends = next(one for one in contrast.rows if (one.metric, one.moment) == ("pass@1", "end"))
        row["tokens_at_the_end"] = ends.tokens
    return data


def main() -> None:
    """Write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int)
    chosen = parser.parse_args()
    data = read(chosen.folder, chosen.limit)
    (HERE / "results" / "schemes.json").write_text(
        json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    print("| arm | expected | at equal tokens | 95 % | p (Holm) | at the end | answers | tokens |")
    print("|---|---|---|---|---|---|---|---|")
    for row in data["contrasts"]:
        low, high = row["interval"] or (0.0, 0.0)
        p = "null" if row["null"] else f"{row['p_holm']:.3f}"
        share = row["tokens_at_the_end"][1] / row["tokens_at_the_end"][0]
        print(
            f"| `{row['arm']}` | {row['expected']} | {100 * row['difference']:+.1f} | {100 * low:+.1f} to "
            f"{100 * high:+.1f} | {p} | {100 * row['end']['difference']:+.1f} | "
            f"{100 * row['answer']['difference']:+.1f} | {share:.2f} |"
        )


if __name__ == "__main__":
    main()
