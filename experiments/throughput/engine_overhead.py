"""What the machine itself costs: microseconds a candidate and peak memory, with a model that takes no time.

    python experiments/throughput/engine_overhead.py                # 1,000 problems x N=16 x T=10
    python experiments/throughput/engine_overhead.py --problems 50  # a quick look

Three programs do the same calls, each in a process of its own:

    bare      an asyncio loop over the calls and nothing else: no prompts, no plans, no store
    barrier   RSA written plainly: all problems wait for each generation; prompts rendered, answers parsed,
              everything kept in memory, nothing stored
    machine   ``evolve``: seeded plans, no barrier, every completion committed before its dependants start

Memory is sampled as the run goes: a machine that held on to finished problems would grow with them.
Results go to ``results/engine_overhead.json`` beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

N, K, T = 16, 4, 10
CAPACITY = 64
RESULTS = Path(__file__).parent / "results" / "engine_overhead.json"


def problems(count: int):
    from evolve_llm import Problem

    return [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(count)]


def backend():
    from evolve_llm import Completion
    from evolve_llm.backends.scripted import Scripted

    def respond(request):
        return Completion(f"Adding gives the sum. \\boxed{{{request.seed % 7}}}", "stop", 30, 10)

    return Scripted(respond, capacity=CAPACITY)


def memory_mib() -> float:
    """Resident memory of this process now, in MiB (Linux; elsewhere the peak so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20


def bare(count: int) -> list[float]:
    from evolve_llm import Prompt, Request, Sampling
    from evolve_llm.nouns.address import Address

    model, prompt, sampling = backend(), Prompt.user("What is 1 + 1?"), Sampling()

    async def work() -> None:
        places = asyncio.Semaphore(CAPACITY)

        async def call(seed: int) -> None:
            async with places:
                await model.generate(Request("p", Address(0, seed, "vary", 0), prompt, sampling, seed))

        for first in range(0, count * N * T, 10_000):
            await asyncio.gather(*(call(first + i) for i in range(min(10_000, count * N * T - first))))

    asyncio.run(work())
    return []


def barrier(count: int) -> list[float]:
    from evolve_llm_operators.crossover import aggregate
    from evolve_llm_operators.mutation import sample

    from evolve_llm import Candidate, Request, Sampling
    from evolve_llm.nouns.address import Address
    from evolve_llm.scheme.formats import last_boxed

    model, sampling, items, draw = backend(), Sampling(), problems(count), random.Random(0)

    async def work() -> None:
        places = asyncio.Semaphore(CAPACITY)

        async def child(problem, parents, generation, slot):
            prompt = aggregate(problem, parents) if parents else sample(problem)
            async with places:
                done = await model.generate(
                    Request("p", Address(generation, slot, "vary", 0), prompt, sampling, draw.getrandbits(60))
                )
            answer = last_boxed(done.text)
            return Candidate(problem.id, generation, slot, "aggregate", done.text, answer, answer)

        populations: list[list[Candidate]] = [[] for _ in items]
        for generation in range(T):
            calls = [
                child(problem, draw.sample(population, K) if population else [], generation, slot)
                for problem, population in zip(items, populations, strict=True)
                for slot in range(N)
            ]
            children = await asyncio.gather(*calls)
            populations = [children[i * N : (i + 1) * N] for i in range(count)]

    asyncio.run(work())
    return []


def machine(count: int) -> list[float]:
    from evolve_llm import evolve

    samples: list[float] = []

    def watch(generation) -> None:
        if generation.last and generation.place % max(1, count // 10) == 0:
            samples.append(round(memory_mib(), 1))

    with tempfile.TemporaryDirectory() as folder:
        evolve(problems(count), "rsa", backend(), out=Path(folder) / "run", on_generation=watch)
    return samples


def measure(name: str, count: int) -> dict[str, object]:
    """Run one of the three in a fresh process."""
    command = [sys.executable, __file__, "--only", name, "--problems", str(count)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--only", choices=("bare", "barrier", "machine"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        work = {"bare": bare, "barrier": barrier, "machine": machine}[arguments.only]
        work(1)  # imports and caches are not what is measured
        began = time.perf_counter()
        samples = work(arguments.problems)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            1024 if sys.platform != "darwin" else 2**20
        )
        each = seconds / (arguments.problems * N * T) * 1e6
        print(
            json.dumps(
                {"us_per_candidate": round(each, 1), "peak_mib": round(peak, 1), "memory_as_it_ran": samples}
            )
        )
        return
    rows = {name: measure(name, arguments.problems) for name in ("bare", "barrier", "machine")}
    for name, row in rows.items():
        print(f"{name:8} {row['us_per_candidate']:>8} µs/candidate   peak {row['peak_mib']:>7} MiB")
    print(f"memory of the machine as problems finish, MiB: {rows['machine']['memory_as_it_ran']}")
    described = {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}",
        "problems": arguments.problems,
        "N": N,
        "T": T,
        "results": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(described, indent=2) + "\n")


def processor() -> str:
    """The CPU's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    main()
