"""From the runs of the studies to what is said of each claim: ``claims.json``, the pictures and the table.

    python experiments/paper_claims/claims_report.py --studies runs/claims             # numbers and pictures
    python experiments/paper_claims/claims_report.py --studies runs/claims --publish   # and the pages that show them

Each study has a folder of its file's name in ``--studies``; arms that are not complete are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import claims_measures as m
from claims_figures import draw
from claims_runs import CALLS, HERE, complete_runs
from claims_table import publish, table

from evolve_llm.analysis.run import Run
from evolve_llm.record.run_files import read_run_json

AT_CALLS = CALLS // 16 - 1
"""The generation of N=16 that ends with as many calls."""
LOCKS = (1, 2, 3, 4)
CALL_COUNTS = (16, 32, 64, 96, 160)

By = dict[str, m.Values]


class Found:
    """The arms that are complete: numbers by problem, averaged over the run seeds asked for."""

    def __init__(self, runs: Mapping[tuple[str, int], Run]) -> None:
        self.runs = {key: m.reduced(run) for key, run in runs.items() if key[0] != "voting"}
        for (name, seed), run in runs.items():
            if name == "voting" and ("rsa", seed) in self.runs:  # its budget is what RSA spent
                spent = {one: row["tokens"][AT_CALLS] for one, row in self.runs["rsa", seed].items()}
                self.runs[name, seed] = m.reduced(run, spent)
        first = next(iter(runs.values()))
        self.locks = m.sizes_of(first.problems())
        self.names = sorted({name for name, _ in self.runs})

    def seeds(self, *names: str) -> list[int]:
        """The run seeds that all of these arms have."""
        return sorted(set.intersection(*({seed for name, seed in self.runs if name == one} for one in names)))

    def by(self, name: str, seeds: Sequence[int] | None = None) -> By:
        """One arm, by problem."""
        chosen = self.seeds(name) if seeds is None else seeds
        return m.over_seeds([self.runs[name, seed] for seed in chosen])


def column(by: By, name: str, at: int) -> list[float]:
    """One number of every problem, at a generation or a place in the sizes."""
    return [row[name][at] for row in by.values()]


def curve(by: By, name: str, *, share: bool = True) -> list[dict[str, Any]]:
    """Mean and interval at every generation."""
    return [m.mean(column(by, name, at), share=share) for at in range(len(next(iter(by.values()))[name]))]


def against(
    found: Found, one: str, at: int, other: str, at_other: int, name: str = "pass@1"
) -> dict[str, Any]:
    """``one - other``, paired by problem and run seed."""
    seeds = found.seeds(one, other)
    a, b = found.by(one, seeds), found.by(other, seeds)
    return {**m.difference(column(a, name, at), column(b, name, at_other)), "run seeds": len(seeds)}


def growth(found: Found) -> dict[str, Any]:
    """C1, C5 and C6: RSA by generation."""
    rsa = found.by("rsa")
    last = len(next(iter(rsa.values()))["pass@1"]) - 1
    late, early = column(rsa, "pass@1", last), column(rsa, "pass@1", 0)
    gaps = [m.difference(column(rsa, "pass@N", at), column(rsa, "pass@1", at)) for at in range(last + 1)]
    return {
        "run seeds": len(found.seeds("rsa")),
        **{name: curve(rsa, name) for name in ("pass@1", "pass@N", "majority", "verdicts", "right claims")},
        **{name: curve(rsa, name, share=False) for name in ("distinct", "entropy", "tokens")},
        "gain": m.difference(late, early),
        "steps": [
            m.difference(column(rsa, "pass@1", at + 1), column(rsa, "pass@1", at)) for at in range(last)
        ],
        "gap": gaps,
        "entropy lost": m.difference(column(rsa, "entropy", 0), column(rsa, "entropy", last)),
        "last against pass@N of generation 0": m.difference(late, column(rsa, "pass@N", 0)),
        "pass@N lost": m.difference(column(rsa, "pass@N", 0), column(rsa, "pass@N", last)),
    }


def parents(found: Found) -> dict[str, Any]:
    """C2: K at as many calls."""
    names = {k: "rsa" if k == 4 else f"K={k}" for k in (1, 2, 3, 4, 8)}
    names = {k: name for k, name in names.items() if name in found.names}
    curves = {str(k): curve(found.by(name), "pass@1")[: AT_CALLS + 1] for k, name in names.items()}
    pairs = list(zip(list(names)[1:], names, strict=False))
    steps = {
        f"{k} - {before}": against(found, names[k], AT_CALLS, names[before], AT_CALLS) for k, before in pairs
    }
    if 1 in names:
        steps["4 - 1"] = against(found, "rsa", AT_CALLS, "K=1", AT_CALLS)
    return {"pass@1": curves, "steps": steps}


def populations(found: Found) -> dict[str, Any]:
    """C3: N, by generation."""
    names = {n: "rsa" if n == 16 else f"N={n}" for n in (4, 8, 16, 32, 64)}
    names = {n: name for n, name in names.items() if name in found.names}
    out: dict[str, Any] = {"pass@1": {}, "pass@N": {}, "entropy": {}, "last - last of N=16": {}, "early": {}}
    for n, name in names.items():
        by = found.by(name)
        out["pass@1"][str(n)] = curve(by, "pass@1")
        out["pass@N"][str(n)] = curve(by, "pass@N")
        out["entropy"][str(n)] = curve(by, "entropy", share=False)
        if n != 16:
            out["last - last of N=16"][str(n)] = against(found, name, -1, "rsa", -1)
            out["early"][str(n)] = against(found, name, 2, "rsa", 2)
    return out


def opponents(found: Found) -> dict[str, Any]:
    """C4: RSA against other ways to spend as many calls, or as many tokens."""
    rsa = found.by("rsa")
    mine = column(rsa, "pass@1", AT_CALLS)
    rows: dict[str, Any] = {}

    def enter(
        name: str, values: Sequence[float], tokens: Sequence[float], own: Sequence[float] = mine
    ) -> None:
        rows[name] = {**m.mean(values), "tokens": m.mean(tokens, share=False)["mean"]}
        rows[name]["RSA - it"] = m.difference(own, values)
        rows[name]["by locks"] = by_locks(found, values)

    spent = column(rsa, "tokens", AT_CALLS)
    for name, key in (
        ("RSA", "pass@1"),
        ("RSA, then a vote", "majority"),
        ("RSA, then own verdicts", "verdicts"),
    ):
        enter(name, column(rsa, key, AT_CALLS), spent)
    for name, arm, at in (
        ("K=1, parents drawn", "K=1", AT_CALLS),
        ("self-refinement", "self-refinement", AT_CALLS),
        ("one-step aggregation", "self-aggregation", 1),
    ):
        if arm in found.names:
            seeds = found.seeds("rsa", arm)
            by, own = found.by(arm, seeds), column(found.by("rsa", seeds), "pass@1", AT_CALLS)
            enter(name, column(by, "pass@1", at), column(by, "tokens", at), own)
    out: dict[str, Any] = {"calls": CALLS, "rows": rows}
    if "voting" in found.names:
        seeds = found.seeds("rsa", "voting")
        by, own = found.by("voting", seeds), column(found.by("rsa", seeds), "pass@1", AT_CALLS)
        at = m.SIZES.index(CALLS)
        keys = ["pass@1", "pass@N", "majority", "verdicts", "rejection"]
        for name, key in (
            ("majority voting", "majority"),
            ("rejection sampling", "rejection"),
            ("best by own verdicts", "verdicts"),
        ):
            enter(f"{name} of {CALLS}", column(by, key, at), column(by, "tokens", at), own)
            equal = column(by, "equal tokens", 1 + keys.index(key))
            enter(f"{name}, equal tokens", equal, column(found.by("rsa", seeds), "tokens", AT_CALLS), own)
        out["samples at equal tokens"] = m.mean(column(by, "equal tokens", 0), share=False)["mean"]
        out["samples"] = {key: curve(by, key) for key in keys}
        out["samples"]["tokens"] = curve(by, "tokens", share=False)
        out["right claims"] = m.mean(column(by, "right claims", at))
        out["by calls and locks"] = frontier(
            found, rsa if len(seeds) == len(found.seeds("rsa")) else found.by("rsa", seeds), by
        )
    for arm in ("rejection", "best-of-n"):
        if arm in found.names:
            out[f"{arm}, expected"] = m.mean(
                column(found.by(arm), "rejection" if arm == "rejection" else "verdicts", -1)
            )
    return out


def by_locks(found: Found, values: Sequence[float]) -> dict[str, float]:
    """Means for each number of locks; ``values`` in the order of the problems."""
    sizes = list(found.locks.values())
    return {
        str(n): round(m.mean([v for v, size in zip(values, sizes, strict=True) if size == n])["mean"], 4)
        for n in LOCKS
    }


def frontier(found: Found, rsa: By, samples: By) -> dict[str, Any]:
    """RSA less best by own verdicts, at each number of calls and of locks."""
    sizes = list(found.locks.values())
    out: dict[str, Any] = {}
    for calls in CALL_COUNTS:
        a = column(rsa, "pass@1", calls // 16 - 1)
        b = column(samples, "verdicts", m.SIZES.index(calls))
        row = {"all": m.difference(a, b)}
        for n in LOCKS:
            some = [(x, y) for x, y, size in zip(a, b, sizes, strict=True) if size == n]
            row[str(n)] = m.difference(*zip(*some, strict=True))
        out[str(calls)] = row
    return out


def base(found: Found) -> dict[str, Any]:
    """C7a: the model that never saw an aggregation prompt under the same scheme."""
    theirs = found.by("base")
    return {
        "pass@1": curve(theirs, "pass@1"),
        "gain": m.difference(column(theirs, "pass@1", AT_CALLS), column(theirs, "pass@1", 0)),
        "fly - base": against(found, "rsa", AT_CALLS, "base", AT_CALLS),
    }


def answers(runs: Mapping[tuple[str, int], Run], name: str) -> dict[str, Any]:
    """Accuracy of the answers a preset's own finish operator gave."""
    rows = [run.results() for (arm, _), run in runs.items() if arm == name]
    shares = [[float(one.verdict is not None and one.verdict.correct) for one in row] for row in rows]
    return m.mean([sum(one) / len(one) for one in zip(*shares, strict=True)])


def about(run: Run) -> dict[str, Any]:
    """When a run was made, on which problems, and where this is read."""
    found = read_run_json(run.path)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    return {
        "date": found["environment"]["created"][:10],
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "python": found["environment"]["python"],
        "problems": found["config"]["problems"]["count"],
    }


def report(runs: Mapping[tuple[str, int], Run], out: Path) -> dict[str, Any]:
    """Write everything that the complete runs allow, and give it. Needs ``rsa`` at least."""
    out.mkdir(parents=True, exist_ok=True)
    found = Found(runs)
    seeds = {name: len(found.seeds(name)) for name in found.names}
    claims: dict[str, Any] = {
        "about": {**about(runs["rsa", 0]), "run seeds": seeds},
        "generations": growth(found),
    }
    if len({"K=1", "K=2"} & set(found.names)) == 2:
        claims["parents"] = parents(found)
    if any(name.startswith("N=") for name in found.names):
        claims["populations"] = populations(found)
    claims["opponents"] = opponents(found)
    if "base" in found.names:
        claims["base"] = base(found)
    claims["answers given"] = {name: answers(runs, name) for name in found.names}
    claims = rounded(claims)
    (out / "claims.json").write_text(json.dumps(claims, indent=1) + "\n")
    draw(claims, out)
    return claims


def rounded(value: Any) -> Any:
    """Plain numbers of four digits, which is more than the intervals deserve."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Runs to numbers, pictures and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--publish", action="store_true")
    given = parser.parse_args()
    runs = complete_runs(given.studies)
    if ("rsa", 0) not in runs:
        raise SystemExit(f"the study depth_and_size is not complete in {given.studies}: run it first")
    if count := len(list(runs["rsa", 0].problems())) % len(LOCKS):
        raise SystemExit(
            f"{count} problems are over: a multiple of {len(LOCKS)} has as many of each number of locks"
        )
    claims = report(runs, given.results)
    print(table(claims))
    if given.publish:
        publish(claims, given.results)


if __name__ == "__main__":
    main()
