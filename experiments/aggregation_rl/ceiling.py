"""How much an aggregator could win on the prompts of an arm: ``python experiments/aggregation_rl/ceiling.py``.

An ideal aggregator opens a lock that any of its candidates has opened. Of another it knows which keys are refuted, and
takes the likeliest that is left: the hint (the first wheel), or one of the others. Writes results/FLY/ceiling.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arms import ARMS, FLIES, machine, set_of
from evolve_llm_problems.locks import Lock, guesses, read_question

from evolve_llm.analysis.stats import ratio_interval
from evolve_llm.train.formats import read_rows


def ideal(locks: Sequence[Lock], keys: Sequence[str], laziness: float) -> float:
    """The chance that an ideal aggregator of candidates with these keys (one text each) opens all locks.

    ``laziness`` is the share of locks that the hint opens.
    """
    chance = 1.0
    for place, lock in enumerate(locks):
        tried = {int(one[place]) for one in keys if len(one) == len(locks)}
        if lock.key() in tried:
            continue
        others = [key for key in range(10) if key not in tried and key != lock.wheels[0]]
        hint = lock.wheels[0] not in tried
        guess = lock.wheels[0] if hint and laziness > (1 - laziness) / 9 else None
        if guess is not None:
            chance *= float(lock.key() == guess)
        else:
            chance *= (lock.key() in others) / max(1, len(others))
    return chance


def hinted(locks: Sequence[Lock]) -> float:
    """Whether the hint opens all locks."""
    return float(all(lock.key() == lock.wheels[0] for lock in locks))


def shown(row: dict[str, Any]) -> list[str]:
    """The keys of the candidates in an aggregation prompt; those whose text is no chain are left out."""
    *candidates, _ = row["prompt"][0]["content"].strip("<>").split("|")
    return [keys for one in candidates if (keys := guesses(one)) is not None]


def told(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """A mean over problems with its interval."""
    mean = sum(a for a, _ in pairs) / sum(b for _, b in pairs)
    interval = ratio_interval(pairs)
    return {"mean": round(mean, 4), "interval": interval and [round(one, 4) for one in interval]}


def by_problem(rows: Sequence[dict[str, Any]], values: Sequence[float]) -> list[tuple[float, float]]:
    """Sums and counts by problem."""
    found: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        found.setdefault(row["problem"], []).append(value)
    return [(sum(some), float(len(some))) for some in found.values()]


def ceiling(rows: Sequence[dict[str, Any]], reference: Sequence[float], laziness: float) -> dict[str, Any]:
    """Ideal, hint and reference on aggregation rows. ``reference``: the share of its right replies to each row."""
    locks = [read_question(row["question"]) for row in rows]
    best = [ideal(some, shown(row), laziness) for some, row in zip(locks, rows, strict=True)]
    hint = [hinted(some) for some in locks]
    found = {
        "rows": len(rows),
        "ideal": told(by_problem(rows, best)),
        "hint": told(by_problem(rows, hint)),
        "reference": told(by_problem(rows, reference)),
    }
    found["margin"] = round(
        found["ideal"]["mean"] - max(found["hint"]["mean"], found["reference"]["mean"]), 4
    )
    return found


def main() -> None:
    """The ceiling of every arm with aggregation prompts."""
    from base_rates import asked_of, batched_fly, right

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fly", choices=FLIES, default="fly")
    parser.add_argument("--runs", type=Path, default=Path("runs/aggregation_rl"))
    parser.add_argument("--replies", type=int, default=8)
    asked = parser.parse_args()
    begun = time.monotonic()
    fly = FLIES[asked.fly]
    runs = fly.runs(asked.runs)
    said: dict[str, Any] = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "arms": {}}
    for name, arm in ARMS.items():
        data = set_of(fly, runs, name)  # all sets are made here, before several processes want them
        if arm.drawing is None:
            continue
        rows = [row for row in read_rows(data) if row["kind"] == "aggregation"]
        replies = asked_of(batched_fly(fly.weights))(rows, asked.replies)
        said["arms"][name] = ceiling(rows, right(rows, replies, asked.replies), fly.laziness)
        print(name, json.dumps(said["arms"][name]), flush=True)
    said["seconds"] = round(time.monotonic() - begun)
    fly.results.mkdir(parents=True, exist_ok=True)
    (fly.results / "ceiling.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
