"""Does selection do what the theory of selection says? Our operators against closed forms.

    python experiments/selection_theory/run.py           # 75 s of one core
    python experiments/selection_theory/run.py --seed 2  # other replicates
    python experiments/selection_theory/run.py --scale 4 # four times the replicates

Numbers go to ``results/selection_theory.json`` beside this file, the figure (which needs matplotlib) to
``docs/img/selection_theory.svg``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parent))

import simulate
import theory

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[2] / "docs" / "img" / "selection_theory.svg"
N, K, GENERATIONS = 16, 4, 20
VALUES = [float(N - place) for place in range(N)]  # place 0 is the best


def against(name: str, samples: Sequence[Sequence[float]], expected: Sequence[float]) -> dict[str, Any]:
    """Means of independent rows against what theory expects of each column.

    ``fits_constant``: a column that never varied fits where theory expects fewer than three exceptions in all
    rows (rule of three).
    """
    table = np.asarray(samples, dtype=float)
    means, errors = table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(len(table))
    varies = errors > 0
    scores = abs(means - expected)[varies] / errors[varies]
    return {
        "name": name,
        "replicates": len(table),
        "expected": [round(float(one), 5) for one in expected],
        "mean": [round(float(one), 5) for one in means],
        "half_width_95": [round(float(1.96 * one), 5) for one in errors],
        "compared": len(scores),
        "inside_95": int((scores < 1.96).sum()),
        "largest_z": round(float(scores.max()), 2) if len(scores) else 0.0,
        "fits_constant": bool((abs(means - expected)[~varies] * len(table) < 3).all()),
    }


def judge(rows: Sequence[dict[str, Any]]) -> float:
    """Give each row its verdict: whether all its means are inside intervals that hold together with 95 %.

    Bonferroni over every mean of the study. Means of one row of drift follow the same populations and are
    strongly correlated: one excursion is several means outside their single intervals.
    """
    limit = float(norm.ppf(1 - 0.05 / 2 / sum(row["compared"] for row in rows)))
    for row in rows:
        row["holds"] = row["fits_constant"] and row["largest_z"] < limit
    return limit


def copies(scale: int, seed: int) -> list[dict[str, Any]]:
    """Expected number of children of each rank."""
    temperature = 4.0
    cases: list[tuple[str, dict[str, Any], list[float], float]] = [
        (f"tournament {s}", {"operator": "tournament", "tournsize": s}, theory.tournament_copies(N, s), 1.0)
        for s in (2, 3, 5)
    ]
    cases += [
        (
            "tournament 2 as linear ranking",
            {"operator": "tournament", "tournsize": 2},
            theory.linear_ranking_copies(N, 2 - 1 / N),
            1.0,
        ),
        ("best of 4", {"operator": "best", "pool": 4}, theory.truncation_copies(N, 4), 1.0),
        ("roulette", {"operator": "roulette"}, theory.roulette_copies(VALUES), 1.0),
        ("roulette, minimised", {"operator": "roulette"}, theory.roulette_copies(VALUES), -1.0),
        ("stochastic universal", {"operator": "stochastic_universal"}, theory.roulette_copies(VALUES), 1.0),
        (
            "boltzmann",
            {"operator": "boltzmann", "temperature": temperature},
            theory.boltzmann_copies(VALUES, temperature),
            1.0,
        ),
    ]
    rows = []
    for name, select, expected, weight in cases:
        values = VALUES if weight > 0 else VALUES[::-1]  # place 0 stays the best
        rows.append(against(name, simulate.copies(select, values, 2000 * scale, seed, weight), expected))
    return rows


def takeovers(scale: int, seed: int) -> list[dict[str, Any]]:
    """Mean takeover time of one best member, where it takes over."""
    rows = []
    for n, s in [(64, 2), (64, 3), (64, 5), (64, 8), (16, 2), (16, 3)]:
        times = simulate.takeover_times(n, s, (250 if n == 64 else 1000) * scale, seed)
        won = [[float(one)] for one in times if one is not None]
        chance, mean = theory.takeover(n, s)
        rows.append(
            {
                "n": n,
                "tournsize": s,
                "goldberg_deb": round(theory.goldberg_deb(n, s), 3),
                "chance": against(
                    f"chance of takeover, N={n}, s={s}", [[float(one is not None)] for one in times], [chance]
                ),
                "time": against(f"takeover time, N={n}, s={s}", won, [mean]),
            }
        )
    return rows


def drifts(scale: int, seed: int) -> list[dict[str, Any]]:
    """Heterozygosity when children copy one of their K parents, and nobody is fitter than anybody."""
    prefix = {"operator": "shared_prefix", "g": 4, "d": 3}
    cases: list[tuple[str, int, dict[str, Any], float]] = [
        ("uniform, K=1 (Wright–Fisher)", 1, {"operator": "uniform"}, theory.uniform_coalescence(N)),
        ("uniform, K=4", K, {"operator": "uniform"}, theory.uniform_coalescence(N)),
        ("balanced, K=4", K, {"operator": "balanced"}, theory.balanced_coalescence(N, K)),
        ("balanced, K=2", 2, {"operator": "balanced"}, theory.balanced_coalescence(N, 2)),
        ("balanced, K=1", 1, {"operator": "balanced"}, 0.0),
        ("shared_prefix, K=4, g=4, d=3", K, prefix, theory.shared_prefix_coalescence(N, K, 4, 3)),
    ]
    rows = []
    for name, k, select, coalescence in cases:
        samples = simulate.heterozygosities(N, k, select, GENERATIONS, 1500 * scale, seed)
        expected = [theory.heterozygosity(N, coalescence, t) for t in range(GENERATIONS + 1)]
        row = against(name, samples, expected)
        row["coalescence"] = round(coalescence, 5)
        row["effective_size"] = round(1 / coalescence, 2) if coalescence else None
        rows.append(row)
    return rows


def draw(results: dict[str, Any], path: Path) -> None:
    """The three comparisons side by side: lines are theory, points the operators with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "evolve-llm"  # equal results are equal files
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    shown = ("tournament 2", "tournament 5", "best of 4", "roulette", "boltzmann")
    for row in results["copies"]:
        if row["name"] in shown:
            ranks = range(1, N + 1)
            (line,) = left.plot(ranks, row["expected"], lw=1.2)
            left.errorbar(
                ranks,
                row["mean"],
                row["half_width_95"],
                fmt="o",
                ms=3.5,
                color=line.get_color(),
                label=row["name"],
            )
    left.set(xlabel="rank (1 is the fittest)", ylabel="children", title=f"Expected copies, N = {N}, K = 1")
    left.legend(frameon=False)

    large = [row for row in results["takeover"] if row["n"] == 64]
    sizes = [row["tournsize"] for row in large]
    curve = np.linspace(1.9, 8.3, 60)
    middle.plot(
        curve, [theory.goldberg_deb(64, s) for s in curve], "--", color="0.5", label="Goldberg and Deb"
    )
    middle.plot(
        sizes,
        [row["time"]["expected"][0] for row in large],
        "_",
        ms=16,
        mew=2,
        color="k",
        label="exact Markov chain",
    )
    middle.errorbar(
        sizes,
        [row["time"]["mean"][0] for row in large],
        [row["time"]["half_width_95"][0] for row in large],
        fmt="o",
        ms=4,
        color="C3",
        label="tournament",
    )
    middle.set(
        xlabel="tournament size", ylabel="generations", title="Takeover time of one best member, N = 64"
    )
    middle.set_ylim(bottom=0)
    middle.legend(frameon=False)

    for row in results["drift"]:
        generations = range(GENERATIONS + 1)
        (line,) = right.plot(generations, row["expected"], lw=1.2)
        right.errorbar(
            generations,
            row["mean"],
            row["half_width_95"],
            fmt="o",
            ms=3,
            color=line.get_color(),
            label=row["name"],
        )
    right.set(xlabel="generation", ylabel="heterozygosity", title=f"Drift without fitness, N = {N}")
    right.set_ylim(0, 1)
    right.set_xticks(range(0, GENERATIONS + 1, 5))
    right.legend(frameon=False, fontsize=8)
    figure.suptitle(
        "Lines: theory. Points: the operators, planned by the engine, with 95 % intervals.", fontsize=10
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def machine() -> str:
    """The processor, as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, DEAP {version('deap')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", type=int, default=1, help="multiply the replicates")
    parser.add_argument("--seed", type=int, default=20260101, help="other replicates")
    options = parser.parse_args()
    scale, seed = options.scale, options.seed
    begun = time.perf_counter()
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "seed": seed,
        "copies": copies(scale, seed),
        "takeover": takeovers(scale, seed),
        "drift": drifts(scale, seed),
    }
    rows = [*results["copies"], *results["drift"]]
    for row in results["takeover"]:
        rows += [row["time"], row["chance"]]
    limit = judge(rows)
    results["limit_z"] = round(limit, 2)
    results["seconds"] = round(time.perf_counter() - begun)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "selection_theory.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    draw(results, FIGURE)
    for row in rows:
        inside = f"{row['inside_95']} of {row['compared']}"
        verdict = "holds" if row["holds"] else "DOES NOT HOLD"
        print(
            f"{row['name']:34} inside 95 %: {inside:9} largest |z| {row['largest_z']:4} of {limit:.2f}  {verdict}"
        )


if __name__ == "__main__":
    main()
