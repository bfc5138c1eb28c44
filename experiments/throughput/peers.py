"""The same runs through evolve-llm and through another implementation of RSA, against one server, in turn.

    python experiments/throughput/peers.py --peer PATH                      # vLLM's server, the fruit fly
    python experiments/throughput/peers.py --peer PATH --engine simulated   # a large model on a GPU, SIMULATED
    python experiments/throughput/peers.py --peer PATH --quick              # a look

PATH is a checkout of RSAHarness or of Squeeze-Evolve; which one is told from what it contains. Their own loop runs,
with their own concurrency, in a process of its own (``peers/``); only problems, prompts and server are given.
Both go through ``traffic.py``, which sets the length of every answer from one seeded heavy-tailed row and counts:
the same number of calls, the same tokens to write. Wall time is from the first line after the imports to the last
answer; ours includes the store. Ours and theirs alternate, and their ratio is taken run by run.
Results go to ``results/peers_PEER_ENGINE.json``. PEERS.md says how to get the checkouts, and what came out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from engine_overhead import processor
from traffic import Lengths

HERE = Path(__file__).parent
N, K = 16, 4
GENERATIONS = {"vllm": 10, "simulated": 5}
SIZES = {"RSAHarness": (1, 4, 8), "Squeeze-Evolve": (1, 4, 8, 30)}
PROGRAMS = {"RSAHarness": "rsaharness.py", "Squeeze-Evolve": "squeeze.py"}
LENGTHS = {"vllm": Lengths(20, 0.8, 2, 96), "simulated": Lengths(1800, 0.8, 32, 8192)}
"""Tokens an answer: the fly's window is 512, in which four parents and a child must fit; RSA's chains are longer."""
WHOLE_PROMPTS = ("--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192")
"""vLLM 0.32 on a CPU dies of a seeded request, and ours are, whose prompt it reads in two pieces."""


def kind_of(path: Path) -> str:
    """Which peer a checkout is. Raises SystemExit for anything else."""
    if (path / "rsa" / "engine.py").is_file():
        return "RSAHarness"
    if (path / "src" / "squeeze_evolve").is_dir():
        return "Squeeze-Evolve"
    raise SystemExit(
        f"{path} is neither a checkout of RSAHarness (rsa/engine.py) nor of Squeeze-Evolve (src/squeeze_evolve)"
    )


def fingerprint(path: Path) -> str:
    """Twelve digits for the Python files of a checkout."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.py")):
        digest.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Measured:
    """One run. ``in_flight`` is the mean number of requests at the server while any was."""

    seconds: float
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    in_flight: float
    peak: int

    @property
    def speed(self) -> float:
        """Generated tokens a second."""
        return self.completion_tokens / self.seconds


def summary(ours: Sequence[Measured], theirs: Sequence[Measured]) -> dict[str, Any]:
    """Pairs of runs as medians and the ratio of their times, theirs over ours, with its range."""
    ratios = [b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)]
    row: dict[str, Any] = {
        "times as fast": {
            "median": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        }
    }
    for name, runs in (("evolve-llm", ours), ("peer", theirs)):
        row[name] = {
            "seconds": round(statistics.median(one.seconds for one in runs), 2),
            "generated tokens/s": round(statistics.median(one.speed for one in runs), 1),
            "requests in flight, mean": round(statistics.median(one.in_flight for one in runs), 1),
            "requests": runs[0].requests,
            "failed": sum(one.failed for one in runs),
            "runs": [asdict(one) for one in runs],
        }
    return row


def claims(peer: str, rows: dict[int, dict[str, Any]], tuned: bool) -> list[dict[str, Any]]:
    """What is to be shown of this peer, and whether these rows show it (by the median; never: by the lowest)."""
    ratio = {size: row["times as fast"] for size, row in rows.items()}
    few = [size for size in ratio if size <= 8]
    wanted: list[tuple[str, bool]] = []
    if peer == "RSAHarness":
        wanted.append(("never slower", all(one["lowest"] >= 1 for one in ratio.values())))
        wanted += [(f"1.2 times as fast, {size} problem(s)", ratio[size]["median"] >= 1.2) for size in few]
    elif not tuned and 30 in ratio:
        wanted.append(("4 times as fast as the default settings, 30 problems", ratio[30]["median"] >= 4))
    return [{"claim": text, "shown": shown} for text, shown in wanted]


# ---- the server


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(engine: str, port: int, model: Path, speed_up: float) -> list[str]:
    """What starts the server of an engine."""
    if engine == "simulated":
        script = str(HERE / "simulated.py")
        return [sys.executable, script, "--port", str(port), "--speed-up", str(speed_up), "--model", "fly"]
    options = {
        "model": model, "served-model-name": "fly", "host": "127.0.0.1", "port": port, "dtype": "float32",
        "gpu-memory-utilization": 0.3, "max-model-len": 512, "middleware": "traffic.Traffic",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        *words,
        "--enforce-eager",
        *WHOLE_PROMPTS,
    ]


@contextmanager
def server(engine: str, model: Path, speed_up: float, patience: float = 900) -> Iterator[str]:
    """The server, up and answering: gives its root URL. Raises SystemExit with its last words where it dies."""
    port = free_port()
    environment = {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING",
        "OMP_NUM_THREADS": "1",  # the fly is too small to share; the other core is for the clients
        **os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command(engine, port, model, speed_up),
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            root, ends = f"http://127.0.0.1:{port}", time.monotonic() + patience
            while not reachable(root):
                if process.poll() is not None or time.monotonic() > ends:
                    log.seek(0)
                    raise SystemExit(f"the server did not come up:\n{log.read()[-3000:]}")
                time.sleep(0.5)
            yield root
        finally:
            for how in (signal.SIGTERM, signal.SIGKILL):  # the whole group: vLLM has children
                try:
                    os.killpg(process.pid, how)
                    process.wait(20)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def reachable(root: str) -> bool:
    """Whether the server answers."""
    try:
        ask(root + "/v1/models")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def ask(url: str, body: object = None) -> Any:
    """GET, or POST of JSON, and the JSON that comes back."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=30) as answer:
        return json.load(answer)


# ---- the runs


def run(program: str, python: str, root: str, job: dict[str, Any], lengths: Lengths) -> Measured:
    """One run of one program in a process of its own. Raises SystemExit with its last words where it fails."""
    ask(f"{root}/study/begin", {"seed": job["seed"], "lengths": asdict(lengths)})
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({**job, "base_url": f"{root}/v1"}, file)
        file.flush()
        done = subprocess.run(
            [python, str(HERE / "peers" / program), file.name], capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"{program} failed:\n{done.stderr[-3000:]}")
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    counts = ask(f"{root}/study/counts")
    expected = len(job["questions"]) * job["N"] * job["T"]
    if counts["requests"] != expected or counts["failed"]:
        print(f"  ! {program}: {counts['requests']} requests for {expected}, {counts['failed']} failed")
    names = ("requests", "failed", "prompt_tokens", "completion_tokens", "in_flight", "peak")
    return Measured(seconds, **{name: counts[name] for name in names})


def questions(count: int) -> list[str]:
    """Bundles of four locks, for all the same length."""
    from evolve_llm_problems.locks import load

    return [problem.question for problem in load(size=count, locks="4")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of RSAHarness or Squeeze-Evolve")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has its packages")
    parser.add_argument("--engine", choices=("vllm", "simulated"), default="vllm")
    parser.add_argument("--model", type=Path, help="for vLLM; none: the fruit fly")
    parser.add_argument("--speed-up", type=float, default=10.0, help="of the simulated engine's time")
    parser.add_argument("--problems", help="numbers of problems by commas, e.g. 1,4,8,30")
    parser.add_argument("--generations", type=int, help="T; none: 10 with vLLM, 5 with the simulated engine")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn")
    parser.add_argument("--tuned", type=int, help="requests in flight for both, in place of their defaults")
    parser.add_argument("--quick", action="store_true", help="one run each, T=3, 1 and 4 problems")
    given = parser.parse_args()

    import evolve_llm

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended as well
    peer = kind_of(given.peer.resolve())
    model = given.model or Path(evolve_llm.__file__).parent / "models" / "fly"
    generations = 3 if given.quick else given.generations or GENERATIONS[given.engine]
    runs = 1 if given.quick else given.runs
    sizes = tuple(map(int, given.problems.split(","))) if given.problems else SIZES[peer]
    if given.quick and not given.problems:
        sizes = (1, 4)
    lengths = LENGTHS[given.engine]
    job = {
        "path": str(given.peer.resolve()), "model": "fly", "N": N, "K": K, "T": generations,
        "max_tokens": lengths.high, "tuned": given.tuned,
        "speed_up": given.speed_up if given.engine == "simulated" else 1.0,
    }  # fmt: skip
    rows: dict[int, dict[str, Any]] = {}
    with server(given.engine, model, given.speed_up) as root:
        for seed, size in enumerate(sizes):
            ours: list[Measured] = []
            theirs: list[Measured] = []
            for turn in range(-1 if seed == 0 else 0, runs):
                this = {**job, "questions": questions(size), "seed": 1000 * seed + max(0, turn)}
                if turn < 0:
                    this |= {"questions": questions(1), "T": 2}  # to warm up: not counted
                pair = (
                    run("ours.py", sys.executable, root, this, lengths),
                    run(PROGRAMS[peer], given.peer_python, root, this, lengths),
                )
                if turn >= 0:
                    ours.append(pair[0])
                    theirs.append(pair[1])
            rows[size] = summary(ours, theirs)
            ratio = rows[size]["times as fast"]
            print(
                f"{size:3} problem(s): ours {rows[size]['evolve-llm']['seconds']} s, "
                f"{peer} {rows[size]['peer']['seconds']} s; "
                f"{ratio['median']} times as fast [{ratio['lowest']}, {ratio['highest']}]",
                flush=True,
            )
    found = claims(peer, rows, given.tuned is not None)
    for one in found:
        print(f"{'shown    ' if one['shown'] else 'NOT SHOWN'} {one['claim']}")
    if given.quick:
        return
    tuned = "_tuned" if given.tuned else ""
    name = f"peers_{peer.lower().replace('-', '_')}_{given.engine}{tuned}.json"
    described = {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}",
        "peer": peer,
        "checkout": fingerprint(given.peer.resolve()),
        "engine": given.engine if given.engine == "vllm" else f"SIMULATED, {given.speed_up:g} times as fast",
        "in flight": given.tuned or "each one's default",
        "N": N, "K": K, "T": generations,
        "lengths": asdict(lengths),
        "problems": rows,
        "claims": found,
    }  # fmt: skip
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / name).write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    main()
