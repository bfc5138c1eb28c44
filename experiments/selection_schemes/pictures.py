"""The two pictures of the study: a forest plot of the differences, and pass@1 by generation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from schemes import BASELINE, NULL

mpl.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[2] / "docs" / "img"


def draw(found: Mapping[str, Any], folder: Path) -> None:
    """``forest.png`` and ``curves.png`` in the folder, and the first of them among the pages' images."""
    forest(found, [folder / "forest.png", DOCS / "selection_study.png"])
    by_generation(found, folder / "curves.png")


def _caption(found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    seeds = len(settings["run seeds"])
    planned = settings["blocks planned"] * settings["problems a block"]
    problems = f"{found['problems']}" + f" of {planned} planned" * (found["problems"] < planned)
    return (
        f"{problems} problems, {seeds} run seed{'s' * (seeds > 1)}, N=16, T=6; the fruit fly; "
        f"{settings['machine']}, {settings['date']}"
    )


def forest(found: Mapping[str, Any], paths: list[Path]) -> None:
    """Differences to uniform in points with 95 % intervals, pass@1 and majority."""
    ks = sorted({one["K"] for one in found["arms"]}, reverse=True)
    order = [
        (k, name) for k in ks for name in dict.fromkeys(o["scheme"] for o in found["arms"] if o["K"] == k)
    ]
    order = [key for key in order if key[1] != BASELINE]
    place = {key: -row - (0.6 if key[0] != ks[0] else 0) for row, key in enumerate(order)}
    figure, axes = plt.subplots(
        1, 2, figsize=(10, 0.36 * len(order) + 1.6), sharey=True, layout="constrained"
    )
    for ax, outcome in zip(axes, ("pass@1", "majority"), strict=True):
        for one in found["contrasts"][outcome]:
            low, high = one["interval"] or (0.0, 0.0)
            y = place[one["K"], one["scheme"]]
            null = one["scheme"] == NULL
            colour = "grey" if null else "C0" if one["p (Holm)"] >= 0.05 else "C3"
            ax.plot([100 * low, 100 * high], [y, y], color=colour, lw=2)
            ax.plot(100 * one["difference"], y, "o", color=colour, ms=6, mfc="white" if null else colour)
        ax.axvline(0, color="black", lw=0.8)
        ax.axvspan(-2, 2, color="black", alpha=0.06, lw=0)
        ax.set(xlabel=f"{outcome} of the last generation, points against uniform")
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(list(place.values()), [f"{name}, K={k}" for k, name in place])
    figure.suptitle(
        "95 % intervals over problems; red: p < .05 after Holm; grey: true difference 0; band: ±2 points\n"
        + _caption(found),
        fontsize=9,
    )
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    plt.close(figure)


def by_generation(found: Mapping[str, Any], path: Path) -> None:
    """Mean pass@1 of every arm."""
    ks = sorted({one["K"] for one in found["arms"]}, reverse=True)
    figure, axes = plt.subplots(1, len(ks), figsize=(5.2 * len(ks), 4.4), sharey=True, layout="constrained")
    for ax, k in zip(axes if len(ks) > 1 else [axes], ks, strict=True):
        for one in found["arms"]:
            if one["K"] == k and one["scheme"] != NULL:
                plain = one["scheme"] == BASELINE
                style = {"color": "black", "lw": 2.5} if plain else {"lw": 1.3}
                ax.plot(one["by generation"], label=one["scheme"], marker="." if plain else "", **style)
        ax.set(xlabel="generation", title=f"K={k}")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    figure.axes[0].set_ylabel("pass@1")
    figure.suptitle(_caption(found), fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
