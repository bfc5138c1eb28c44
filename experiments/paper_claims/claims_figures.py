"""The pictures of ``claims.json``, in one style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0b6e6e", "#d1495b", "#edae49", "#5e548e", "#8d99ae", "#2b2d42")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "savefig.dpi": 130,
}


def panels(count: int, width: float = 4.6) -> tuple[Figure, Sequence[Axes]]:
    figure, axes = plt.subplots(1, count, figsize=(width * count, 3.7), layout="constrained", squeeze=False)
    return figure, axes[0]


def line(
    axes: Axes,
    rows: Sequence[dict[str, Any]],
    label: str,
    colour: str,
    x: Sequence[float] | None = None,
    style: str = "-",
) -> None:
    """Means with their 95 % band."""
    at = list(range(len(rows)) if x is None else x)
    axes.plot(at, [row["mean"] for row in rows], style, marker="o", color=colour, label=label)
    low = [(row["interval"] or [row["mean"]] * 2)[0] for row in rows]
    high = [(row["interval"] or [row["mean"]] * 2)[1] for row in rows]
    axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)


def rate(
    axes: Axes, title: str, xlabel: str = "generation", ylabel: str = "share of problems' chains right"
) -> None:
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, ylim=(0, 1))


def generations(claims: dict[str, Any], path: Path) -> None:
    figure, (left, right) = panels(2)
    rows = claims["generations"]
    line(left, rows["pass@N"], "pass@N: any of 16 is right", COLOURS[4])
    line(left, rows["pass@1"], "pass@1", COLOURS[0])
    rate(left, "Accuracy, N=16, K=4", ylabel="accuracy")
    left.legend(loc="lower right")
    line(right, rows["distinct"], "different answers among 16", COLOURS[3])
    line(right, rows["entropy"], "entropy of the answers, bits", COLOURS[2])
    right.set(title="Diversity", xlabel="generation", ylim=(0, None))
    right.legend()
    figure.savefig(path / "claims_generations.png")
    plt.close(figure)


def parents(claims: dict[str, Any], path: Path) -> None:
    figure, (left, right) = panels(2)
    for colour, (k, rows) in zip(COLOURS, claims["parents"]["pass@1"].items(), strict=False):
        line(left, rows, f"K={k}", colour)
    rate(left, "Parents per child", ylabel="pass@1")
    left.legend(loc="lower right")
    steps = claims["parents"]["steps"]
    for place, row in enumerate(steps.values()):
        low, high = row["interval"] or [row["mean"]] * 2
        right.errorbar(
            place,
            row["mean"],
            [[row["mean"] - low], [high - row["mean"]]],
            fmt="o",
            color=COLOURS[0],
            capsize=3,
        )
    right.axhline(0, color="#777777", lw=1)
    right.set_xticks(range(len(steps)), [f"K={name.replace(' - ', chr(10) + 'less ')}" for name in steps])
    right.set(title="What a larger K adds, at 96 calls", ylabel="difference in pass@1, 95 %")
    figure.savefig(path / "claims_parents.png")
    plt.close(figure)


def populations(claims: dict[str, Any], path: Path) -> None:
    figure, (left, right) = panels(2)
    for colour, (n, rows) in zip(COLOURS, claims["populations"]["pass@1"].items(), strict=False):
        line(left, rows, f"N={n}", colour)
        line(right, claims["populations"]["entropy"][n], f"N={n}", colour)
    rate(left, "Population size, K=4", ylabel="pass@1")
    left.legend(loc="lower right")
    right.set(
        title="How long answers stay mixed", xlabel="generation", ylabel="entropy, bits", ylim=(0, None)
    )
    figure.savefig(path / "claims_populations.png")
    plt.close(figure)


def opponents(claims: dict[str, Any], path: Path) -> None:
    figure, (left, right) = panels(2)
    rsa, samples = claims["generations"], claims["opponents"]["samples"]
    calls = [16 * (place + 1) for place in range(len(rsa["pass@1"]))]
    counts = [16, 32, 64, 96, 160, 256][: len(samples["majority"])]
    for axes, x, many in (
        (left, calls, counts),
        (
            right,
            [row["mean"] / 1000 for row in rsa["tokens"]],
            [row["mean"] / 1000 for row in samples["tokens"]],
        ),
    ):
        line(axes, rsa["pass@1"], "RSA, a random member", COLOURS[0], x)
        line(axes, samples["verdicts"], "best by own verdicts", COLOURS[1], many)
        line(axes, samples["rejection"], "rejection sampling", COLOURS[2], many)
        line(axes, samples["majority"], "majority voting", COLOURS[4], many)
    rate(left, "At equal calls", "calls a problem", "accuracy")
    rate(right, "At equal tokens", "thousand tokens a problem, prompts and chains", "accuracy")
    left.legend(loc="lower right")
    figure.savefig(path / "claims_opponents.png")
    plt.close(figure)


def frontier(claims: dict[str, Any], path: Path) -> None:
    figure, (left, right) = panels(2)
    found = claims["opponents"]["by calls and locks"]
    for colour, n in zip(COLOURS, ("1", "2", "3", "4"), strict=False):
        rows = [row[n] for row in found.values()]
        line(left, rows, f"{n} lock{'s' if n != '1' else ''}", colour, [int(calls) for calls in found])
    left.axhline(0, color="#777777", lw=1)
    left.set(
        title="RSA less best by own verdicts", xlabel="calls a problem", ylabel="difference in accuracy, 95 %"
    )
    left.legend(loc="upper left", ncols=2)
    if "base" in claims:
        line(right, claims["generations"]["pass@1"][:6], "trained to aggregate", COLOURS[0])
        line(right, claims["base"]["pass@1"], "never saw an aggregation prompt", COLOURS[1])
        right.legend(loc="upper left")
    rate(right, "Aggregation is a skill", ylabel="pass@1")
    figure.savefig(path / "claims_limits.png")
    plt.close(figure)


def draw(claims: dict[str, Any], path: Path) -> None:
    """Every picture that there are numbers for."""
    with plt.rc_context(STYLE):
        generations(claims, path)
        for name, picture in (("parents", parents), ("populations", populations)):
            if name in claims:
                picture(claims, path)
        if "samples" in claims["opponents"]:
            opponents(claims, path)
            frontier(claims, path)
