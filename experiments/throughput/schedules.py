"""What waiting costs: five schedules over the same requests, on a simulated engine and on a real vLLM.

    python experiments/throughput/schedules.py             # everything: about 6 minutes on two quiet cores
    python experiments/throughput/schedules.py --quick     # small sizes: about a minute
    python experiments/throughput/schedules.py --simulated # the simulation alone, no vLLM needed

Every schedule gets the same requests: RSA's graph with parents drawn from a seed, output lengths lognormal and drawn by
(problem, generation, slot), prompts of the question and the K parents. On vLLM lengths are forced
(``min_tokens = max_tokens``, no end of sequence) on prompts of random tokens; prefix caching is off.

1. vLLM with the fly: lengths scaled to its window of 512 tokens.
2. The same work on the simulated engine, its constants fitted to this vLLM on this machine just before: the
   table of ratios says how far the simulation may be believed.
3. The simulated engine with the constants of a model of 4 billion parameters on one H100 (see simulated.py).

In the simulations also two bounds: our dependencies with the least advanced problem first, and all requests
at once as if none needed another. The two serial schedules are measured on at most ``--serial`` problems and
scaled by the number of problems: their time is a sum over parts. Needs vLLM for 1 and 2, matplotlib for the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from raw_vllm import fixed_lengths, machine, opened
from scheduling import BOUNDS, SCHEDULES, SERIAL, Leaping, Shape, Work, drive, simulate
from simulated import Speed

RESULTS = Path(__file__).parent / "results"
PROBLEMS = (1, 8, 30, 120)
FLY = Shape(n=16, k=4, generations=5, question=12, mean=16.0, sigma=0.8, cap=96)
LARGE = Shape(n=16, k=4, generations=10, question=200, mean=2500.0, sigma=0.8, cap=16_384)
BATCH, STEP_TOKENS = 64, 2048  # of the real engine
Ask = Callable[[int, int], Awaitable[None]]


def in_flight(batch: int) -> int:
    """Requests in flight: a full batch and a short queue, as ``evolve_llm.engine.permits`` keeps it."""
    return batch + batch // 16


async def calibrate(ask: Ask, quick: bool) -> Speed:
    """Fit the simulated engine's three constants to timed batches of equal requests, by least squares.

    A batch of b requests with p prompt tokens and n new ones takes about n steps of ``base + each · b``
    and ``b · p / prefill`` seconds.
    """
    import numpy as np

    rows, seconds = [], []
    batches = [(b, 8, 60) for b in (1, 4, 16, 32, 64)] + [(16, 400, 2), (64, 200, 2), (64, 400, 2)]
    for batch, prompt, new in batches * (1 if quick else 3):
        began = time.perf_counter()
        await asyncio.gather(*(ask(prompt, new) for _ in range(batch)))
        seconds.append(time.perf_counter() - began)
        steps = new + batch * prompt // STEP_TOKENS
        rows.append([steps, new * batch, batch * prompt])
    weight = 1 / np.array(seconds)  # relative errors count alike
    found = np.linalg.lstsq(np.array(rows) * weight[:, None], np.ones(len(rows)), rcond=None)[0]
    base, each, read = (max(float(value), 1e-9) for value in found)
    return Speed(base=base, each=each, prefill=1 / read, batch=BATCH, tokens=STEP_TOKENS)


def simulated(shape: Shape, speed: Speed, counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Seconds by schedule and number of problems."""
    schedules = {**SCHEDULES, **BOUNDS}
    found: dict[str, dict[str, float]] = {name: {} for name in schedules}
    for count in counts:
        work = Work(shape, count)
        for name, schedule in schedules.items():
            seconds = simulate(work, schedule(work), Leaping(speed), in_flight(speed.batch))
            found[name][str(count)] = round(seconds, 3)
    return found


async def measured(
    ask: Ask, shape: Shape, counts: tuple[int, ...], serial: int, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds by schedule and number of problems, one entry a repeat; schedules take turns."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in SCHEDULES}
    for count in counts:
        for repeat in range(repeats if count <= 30 else 1):
            names = list(SCHEDULES)
            for name in names if repeat % 2 == 0 else reversed(names):
                few = min(count, serial) if name in SERIAL else count
                work = Work(shape, few)
                seconds = await drive(work, SCHEDULES[name](work), ask, in_flight(BATCH)) * count / few
                found[name].setdefault(str(count), []).append(round(seconds, 3))
                print(f"vLLM  {count:4} problems  {name:22} {seconds:8.2f} s", flush=True)
    return found


@asynccontextmanager
async def real_engine() -> AsyncGenerator[Ask, None]:
    """vLLM with the fly, warmed up."""
    async with opened("fly", batch=BATCH, step_tokens=STEP_TOKENS, prefix_caching=False) as engine:
        ask = fixed_lengths(engine)
        await asyncio.gather(*(ask(30, 30) for _ in range(2 * BATCH)))
        yield ask


async def with_vllm(
    shape: Shape, counts: tuple[int, ...], serial: int, repeats: int, quick: bool
) -> dict[str, Any]:
    """Parts 1 and 2."""
    async with real_engine() as ask:
        speed = await calibrate(ask, quick)
        print(f"fitted: {speed}", flush=True)
        seconds = await measured(ask, shape, counts, serial, repeats)
    model = simulated(shape, speed, counts)
    middle = {
        name: {count: sorted(times)[len(times) // 2] for count, times in row.items()}
        for name, row in seconds.items()
    }
    ratio = {
        name: {count: round(model[name][count] / took, 3) for count, took in row.items()}
        for name, row in middle.items()
    }
    return {
        "shape": asdict(shape),
        "fitted": asdict(speed),
        "serial_measured_on": serial,
        "seconds": seconds,
        "median_seconds": middle,
        "simulated_seconds": model,
        "simulated_over_measured": ratio,
    }


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print how many times as long as ours each schedule takes."""
    print(f"\n{title}")
    counts = list(rows["dependencies"])
    print(f"{'problems':24}" + "".join(f"{count:>10}" for count in counts))
    for name, row in rows.items():
        print(f"{name:24}" + "".join(f"{row[count] / rows['dependencies'][count]:10.2f}" for count in counts))


def draw(results: dict[str, Any], path: Path) -> None:
    """Times relative to ours, by number of problems: one panel an engine."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [("H100-like, simulated", results["h100_simulated"]["seconds"], None)]
    if "vllm" in results:
        real = results["vllm"]
        panels.insert(0, ("vLLM, fly (dots: simulated)", real["median_seconds"], real["simulated_seconds"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5 * len(panels), 4), layout="constrained", squeeze=False
    )
    for axis, (title, rows, dots) in zip(axes[0], panels, strict=True):
        ours = rows["dependencies"]
        for name in SCHEDULES:
            row = rows[name]
            counts = list(row)
            (line,) = axis.plot(
                [int(c) for c in counts], [row[c] / ours[c] for c in counts], marker="x", label=name
            )
            if dots:
                relative = [dots[name][c] / dots["dependencies"][c] for c in counts]
                axis.plot([int(c) for c in counts], relative, "o", color=line.get_color(), alpha=0.5)
        axis.set(
            title=title, xlabel="problems", ylabel="time / time of dependencies", xscale="log", yscale="log"
        )
        axis.set_xticks([int(c) for c in ours], list(ours))
        axis.set_yticks([1, 1.5, 2, 3, 5, 9], ["1", "1.5", "2", "3", "5", "9"])
        axis.minorticks_off()
    axes[0][0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing unless --out")
    parser.add_argument("--simulated", action="store_true", help="no vLLM")
    parser.add_argument("--serial", type=int, default=2, help="problems the serial schedules run on vLLM")
    parser.add_argument("--repeats", type=int, default=3, help="on vLLM, up to 30 problems")
    parser.add_argument("--out", type=Path, help=f"folder for schedules.json and .png (default: {RESULTS})")
    arguments = parser.parse_args()
    counts = (1, 8) if arguments.quick else PROBLEMS
    results: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine()}
    if not arguments.simulated:
        shape = replace(FLY, generations=3) if arguments.quick else FLY
        repeats = 1 if arguments.quick else arguments.repeats
        results["vllm"] = asyncio.run(with_vllm(shape, counts, arguments.serial, repeats, arguments.quick))
        show("vLLM with the fly, time relative to ours", results["vllm"]["median_seconds"])
        print("\nsimulated / measured:", json.dumps(results["vllm"]["simulated_over_measured"], indent=1))
    seconds = simulated(LARGE, Speed(), PROBLEMS)
    results["h100_simulated"] = {"shape": asdict(LARGE), "speed": asdict(Speed()), "seconds": seconds}
    show("H100-like, SIMULATED, time relative to ours", seconds)
    folder = arguments.out or (None if arguments.quick else RESULTS)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schedules.json").write_text(json.dumps(results, indent=2) + "\n")
        draw(results, folder / "schedules.png")


if __name__ == "__main__":
    main()
