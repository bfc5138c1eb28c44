"""What the first seconds of a run are: reading problems and checking, imports of the engine, the engine itself.

    python experiments/throughput/start.py                      # vllm:fly, four problem sets

Each in a process of its own, so that nothing is imported yet. What can be overlapped with the engine's start is the
first part at most. Results go to results/start.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from raw_vllm import machine

RESULTS = Path(__file__).parent / "results"
PROGRAM = """
import sys, time, asyncio, json
began = time.perf_counter()
from evolve_llm import Session
model, problems, preset = sys.argv[1:]
session = Session(problems, preset, model)
checked = time.perf_counter()
import vllm
from vllm.v1.engine.async_llm import AsyncLLM
imported = time.perf_counter()

async def start():
    await session.backend.start()
    ready = time.perf_counter()
    await session.backend.close()
    return ready

if __name__ == "__main__":
    ready = asyncio.run(start())
    parts = {"problems and checks": checked - began, "imports": imported - checked, "engine": ready - imported}
    print(json.dumps(parts))
"""


def measured(model: str, problems: str, preset: str) -> dict[str, float]:
    """Seconds by part."""
    command = [sys.executable, "-c", PROGRAM, model, problems, preset]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Measure each problem set, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "start.json")
    given = parser.parse_args()
    rows: dict[str, Any] = {}
    for model, problems, preset in (
        ("vllm:fly", "locks?size=8", "fly"),
        ("vllm:fly", "locks?size=2000", "fly"),
        ("vllm:fly", "rg_games?size=100", "rsa"),
    ):
        try:
            rows[problems] = measured(model, problems, preset)
        except subprocess.CalledProcessError as error:
            rows[problems] = {"failed": error.stderr.strip().splitlines()[-1][:200]}
        print(problems, rows[problems], flush=True)
    result = {"date": date.today().isoformat(), "machine": machine(), "seconds": rows}
    given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
