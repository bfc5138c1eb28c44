"""A study killed five times against one left alone: are the runs equal?

    python experiments/study/killed.py experiments/selection_schemes/study.toml --limit 24

Kills with SIGKILL, evenly over the time that the uninterrupted one took. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KILLS = 5


def started(file: Path, limit: int, out: Path) -> subprocess.Popen[bytes]:
    """The study in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "evolve_llm",
        "study",
        str(file),
        "--limit",
        str(limit),
        "--out",
        str(out),
        "--json",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def finished(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """What it printed. Raises RuntimeError where it failed."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the study ended with exit code {process.returncode}")
    data: dict[str, object] = json.loads(out)
    return data


def contents(folder: Path) -> dict[str, list[object]]:
    """Every table of every run, by its folder's name, but what the engine had in its cache, which no seed decides."""
    return {
        str(one.parent.relative_to(folder)): _tables(one) for one in sorted(folder.glob("runs/*/*/run.db"))
    }


def _tables(database: Path) -> list[object]:
    found: list[object] = []
    with contextlib.closing(sqlite3.connect(database)) as db:
        for (table,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall():
            columns = [
                row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "cached_tokens"
            ]
            found.append((table, sorted(db.execute(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)))
    return found


def main() -> None:
    """One study left alone, one killed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--limit", type=int, default=24)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "whole", Path(place) / "killed"
        begun = time.monotonic()
        left_alone = finished(started(chosen.study, chosen.limit, whole))
        seconds = time.monotonic() - begun
        hit = 0
        for _ in range(KILLS):
            process = started(chosen.study, chosen.limit, killed)
            try:
                process.wait(seconds / (KILLS + 1))
            except subprocess.TimeoutExpired:
                process.kill()
                hit += 1
            process.wait()
        resumed = finished(started(chosen.study, chosen.limit, killed))
        one, other = contents(whole), contents(killed)
        print(json.dumps({
            "problems": chosen.limit, "runs": len(one), "seconds": round(seconds, 1), "killed": hit,
            "equal runs": sum(one[name] == other.get(name) for name in one), "equal results": left_alone == resumed,
            "paid": left_alone["paid"], "saved": left_alone["saved"], "replayed": left_alone["replayed"],
        }))  # fmt: skip


if __name__ == "__main__":
    main()
