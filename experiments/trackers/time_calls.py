"""Seconds that each call to a tracker takes, all of them writing to this machine: MLflow to SQLite, W&B offline.

``python experiments/trackers/time_calls.py`` writes ``results/calls.json``. README.md says what was expected.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evolve_llm.integrations.trackers.tracking import make_trackers

SPECS = ("mlflow:sqlite:///mlflow.db", "wandb", "trackio", "tensorboard")
METRICS = {f"metric_{place}": 0.5 for place in range(15)}
GENERATIONS = 50


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    begun = time.monotonic()
    found = call()
    return time.monotonic() - begun, found


def measure(spec: str) -> dict[str, float]:
    """Seconds of each call of one tracker; of the generations the median and the longest."""
    (tracker,) = make_trackers([spec]).values()
    settings = {f"setting.{place}": place for place in range(30)}
    started, _ = timed(lambda: tracker.start("run", settings, None))
    logs = [timed(lambda g=g: tracker.log(g, METRICS))[0] for g in range(GENERATIONS)]
    report = Path("report.html")
    report.write_text("x" * 1_000_000)
    kept, _ = timed(lambda: tracker.artefact(report))
    finished, _ = timed(lambda: tracker.finish(complete=True))
    found = {
        "start": started, "log, median": statistics.median(logs), "log, longest": max(logs),
        "artefact": kept, "finish": finished,
    }  # fmt: skip
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Measure all, and write what came."""
    results = Path(__file__).parent.resolve() / "results" / "calls.json"
    os.environ |= {"WANDB_MODE": "offline"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"WANDB_DIR": folder, "TRACKIO_DIR": f"{folder}/trackio"}
        os.chdir(folder)
        found: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU"}
        found |= {spec: measure(spec) for spec in SPECS}
    text = json.dumps(found, indent=2)
    print(text)
    results.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
