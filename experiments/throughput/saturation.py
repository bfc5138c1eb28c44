"""How near a run comes to what the engine can do: our run against the same requests all at once.

    python experiments/throughput/saturation.py                      # vllm:fly, 1, 8 and 30 problems
    python experiments/throughput/saturation.py --quick              # a look: one repeat, 1 and 8 problems
    python experiments/throughput/saturation.py --model vllm:Qwen/Qwen3-4B-Instruct-2507 \\
        --problems aime25 --sizes 8,30 --set engine.max_num_seqs=256 # a GPU machine

Four programs generate the same texts, by turns, on one engine that stays up:

    run       ``Session``: RSA's dependencies, plans, prompts, permits, the store on disk, grading
    graph     every request of that run, recorded, to ``backend.generate`` the moment those of its parents have
              ended, and nothing else: what the dependencies alone allow. graph / at once is the **bound** for
              run / at once, and run / graph is what our engine loses
    at once   every request of that run to ``backend.generate`` at the same moment
    engine    the same requests as token ids straight to vLLM's AsyncLLM at the same moment: no template, no
              tokenizer, nothing of ours; for a backend that is not vLLM it is left out

    unseeded  as engine, the requests without their seeds: what vLLM's sampler loses to them

The last ones know every prompt beforehand, so that no run could always keep up with them: with few problems the
longest line of descent decides. Seeds are those of the run, so the texts are the same but for rounding in
batches; what is compared is generated tokens a second.
The prefix cache is emptied before each. Medians and ranges over repeats; ratios are of neighbours in time.
``--profile`` prints where the time of our process goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from raw_vllm import machine

from evolve_llm import Completion, Prompt, Request, Run, Session
from evolve_llm.backends.base import Backend, Load, ModelInfo, load_of, make_backend

RESULTS = Path(__file__).parent / "results"
Node = tuple[str, int, int]  # problem, generation, slot


class Kept:
    """A started backend that outlives the runs it serves. Keeps the requests of the last one."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.identity, self.capacity = inner.identity, inner.capacity
        self.requests: list[Request] = []
        self.parents: dict[Node, tuple[Node, ...]] = {}
        self.peak = self._in_flight = 0
        self._info: ModelInfo | None = None

    async def start(self) -> ModelInfo:
        if self._info is None:
            self._info = await self.inner.start()
            self.capacity = self.inner.capacity
        return self._info

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        self._in_flight += 1
        self.peak = max(self.peak, self._in_flight)
        try:
            return await self.inner.generate(request)
        finally:
            self._in_flight -= 1

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self.inner.count_tokens(prompt)

    async def load(self) -> Load | None:
        return await load_of(self.inner)

    async def close(self) -> None:
        """Stays open for the next run."""


async def fresh(backend: Kept) -> None:
    """Empty vLLM's prefix cache."""
    reset = getattr(vllm_engine(backend), "reset_prefix_cache", None)
    if reset is not None:
        await reset()


def vllm_engine(backend: Kept) -> Any:
    """The AsyncLLM within the backend, None where it is another kind of engine."""
    engine = getattr(backend.inner, "_engine", None)
    return engine if hasattr(engine, "reset_prefix_cache") else None


async def our_run(backend: Kept, problems: str, size: int, preset: str, seed: int) -> tuple[int, float]:
    """Generated tokens and seconds of a run of ours, from the first plan to the last answer on disk."""
    backend.requests, backend.peak = [], 0
    with tempfile.TemporaryDirectory() as folder:
        session = Session(problems, preset, backend, out=Path(folder) / "run", limit=size, seed=seed)
        async with session:
            await fresh(backend)
            began = time.perf_counter()
            async for _ in session.generations():
                pass
            seconds = time.perf_counter() - began
            assert session.evolution is not None
            spent = session.evolution.meter.completion_tokens
        backend.parents = parents_of(Run(session.path))
        return spent, seconds


def parents_of(run: Run) -> dict[Node, tuple[Node, ...]]:
    """Whose chains stand in the prompt of each candidate, by problem, generation and slot."""
    return {
        (problem.id, one.generation, one.slot): tuple(
            (problem.id, *map(int, uid.split("."))) for uid in one.parents
        )
        for problem, populations in run.populations(texts=False)
        for row in populations
        for one in row.members
    }


async def at_once(backend: Kept, requests: list[Request]) -> tuple[int, float]:
    """The same of all requests at once through the backend."""
    await fresh(backend)
    began = time.perf_counter()
    answers = await asyncio.gather(*(backend.inner.generate(one) for one in requests))
    return sum(one.completion_tokens for one in answers), time.perf_counter() - began


async def graph(backend: Kept, requests: list[Request]) -> tuple[int, float]:
    """The same of each request through the backend as soon as its parents' have ended: no schedule can do better."""
    ended = {node_of(one): asyncio.Event() for one in requests}

    async def ask(request: Request) -> int:
        for parent in backend.parents.get(node_of(request), ()):
            await ended[parent].wait()
        made = (await backend.inner.generate(request)).completion_tokens
        ended[node_of(request)].set()
        return made

    await fresh(backend)
    began = time.perf_counter()
    made = await asyncio.gather(*map(ask, requests))
    return sum(made), time.perf_counter() - began


def node_of(request: Request) -> Node:
    """The candidate that a request writes."""
    return request.problem, request.address.generation, request.address.slot


async def straight(
    backend: Kept, requests: list[Request], *, seeded: bool = True
) -> tuple[int, float] | None:
    """The same of all requests at once through vLLM's engine; None for another backend."""
    inner: Any = backend.inner
    engine = vllm_engine(backend)
    if engine is None:
        return None
    ids = [await inner._aside(inner._chat.tokens, one.prompt) for one in requests]
    parameters = [inner._parameters(one) for one in requests]
    for one in () if seeded else parameters:
        one.seed = None

    async def ask(number: int) -> int:
        name, made = f"straight-{number}-{time.monotonic_ns()}", 0
        async for output in engine.generate(
            {"prompt_token_ids": ids[number]}, parameters[number], request_id=name
        ):
            made = len(output.outputs[0].token_ids)
        return made

    await fresh(backend)
    began = time.perf_counter()
    made = await asyncio.gather(*(ask(number) for number in range(len(requests))))
    return sum(made), time.perf_counter() - began


async def study(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that goes into the JSON file."""
    engine = dict(pair.removeprefix("engine.").split("=", 1) for pair in arguments.set)
    backend = Kept(make_backend(arguments.model, engine))
    rows = {}
    try:
        await backend.start()
        await our_run(backend, arguments.problems, 4, arguments.preset, 99)  # warm
        await at_once(backend, backend.requests)
        for size in arguments.sizes:
            rows[str(size)] = await one_size(backend, arguments, size)
    finally:
        await backend.inner.close()
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "model": arguments.model,
        "engine": engine,
        "capacity": backend.capacity,
        "preset": arguments.preset,
        "problem_set": arguments.problems,
        "problems": rows,
    }


async def one_size(backend: Kept, arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    """Tokens a second of the three programs at one number of problems, and ratios of neighbours."""
    rates: dict[str, list[float]] = {name: [] for name in ("run", "graph", "at once", "engine", "unseeded")}
    tokens: dict[str, int] = {}
    ratios: dict[str, list[float]] = {name: [] for name in ("graph", "at once", "engine")}
    bounds: list[float] = []
    gains: list[float] = []
    peak = 0
    for repeat in range(arguments.repeats):
        ours, peak = await timed(backend, arguments, size), backend.peak
        requests = sorted(backend.requests, key=lambda one: one.id)
        others = {
            "graph": await graph(backend, requests),
            "at once": await at_once(backend, requests),
            "engine": await straight(backend, requests),
            "unseeded": await straight(backend, requests, seeded=False),
        }
        again = await timed(backend, arguments, size)  # ours before and after: a drift of the machine cancels
        rate = 2 * ours[0] / (ours[1] + again[1])
        rates["run"] += [ours[0] / ours[1], again[0] / again[1]]
        tokens["run"] = ours[0]
        for name, measured in others.items():
            if measured is not None:
                tokens[name] = measured[0]
                rates[name].append(measured[0] / measured[1])
                if name in ratios:
                    ratios[name].append(rate * measured[1] / measured[0])
        bounds.append(rates["graph"][-1] / rates["at once"][-1])
        if rates["engine"]:
            gains.append(rates["unseeded"][-1] / rates["engine"][-1])
        shown = ", ".join(f"{name} {row[-1]:,.0f}" for name, row in rates.items() if row)
        print(f"{size:4} problems, repeat {repeat}: tokens/s {shown}", flush=True)
    row: dict[str, Any] = {"requests": len(backend.requests), "peak_in_flight": peak, "tokens": tokens}
    row["tokens_per_second"] = {name: summary(one, 0) for name, one in rates.items() if one}
    row["run_over"] = {name: summary(one, 3) for name, one in ratios.items() if one}
    row["bound"] = summary(bounds, 3)
    if gains:
        row["unseeded_over_seeded"] = summary(gains, 3)
    print(f"     bound (graph / at once): {row['bound']['median']}")
    for name, one in row["run_over"].items():
        print(f"     run / {name}: {one['median']} ({one['least']} ... {one['most']})")
    return row


async def timed(backend: Kept, arguments: argparse.Namespace, size: int) -> tuple[int, float]:
    """A run of ours, under the profiler where asked for."""
    if not arguments.profile:
        return await our_run(backend, arguments.problems, size, arguments.preset, 0)
    import cProfile
    import pstats

    with cProfile.Profile() as profile:
        found = await our_run(backend, arguments.problems, size, arguments.preset, 0)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    return found


def summary(values: list[float], digits: int) -> dict[str, Any]:
    """Median, range and every value."""
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
        "all": [round(value, digits) for value in values],
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """The ratios by number of problems, each repeat a dot."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.5), layout="constrained")
    rows = results["problems"]
    for name, marker in (("graph", "^"), ("at once", "o"), ("engine", "s")):
        places = [place for place, row in enumerate(rows.values()) if name in row["run_over"]]
        found = [row["run_over"][name] for row in rows.values() if name in row["run_over"]]
        if found:
            axis.plot(places, [one["median"] for one in found], marker=marker, label=f"run / {name}")
            for place, one in zip(places, found, strict=True):
                axis.plot([place] * len(one["all"]), one["all"], ".", color="grey", markersize=4)
    axis.plot(
        range(len(rows)),
        [row["bound"]["median"] for row in rows.values()],
        ":",
        color="black",
        label="bound of run / at once",
    )
    axis.set_xticks(range(len(rows)), list(rows))
    axis.set(xlabel="problems", ylabel="ratio of tokens/s", title=results["model"])
    axis.set_ylim(bottom=0)
    axis.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="vllm:fly")
    parser.add_argument("--problems", default="locks?locks=4")
    parser.add_argument("--preset", default="fly")
    parser.add_argument("--sizes", type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="engine.KEY=VALUE")
    parser.add_argument("--quick", action="store_true", help="a look; writes nothing unless --out")
    parser.add_argument("--profile", action="store_true", help="where our process spends its time")
    parser.add_argument("--out", type=Path, help=f"folder for saturation.json and .png (default: {RESULTS})")
    arguments = parser.parse_args()
    arguments.sizes = arguments.sizes or ([1, 8] if arguments.quick else [1, 8, 30])
    arguments.repeats = arguments.repeats or (1 if arguments.quick else 5)
    results = asyncio.run(study(arguments))
    folder = arguments.out or (None if arguments.quick or arguments.profile else RESULTS)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "saturation.json").write_text(json.dumps(results, indent=2) + "\n")
        draw(results, folder / "saturation.png")


if __name__ == "__main__":
    main()
