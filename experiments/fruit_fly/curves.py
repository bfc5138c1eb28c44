"""Draw what a training run and its evaluation have logged: ``python experiments/fruit_fly/curves.py FOLDER [...]``.

``training.png``: losses, and pass@1 of a short RSA at each look. ``rsa.png``: pass@1 by generation for each K,
with majority voting and best-by-own-verdicts at as many calls. train.py redraws the first as it goes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def training(folder: Path) -> None:
    """``training.png`` from ``log.json``."""
    log: list[dict[str, Any]] = json.loads((folder / "log.json").read_text())["log"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    tokens = {(e["stage"], e["step"]): e["tokens"] / 1e6 for e in log}
    for k in ("0", "1", "2", "4", "8"):
        seen = [(tokens[e["stage"], e["step"]], e["loss"][k]) for e in log if k in e["loss"]]
        if seen:
            left.plot(*zip(*seen, strict=True), label=f"K={k}")
    left.set(xlabel="million tokens", ylabel="loss (weighted, see the recipe)", ylim=(0, 1.5))
    left.legend()
    looks = [e for e in log if "rsa" in e]
    for e in looks:
        for k, style in (("1", "--"), ("4", "-")):
            label = f"K={k}, {e['tokens'] / 1e6:.1f} M tokens"
            right.plot(e["rsa"][k], style, marker="o", label=label)
    right.set(xlabel="generation", ylabel="pass@1 (40 held-out problems, N=12)", ylim=(0, 1))
    if looks:
        right.legend()
    figure.savefig(folder / "training.png", dpi=110)
    plt.close(figure)


def rsa(folder: Path) -> None:
    """``rsa.png`` from ``evaluation.json``."""
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    for k in sorted(k for k in found["fly"] if k.isdigit()):
        axes.plot(found["fly"][k]["pass@1"], marker="o", label=f"fly, K={k}")
    for k in sorted(k for k in found.get("base", {}) if k.isdigit()):
        axes.plot(found["base"][k]["pass@1"], ":", marker="x", label=f"base, K={k}")
    alone = found["fly"]["without aggregation"]
    for name, style in (("majority", "--"), ("best by own verdicts", "-.")):
        axes.axhline(alone[name][0], ls=style, color="grey", label=f"{name}, {alone['samples']} samples")
    axes.set(
        xlabel="generation",
        ylabel="pass@1",
        ylim=(0, 1),
        title=f"{found['settings']['problems']} held-out problems",
    )
    axes.legend(fontsize=8)
    figure.savefig(folder / "rsa.png", dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        training(folder)
        if (folder / "evaluation.json").exists():
            rsa(folder)


if __name__ == "__main__":
    main()
