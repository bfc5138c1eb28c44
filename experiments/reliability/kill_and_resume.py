"""Kill a run ten times with SIGKILL and start it again each time: is anything lost, changed or asked for twice?

    python experiments/reliability/kill_and_resume.py                   # both models, a few minutes
    python experiments/reliability/kill_and_resume.py --model scripted  # half a minute, no weights

The run is this one, in a process of its own, with a backend that writes the id of each request to a file
before it asks:

    evolve-llm run --preset rsa --problems reasoning_gym:chain_sum --limit 4 --population 4 --parents 2 \
        --generations 3 --max-tokens 128

First it runs without interruption; that gives the expected duration. Then ten moments are drawn uniformly over that
duration, and the run is killed at each and started again. A moment is a place in the evolution, since a
killed run falls back to what is stored: so many completions stored, and then a fraction of the mean time
between two. At the earliest it is when the new process has sent its first request, so that each kill hits a
running evolution.

What was stored at a kill is read from ``run.db`` afterwards. No later process may ask for any of it, and each
of these rows must stand unchanged in the end. With the scripted model, whose every request takes 50 to
150 ms here, the final file must equal the uninterrupted one byte for byte. A real engine batches
other requests together after a restart, which changes the rounding: how many texts are equal is told, not required.

Results go to ``results/kill_and_resume.json`` beside this file. Exit status 1 when anything was asked for twice,
lost or changed, or bytes differ.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

KILLS = 10
RESULTS = Path(__file__).parent / "results" / "kill_and_resume.json"
STORED = """
    SELECT p.id || '/' || c.generation || '/' || c.slot || '/' || c.purpose || '/' || c.call, c.prompt, c.text
    FROM completions c JOIN problems p USING (ord)
"""


# ---------------------------------------------------------------- the run, in a process of its own


class Logged:
    """A backend that writes each request's id to a file before it asks, and may take its time."""

    def __init__(self, backend, log: str, slow: bool) -> None:
        self.identity, self.capacity = backend.identity, backend.capacity
        self.start, self.count_tokens, self.close = backend.start, backend.count_tokens, backend.close
        self._backend, self._slow = backend, slow
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def generate(self, request):
        os.write(self._log, f"{request.id}\n".encode())
        if self._slow:
            await asyncio.sleep(0.05 + 0.1 * (request.seed % 1000) / 1000)
        return await self._backend.generate(request)


def child(model: str, out: str, log: str) -> None:
    from evolve_llm import evolve
    from evolve_llm.backends.base import make_backend

    scripted = model == "scripted"
    evolve(
        "reasoning_gym:chain_sum",
        "rsa",
        Logged(make_backend(model), log, slow=scripted),
        limit=4,
        population=4,
        parents=2,
        generations=3,
        sampling={"max_tokens": 128},
        concurrency=4 if scripted else None,
        out=out,
    )


# ---------------------------------------------------------------- from outside


def start(model: str, out: Path, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "--child", str(out), str(log), "--model", model])


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise SystemExit(f"the run ended with status {process.returncode}")


def asked(log: Path) -> list[str]:
    """Every request so far, in order; a kill never leaves half a line, since each is one write."""
    return log.read_text().splitlines() if log.exists() else []


def stored(out: Path) -> dict[str, tuple[str, str]]:
    """(digest of the prompt, text) of each stored completion by request id, read without writing."""
    if not (out / "run.json").exists():
        return {}
    database = f"{(out / 'run.db').absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(database, uri=True, timeout=10)) as db:
        return {name: (prompt, text) for name, prompt, text in db.execute(STORED)}


def uninterrupted(model: str, folder: Path) -> tuple[Path, float]:
    """The run directory, and the seconds from its first request to its end."""
    out, log = folder / "whole", folder / "whole.log"
    process = start(model, out, log)
    while not asked(log) and process.poll() is None:
        time.sleep(0.01)
    began = time.monotonic()
    finish(process)
    return out, time.monotonic() - began


def session(model: str, out: Path, log: Path, moment: tuple[int, float] | None) -> dict[str, object]:
    """One process, killed when so many completions are stored and so many seconds have passed; None: to the end."""
    before, told, began = stored(out), len(asked(log)), time.monotonic()
    process = start(model, out, log)
    if moment is None:
        finish(process)
    else:
        count, pause = moment
        while process.poll() is None and (len(asked(log)) == told or len(stored(out)) < count):
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=pause)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    new = asked(log)[told:]
    return {
        "killed": process.returncode == -signal.SIGKILL,
        "seconds": round(time.monotonic() - began, 2),
        "stored_before": len(before),
        "stored_after": len(stored(out)),
        "asked": len(new),
        "asked_again": sum(name in before for name in new),
    }


def experiment(model: str, seed: int, folder: Path) -> dict[str, object]:
    whole, duration = uninterrupted(model, folder)
    total = len(stored(whole))
    rng = random.Random(seed)
    moments = sorted(rng.uniform(0, total - 1) for _ in range(KILLS))
    print(f"\n{model}: {total} completions, {duration:.1f} s from the first request to the end")
    print("kill  seconds  stored before  stored after  asked  asked again")

    out, log = folder / "killed", folder / "killed.log"
    sessions, seen = [], []
    for number in range(KILLS + 1):
        moment = None
        if number < KILLS:
            moment = int(moments[number]), moments[number] % 1 * duration / total
        row = session(model, out, log, moment)
        sessions.append(row)
        seen.append(stored(out))
        name = str(number + 1) if row["killed"] else "end"
        print(
            f"{name:>4}  {row['seconds']:7.2f}  {row['stored_before']:13}  {row['stored_after']:12}"
            f"  {row['asked']:5}  {row['asked_again']:11}",
            flush=True,
        )
        if not row["killed"] and number < KILLS:
            print("it ended before it could be killed: no further kills")
            session(
                model, out, log, None
            )  # compacts what a reader may have kept the last one from compacting
            break

    one, other = stored(whole), stored(out)
    same_prompt = [name for name in one if name in other and one[name][0] == other[name][0]]
    found: dict[str, object] = {
        "seed": seed,
        "seconds_uninterrupted": round(duration, 1),
        "completions": total,
        "kills": sum(bool(row["killed"]) for row in sessions),
        "asked_again": sum(int(str(row["asked_again"])) for row in sessions),
        "lost_or_changed": sum(other.get(name) != value for rows in seen for name, value in rows.items()),
        "missing": len(one.keys() - other.keys()),
        "asked_in_vain": len(asked(log)) - len(other),
        "database_equal": digest(whole) == digest(out),
        "texts_equal": sum(one[name] == other.get(name) for name in one),
        "prompts_equal": len(same_prompt),
        "sessions": sessions,
    }
    print(
        f"{found['kills']} kills; asked again {found['asked_again']}, lost or changed {found['lost_or_changed']}, "
        f"missing {found['missing']}; {found['asked_in_vain']} requests were in flight when killed\n"
        f"run.db equals the uninterrupted one: {found['database_equal']}; equal texts: {found['texts_equal']} of "
        f"{len(same_prompt)} with an equal prompt, of {total}"
    )
    return found


def digest(out: Path) -> str:
    return hashlib.sha256((out / "run.db").read_bytes()).hexdigest()


def holds(model: str, found: dict[str, object]) -> bool:
    """Whether nothing was asked for twice, lost or changed, and, where the model is deterministic, bytes are equal."""
    nothing = not (found["asked_again"] or found["lost_or_changed"] or found["missing"])
    return nothing and (model != "scripted" or bool(found["database_equal"]))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("scripted", "local"), action="append", help="default: both")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--machine", default=None, help="how the machine is called in the results")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    models = arguments.model or ["scripted", "local"]
    if arguments.child:
        child(models[0], *arguments.child)
        return 0
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            found = experiment(model, arguments.seed, Path(folder))
        results[model] = {
            "date": date.today().isoformat(),
            "machine": arguments.machine
            or f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
            **found,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    return 0 if all(holds(model, results[model]) for model in models) else 1


if __name__ == "__main__":
    sys.exit(main())
