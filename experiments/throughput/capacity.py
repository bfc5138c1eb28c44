"""How many requests in flight: a fixed number or one that follows the engine's load, SIMULATED.

    python experiments/throughput/capacity.py          # 20 seconds, no vLLM needed

The simulated engine of simulated.py, with room for 64 or 256 sequences at once (a cache that long chains
fill takes fewer than its limit says), under our dependency schedule, oldest problem first. The capacity
starts at 16, 64, 256 or 1,024 and stays there, or follows as ``evolve_llm.backends.admission`` does,
which is the class that a run uses, looked at every quarter of a simulated second. What is told:

    seconds          until all has ended, over the least of the table
    mean end         when the average problem has its answer, in the same unit
    in progress      problems with a request in flight, at most
    last             the capacity in the end
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from raw_vllm import machine
from scheduling import Dispatcher, Leaping, Node, Shape, Work, dependencies, simulate
from simulated import Speed

from evolve_llm.backends.admission import INTERVAL, Admission
from evolve_llm.backends.base import Load

RESULTS = Path(__file__).parent / "results"


def one(work: Work, room: int, capacity: int, follows: bool) -> dict[str, Any]:
    """One run of the simulation."""
    engine, admission = Leaping(Speed(batch=room)), Admission(capacity)
    left = dict.fromkeys(range(work.problems), work.shape.n * work.shape.generations)
    ends: list[float] = []
    most, looked, path = 0, 0.0, [capacity]

    def watch(dispatcher: Dispatcher, ended: list[Node]) -> None:
        nonlocal looked, most
        for problem, _, _ in ended:
            left[problem] -= 1
            if not left[problem]:
                ends.append(engine.now)
        begun = {problem for problem, _, _ in engine.tags()}
        most = max(most, len(begun))
        while follows and looked < engine.now:
            looked += INTERVAL
            dispatcher.resize(admission.update(Load(*engine.load), dispatcher.held))
        if admission.capacity != path[-1]:
            path.append(admission.capacity)

    seconds = simulate(work, dependencies(work), engine, capacity, watch)
    mean = sum(ends) / len(ends)
    return {
        "seconds": seconds,
        "mean_end": mean,
        "in_progress": most,
        "moves": len(path) - 1,
        "last": path[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for capacity.json")
    arguments = parser.parse_args()
    shape = Shape()
    work = Work(shape, arguments.problems)
    rows: dict[str, dict[str, Any]] = {}
    for room in (64, 256):
        found = {
            f"{'follows from' if follows else 'stays at'} {capacity}": one(work, room, capacity, follows)
            for follows in (False, True)
            for capacity in (16, 64, 256, 1024)
        }
        least = min(row["seconds"] for row in found.values())
        print(f"room for {room}: 1.00 is {least:,.0f} simulated seconds")
        for name, row in found.items():
            row["seconds"] = round(row["seconds"] / least, 3)
            row["mean_end"] = round(row["mean_end"] / least, 3)
            print(f"  {name:20} " + "  ".join(f"{key} {value}" for key, value in row.items()))
        rows[str(room)] = {"least_seconds": round(least, 1), "rows": found}
    arguments.out.mkdir(parents=True, exist_ok=True)
    about = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "simulated": True,
        "problems": arguments.problems,
        "shape": asdict(shape),
        "room": rows,
    }
    (arguments.out / "capacity.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
