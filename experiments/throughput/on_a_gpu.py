"""All studies that want a GPU, within five minutes and without weights.

    python experiments/throughput/on_a_gpu.py                      # a model with the dimensions of Qwen3-4B
    python experiments/throughput/on_a_gpu.py --small --only starts,saturation   # a look on a CPU

One engine start serves the first four, on RSA with N=16, K=4, T=4 and chains of up to 512 tokens that no training made:

    saturation   runs of 8 and 30 problems against the dependency graph alone, and all requests at once
    seeds        the same requests with and without seeds, at once: what vLLM's sampler loses to seeds
    orders       four orders of parents, and two shared prefixes: seconds, prompt tokens, tokens from the cache
    schedules    dependencies, a barrier a problem and a barrier a generation at 1, 8 and 30 problems

The others start an engine each:

    memory       an engine that cannot fit says so before a token is spent
    killed       the engine's process is killed in the middle of a run; the run is resumed, and nothing is asked twice
    fp8          quantized weights: tokens a second
    lora         an adapter: tokens a second

What no longer fits into ``--minutes`` is left out and named. Results go to results/on_a_gpu.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from large import FOUR_BILLION, SMALL, Dimensions, write_adapter, write_model
from raw_vllm import fixed_lengths, machine, on_a_gpu
from saturation import Kept, at_once, fresh, graph, our_run, straight
from scheduling import SCHEDULES, Shape, Work, drive

from evolve_llm import BackendError, Preset, Problem, Run, Session, UserError, load_preset
from evolve_llm.backends.vllm.backend import vllm

RESULTS = Path(__file__).parent / "results"
STUDIES = ("starts", "saturation", "seeds", "orders", "schedules", "memory", "killed", "fp8", "lora")


def arms(preset: Preset) -> dict[str, dict[str, Any]]:
    """What the prefix cache may like, as overrides: four orders, and two numbers of parents shared by four children."""
    shared = sorted({max(1, preset.parents - 2), preset.parents - 1})
    return {
        **{name: {"order": name} for name in ("random", "slot", "popular", "trie")},
        **{
            f"shared_prefix g=4, d={d}": {"select": {"operator": "shared_prefix", "g": 4, "d": d}}
            for d in shared
        },
    }


@dataclass
class Bench:
    """The model, how much work there is, and what was found."""

    folder: Path
    size: Dimensions
    preset: Preset
    sizes: tuple[int, ...]
    until: float
    found: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def backend(self, **arguments: Any) -> Any:
        """vLLM on the model, with settings that a CPU needs too."""
        given: dict[str, Any] = {
            "load_format": "dummy",
            "max_model_len": self.size.window,
            "max_num_seqs": 256,
        }
        if not on_a_gpu():
            given |= {
                "dtype": "float32", "enforce_eager": True, "max_num_seqs": 64,
                "enable_chunked_prefill": False, "max_num_batched_tokens": self.size.window,
            }  # fmt: skip
        return vllm(str(self.folder / "model"), **{**given, **arguments})


def problems(count: int) -> list[Problem]:
    """Questions of two hundred characters that differ at once."""
    return [Problem(f"p{number:03}", f"{number:03} " + "why? " * 40, "text") for number in range(count)]


async def saturation(bench: Bench, kept: Kept) -> dict[str, Any]:
    """Tokens a second of a run, of the graph alone, and of all requests at once."""
    rows = {}
    for count in bench.sizes[1:] or bench.sizes:
        tokens, seconds = await our_run(kept, problems(count), count, bench.preset, 0)
        requests = sorted(kept.requests, key=lambda one: one.id)
        again = await our_run(kept, problems(count), count, bench.preset, 0)
        alone, together = await graph(kept, requests), await at_once(kept, requests)
        rate = 2 * tokens / (seconds + again[1])
        rows[str(count)] = {
            "requests": len(requests),
            "run": round(rate),
            "graph": round(alone[0] / alone[1]),
            "at once": round(together[0] / together[1]),
            "run_over_graph": round(rate * alone[1] / alone[0], 3),
            "run_over_at_once": round(rate * together[1] / together[0], 3),
            "bound": round((alone[0] / alone[1]) / (together[0] / together[1]), 3),
        }
    return rows


async def seeds(bench: Bench, kept: Kept) -> dict[str, Any]:
    """Tokens a second of the same requests at once, with seeds and without, by turns."""
    await our_run(kept, problems(bench.sizes[-1]), bench.sizes[-1], bench.preset, 0)
    requests = sorted(kept.requests, key=lambda one: one.id)
    rates: dict[str, list[float]] = {"seeded": [], "unseeded": []}
    for _ in range(2):
        for name in rates:
            measured = await straight(kept, requests, seeded=name == "seeded")
            assert measured is not None
            rates[name].append(measured[0] / measured[1])
    told: dict[str, Any] = {name: [round(one) for one in found] for name, found in rates.items()}
    told["unseeded_over_seeded"] = round(sum(rates["unseeded"]) / sum(rates["seeded"]), 3)
    return told


async def orders(bench: Bench, kept: Kept) -> dict[str, Any]:
    """Seconds and tokens of a run by order and shared prefix."""
    rows = {}
    count = bench.sizes[1] if len(bench.sizes) > 1 else bench.sizes[0]
    for name, overrides in arms(bench.preset).items():
        with tempfile.TemporaryDirectory() as folder:
            await fresh(kept)
            out, began = Path(folder) / "run", time.perf_counter()
            async with Session(problems(count), bench.preset.override(overrides), kept, out=out) as session:
                async for _ in session.generations():
                    pass
                seconds = time.perf_counter() - began
            spent = [row.plain() for row in Run(out).generations()]
        totals = {
            key: sum(row[key] for row in spent)
            for key in ("prompt_tokens", "cached_tokens", "completion_tokens")
        }
        rows[name] = {"seconds": round(seconds, 2), **totals}
    return rows


async def schedules(bench: Bench, kept: Kept) -> dict[str, Any]:
    """Seconds by schedule and number of problems, lengths forced."""
    inner: Any = kept.inner
    ask = fixed_lengths(inner._engine, vocabulary=1_000)
    n, longest = bench.preset.population, bench.preset.sampling.max_tokens
    shape = Shape(n, 4, bench.preset.generations, 200, longest / 2, 0.8, longest)
    rows: dict[str, Any] = {}
    for count in bench.sizes:
        work = Work(shape, count)
        for name in ("dependencies", "problem barriers", "generation barriers"):
            await fresh(kept)
            began = time.perf_counter()
            await drive(work, SCHEDULES[name](work), ask, inner.capacity + inner.capacity // 16)
            rows.setdefault(str(count), {})[name] = round(time.perf_counter() - began, 2)
    return rows


async def memory(bench: Bench) -> dict[str, Any]:
    """What is said of an engine that cannot fit."""
    backend = bench.backend(gpu_memory_utilization=0.0001)
    began = time.perf_counter()
    try:
        await backend.start()
    except (BackendError, UserError) as error:
        return {"seconds": round(time.perf_counter() - began, 1), "error": str(error)[:300]}
    finally:
        await backend.close()
    raise AssertionError("an engine that cannot fit has started")


async def killed(bench: Bench) -> dict[str, Any]:
    """A run whose engine is killed, and the same run resumed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        first = bench.backend()
        session = Session(problems(bench.sizes[0]), bench.preset, first, out=out)
        error = ""
        try:
            async with session:
                task = asyncio.create_task(_kill_soon(first))
                async for _ in session.generations():
                    pass
                await task
        except BackendError as gone:
            error = str(gone)[:200]
        before = sum(row.requests for row in Run(out).generations())
        second = Kept(bench.backend())
        async with Session(problems(bench.sizes[0]), bench.preset, second, out=out) as resumed:
            async for _ in resumed.generations():
                pass
        await second.inner.close()
        after = sum(row.requests for row in Run(out).generations())
        assert Run(out).complete
        assert before + len(second.requests) == after, "something was asked twice"
        return {
            "error": error,
            "stored_before": before,
            "asked_after": len(second.requests),
            "requests": after,
        }


async def _kill_soon(backend: Any) -> None:
    """Kill the engine's own process once it has begun to answer."""
    await asyncio.sleep(1.0)
    for process in backend._running.processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


async def rate_of(bench: Bench, **arguments: Any) -> dict[str, Any]:
    """Tokens a second of all requests of a run at once on an engine of its own."""
    kept = Kept(bench.backend(**arguments))
    try:
        await kept.start()
        count = bench.sizes[-1]
        await our_run(kept, problems(count), count, bench.preset, 0)
        tokens, seconds = await at_once(kept, sorted(kept.requests, key=lambda one: one.id))
        return {"tokens_per_second": round(tokens / seconds)}
    finally:
        await kept.inner.close()


async def study(bench: Bench, wanted: list[str]) -> None:
    """Run what is wanted, one engine for the first four."""
    shared: dict[str, Callable[[Bench, Kept], Awaitable[dict[str, Any]]]] = {
        "saturation": saturation, "seeds": seeds, "orders": orders, "schedules": schedules,
    }  # fmt: skip
    alone: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
        "memory": lambda: memory(bench),
        "killed": lambda: killed(bench),
        "fp8": lambda: rate_of(bench, quantization="fp8"),
        "lora": lambda: rate_of(bench, lora=str(bench.folder / "adapter")),
    }
    if any(name in wanted for name in shared):
        kept, began = Kept(bench.backend()), time.perf_counter()
        try:
            await kept.start()
            bench.found["starts"] = {"seconds": round(time.perf_counter() - began, 1)}
            await our_run(kept, problems(2), 2, bench.preset, 99)  # warm
            for name, work in shared.items():
                await _one(bench, name, wanted, lambda work=work: work(bench, kept))  # type: ignore[misc]
        finally:
            await kept.inner.close()
    for name, alone_work in alone.items():
        if name in ("memory", "fp8") and not on_a_gpu():  # on a CPU everything fits, and nothing is quantized
            bench.left_out += [f"{name} (no GPU)"] if name in wanted else []
            continue
        await _one(bench, name, wanted, alone_work)


async def _one(
    bench: Bench, name: str, wanted: list[str], work: Callable[[], Awaitable[dict[str, Any]]]
) -> None:
    if name not in wanted:
        return
    if time.monotonic() > bench.until:
        bench.left_out.append(f"{name} (out of time)")
        return
    began = time.perf_counter()
    try:
        bench.found[name] = await work()
    except Exception as error:  # the others are still worth having
        bench.found[name] = {"failed": f"{type(error).__name__}: {error}"[:400]}
    print(f"{name} ({time.perf_counter() - began:.0f} s): {json.dumps(bench.found[name])}", flush=True)


def main() -> None:
    """Read the flags, run, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a tiny model and little work")
    parser.add_argument("--only", default=",".join(STUDIES), help="which studies, with commas")
    parser.add_argument("--minutes", type=float, default=5.0, help="begin no study after that")
    parser.add_argument("--out", type=Path, default=RESULTS / "on_a_gpu.json")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := sorted(set(wanted) - set(STUDIES)):
        parser.error(f"unknown studies: {', '.join(unknown)}; there are {', '.join(STUDIES)}")
    rsa = load_preset("rsa")
    preset = rsa.override(
        {"population": 4, "parents": 2, "generations": 2, "sampling.max_tokens": 24}
        if given.small
        else {"population": 16, "parents": 4, "generations": 4, "sampling.max_tokens": 512}
    )
    size, mean = (SMALL, 16) if given.small else (FOUR_BILLION, 512)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", size, mean)
        write_adapter(Path(folder) / "adapter", size)
        sizes = (1, 2) if given.small else (1, 8, 30)
        bench = Bench(Path(folder), size, preset, sizes, time.monotonic() + 60 * given.minutes)
        asyncio.run(study(bench, wanted))
    result = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "model": f"{'a tiny model' if given.small else 'the dimensions of Qwen3-4B'}, random weights",
        "preset": {key: getattr(preset, key) for key in ("population", "parents", "generations")},
        "studies": bench.found,
        "left_out": bench.left_out,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {given.out}" + (f"; left out: {', '.join(bench.left_out)}" if bench.left_out else ""))


if __name__ == "__main__":
    main()
