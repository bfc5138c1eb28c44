"""The tables of the README from the evaluations: ``python experiments/fruit_fly/report.py [FOLDER ...]``.

Folders hold an ``evaluation.json`` of ``evaluate.py``; default: ``results/seed*`` beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Row = list[str]


def table(header: Row, rows: list[Row]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def signed(found: list[float]) -> str:
    """[mean, low, high] of a difference."""
    return f"{found[0]:+.2f} [{found[1]:+.2f}, {found[2]:+.2f}]"


def plain(found: list[float]) -> str:
    """[mean, low, high]."""
    return f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"


def less(fly: dict[str, Any], k: str, rival: str) -> str:
    """RSA with K parents less a rival, where it was asked."""
    found = fly.get(k, {}).get(f"last less {rival}")
    return signed(found) if found else "–"


def several(values: list[float], scale: float = 1.0, digits: int = 2) -> str:
    """Figures by number of locks."""
    return " ".join(f"{scale * value:.{digits}f}" for value in values)


def curves(seed: str, name: str, found: dict[str, Any]) -> list[Row]:
    """A row for each K."""
    return [
        [
            f"{name}, seed {seed}, K={k}",
            *(f"{value:.3f}" for value in found[k]["pass@1"]),
            signed(found[k]["gain"]),
            less(found, k, "majority"),
            several(found[k]["text errors by locks, later generations"], 100, 1),
        ]
        for k in sorted((key for key in found if key.isdigit()), key=int)
    ]


def rivals(seed: str, fly: dict[str, Any]) -> Row:
    """What samples without aggregation are worth, and RSA by number of locks beside it."""
    without = fly["without aggregation"]
    return [
        seed,
        plain(without["majority"]),
        plain(without["best by own verdicts"]),
        several(without["best by own verdicts, by locks"]),
        *(several(fly[k]["pass@1 by locks"][-1]) if k in fly else "" for k in ("1", "2", "4")),
        *(less(fly, k, "best by own verdicts") for k in ("1", "2", "4")),
        several(fly["1"]["text errors by locks, first generation"], 100, 1),
    ]


def main() -> None:
    folders = [Path(name) for name in sys.argv[1:]] or sorted(Path(__file__).parent.glob("results/seed*"))
    found = {one.name[-1]: json.loads((one / "evaluation.json").read_text()) for one in folders}
    generations = next(iter(found.values()))["settings"]["T"]
    header = ["", "gen 0", *map(str, range(1, generations)), "gain", "above the vote", "text errors, %"]
    rows = [
        row
        for seed, one in found.items()
        for name in ("fly", "base")
        if name in one
        for row in curves(seed, name, one[name])
    ]
    print(table(header, rows))
    columns = ["seed", "vote of 96", "best of 96 by verdicts", "by locks"]
    columns += [f"RSA K={k}, by locks" for k in (1, 2, 4)]
    columns += [f"K={k} less best of 96" for k in (1, 2, 4)]
    print(
        table(
            [*columns, "text errors of gen 0, %"], [rivals(seed, one["fly"]) for seed, one in found.items()]
        )
    )


if __name__ == "__main__":
    main()
