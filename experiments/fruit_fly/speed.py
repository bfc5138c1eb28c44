"""How fast the fly samples and what bounds it: ``python experiments/fruit_fly/speed.py``.

Through the package's own backend, standard and K=4 prompts, 1, 16 and 64 chains at once; the arithmetic limit from
the model's own matrix products in numpy, one thread; and a ladder of settings from the slowest to the default.
``--quick`` takes a minute. Writes JSON, and the tables of SPEED.md to standard output. Beside other work only the
CPU time a token means anything.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before numpy is imported

import argparse
import asyncio
import json
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from evolve_llm_problems import locks

from evolve_llm.backends.fly import Fly, fly
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.request import Completion, Prompt, Request, Sampling

WIDTH, WIDE, LAYERS, VOCABULARY = 128, 352, 4, 32
PRODUCTS = [(WIDTH, WIDTH)] * 4 * LAYERS + [(WIDTH, WIDE)] * 2 * LAYERS + [(WIDE, WIDTH)] * LAYERS
PRODUCTS.append((WIDTH, VOCABULARY))
WEIGHTS = sum(a * b for a, b in PRODUCTS)
LADDER: list[tuple[str, dict[str, Any], bool]] = [
    ("two threads, flash attention, streamed", {"n_threads": 2, "flash_attention": True}, True),
    ("one thread", {"flash_attention": True}, True),
    ("no flash attention", {}, True),
    ("not streamed (the default)", {}, False),
    ("flash attention on an f16 cache", {"flash_attention": True, "cache_type_k": "f16", "cache_type_v": "f16"}, False),
    ("two threads", {"n_threads": 2}, False),
]  # fmt: skip


def prompts(count: int, parents: int) -> list[str]:
    """Different bundles of one to four locks, each after ``parents`` candidates with one wrong guess."""
    made = []
    for problem in locks.load(size=count, seed=11):
        bundle = locks.read_question(problem.question)
        keys = [int(key) for key in problem.reference]
        tried = [[*keys[:-1], (keys[-1] + i) % 10] for i in range(parents)]
        made.append(f"<{'|'.join([*(locks.chain(bundle, one) for one in tried), problem.question])}>")
    return made


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def timed(backend: Fly, texts: list[str], seed: int) -> dict[str, float]:
    """All texts at once, as many as there are slots in flight."""
    requests = [
        Request("speed", Address(0, i, "vary", 0), Prompt.user(text), Sampling(max_tokens=40), seed + i)
        for i, text in enumerate(texts)
    ]
    began, used = time.perf_counter(), cpu()
    got: list[Completion] = list(await asyncio.gather(*map(backend.generate, requests)))
    seconds, used = time.perf_counter() - began, cpu() - used
    tokens = sum(one.completion_tokens for one in got)
    prefilled = sum(one.prompt_tokens - one.cached_tokens for one in got)
    return {
        "chains": len(got),
        "chains/s": len(got) / seconds,
        "tokens/s": tokens / seconds,
        "prefilled/s": prefilled / seconds,
        "prefilled share": prefilled / sum(one.prompt_tokens for one in got),
        "CPU us/token": 1e6 * used / tokens,
    }


def engine(
    loads: list[list[str]], repeats: int, *, streams: bool = False, **options: Any
) -> list[dict[str, float]]:
    """The median of ``repeats`` passes over each load, after one that warms up."""

    async def work() -> list[dict[str, float]]:
        backend = fly(**options)
        backend.streams = streams
        found = []
        try:
            await backend.start()
            for texts in loads:
                await timed(backend, texts[: backend.capacity], 0)
                passes = [await timed(backend, texts, 1000 * (1 + turn)) for turn in range(repeats)]
                found.append({name: float(np.median([one[name] for one in passes])) for name in passes[0]})
        finally:
            await backend.close()
        return found

    return asyncio.run(work())


async def _one_first(backend: Fly, texts: list[str]) -> dict[str, float]:
    first = await timed(backend, texts[:1], 0)
    rest = await timed(backend, texts[1:], 1)
    seconds = sum(one["chains"] / one["chains/s"] for one in (first, rest))
    prefilled = sum(one["prefilled share"] * one["chains"] for one in (first, rest)) / len(texts)
    return {"chains/s": len(texts) / seconds, "prefilled share": prefilled}


def same_prompt(count: int, repeats: int) -> dict[str, dict[str, float]]:
    """16 samples of one prompt, as generation 0 asks for them: at once, or one first and then the others."""

    async def work() -> dict[str, dict[str, float]]:
        backend = fly()
        passes: dict[str, list[dict[str, float]]] = {"at once": [], "one first": []}
        try:
            await backend.start()
            for _ in range(repeats):
                for text in prompts(count, 0):
                    passes["at once"].append(await timed(backend, [text] * 16, 0))
                for text in prompts(2 * count, 0)[count:]:
                    passes["one first"].append(await _one_first(backend, [text] * 16))
        finally:
            await backend.close()
        return {
            name: {
                key: float(np.mean([one[key] for one in found])) for key in ("chains/s", "prefilled share")
            }
            for name, found in passes.items()
        }

    return asyncio.run(work())


def limit(rows: int, seconds: float) -> dict[str, float]:
    """What one thread needs for the matrix products of one step of ``rows`` chains, and nothing else."""
    rng = np.random.default_rng(0)
    inputs = {size: rng.random((rows, size), np.float32) for size in (WIDTH, WIDE)}
    weights = [rng.random(shape, np.float32) for shape in PRODUCTS]
    outputs = [np.empty((rows, shape[1]), np.float32) for shape in PRODUCTS]
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        for weight, output in zip(weights, outputs, strict=True):
            np.matmul(inputs[weight.shape[0]], weight, out=output)
        best = min(best, time.perf_counter() - began)
    return {"us/token": 1e6 * best / rows, "tokens/s": rows / best, "GFLOP/s": 2e-9 * WEIGHTS * rows / best}


def machine(seconds: float) -> dict[str, Any]:
    """Peak of one thread in float32, and how fast it reads memory."""
    square = np.random.default_rng(0).random((1024, 1024), np.float32)
    large = np.zeros(64 * 2**20, np.float32)
    product = read = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        square @ square
        product = min(product, time.perf_counter() - began)
        began = time.perf_counter()
        large.sum()
        read = min(read, time.perf_counter() - began)
    name = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": name or platform.processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "GFLOP/s": 2e-9 * 1024**3 / product,
        "GB/s": large.nbytes / read / 1e9,
    }


def measure(quick: bool) -> dict[str, Any]:
    """Everything, as plain data."""
    chains, repeats, seconds = (64, 1, 0.5) if quick else (512, 5, 3.0)
    both = [prompts(chains, parents) for parents in (0, 4)]
    length = [len(text) for texts in both for text in texts]
    result: dict[str, Any] = {
        "machine": machine(seconds),
        "parameters in products": WEIGHTS,
        "FLOP/token": 2 * WEIGHTS + 4 * LAYERS * WIDTH * (sum(length) / len(length)),
        "limit": {str(rows): limit(rows, seconds) for rows in (1, 16, 64)},
        "engine": {},
        "ladder": {},
    }
    for parallel in (1, 16, 64):
        loads = [texts[: max(32, chains * min(parallel, 16) // 16)] for texts in both]
        found = engine(loads, repeats, n_parallel=parallel)
        result["engine"][str(parallel)] = dict(zip(("standard", "K=4"), found, strict=True))
    for name, options, streams in LADDER:
        found = engine(both, repeats, streams=streams, **options)
        result["ladder"][name] = dict(zip(("standard", "K=4"), found, strict=True))
    result["one prompt, 16 samples"] = same_prompt(6 if quick else 24, repeats)
    return result


def tables(result: dict[str, Any]) -> str:
    """The figures as they stand in SPEED.md."""
    at = result["machine"]
    lines = [
        f"{at['date']}, {at['cores']} cores of {at['processor']}, load {at['load']:.1f}. One thread: "
        f"{at['GFLOP/s']:.0f} GFLOP/s in float32 (1024 x 1024), memory read at {at['GB/s']:.0f} GB/s.",
        "",
        "| chains at once | prompts | chains/s | tokens/s | prompt tokens prefilled/s | CPU us/token "
        "| products alone, us/token |",
        "|---|---|---|---|---|---|---|",
    ]
    for parallel, kinds in result["engine"].items():
        for kind, row in kinds.items():
            lines.append(
                f"| {parallel} | {kind} | {row['chains/s']:.0f} | {row['tokens/s']:,.0f} | {row['prefilled/s']:,.0f} | "
                f"{row['CPU us/token']:.0f} | {result['limit'][parallel]['us/token']:.0f} |"
            )
    lines += [
        "",
        "| 16 chains at once | standard: chains/s | CPU us/token | K=4: chains/s | CPU us/token |",
        "|---|---|---|---|---|",
    ]
    for name, kinds in result["ladder"].items():
        cells = " | ".join(f"{row['chains/s']:.0f} | {row['CPU us/token']:.0f}" for row in kinds.values())
        lines.append(f"| {name} | {cells} |")
    lines += ["", "| 16 samples of one prompt | chains/s | prompt tokens prefilled |", "|---|---|---|"]
    for name, row in result["one prompt, 16 samples"].items():
        lines.append(f"| {name} | {row['chains/s']:.0f} | {100 * row['prefilled share']:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it runs")
    parser.add_argument("--out", type=Path, help="JSON file of all figures")
    given = parser.parse_args()
    result = measure(given.quick)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(tables(result))


if __name__ == "__main__":
    main()
