"""Before any training: does the untouched fly answer TRL, llama.cpp and our own sampler equally well?

    python experiments/aggregation_rl/base_rates.py [--prompts 200] [--replies 16]

Everybody is asked the same prompts, half of them standard and half aggregation, as ``evolve-llm train-data`` makes them
from a run of the fly on held-out problems. Writes results/base_rates.json: pass@1 by sampler and kind with 95 %
intervals clustered by problem, and the paired differences from llama.cpp.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evolve_llm import evolve
from evolve_llm.analysis.stats import ratio_interval
from evolve_llm.backends.base import Backend, make_backend
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.request import Prompt, Request, Sampling
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.groups import Drawing
from evolve_llm.train.learning import Job, trainer_of
from evolve_llm.train.measuring import Metrics
from evolve_llm.train.models import base_of, tokenizer_of
from evolve_llm.train.rewards import Rewards
from evolve_llm.train.settings import TrainSettings

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "fruit_fly"))
from batched import batched_fly  # noqa: E402 - a script beside this one

MAX_TOKENS = 40
CHUNK = 16  # prompts of TRL at once

Row = dict[str, Any]
Sampler = Callable[[Sequence[Row], int], list[str]]


def rows_of(prompts: int, folder: Path) -> list[Row]:
    """Standard and aggregation prompts in turn; candidates of generation 0, K = 4, not filtered."""
    run = evolve(f"locks?size={prompts // 2}&seed=5", "fly", "fly", generations=1, seed=5, out=folder / "run")
    made = training_set(run.path, Recipe(Drawing((0,), (4,), "none"), test_share=0.0, preset="fly"))
    return [row.plain() for row in made.train]


def asked_of(backend: Backend) -> Sampler:
    """A sampler that asks a backend of the toolkit."""

    def sample(rows: Sequence[Row], replies: int) -> list[str]:
        async def work() -> list[str]:
            await backend.start()
            try:
                slots = asyncio.Semaphore(backend.capacity)

                async def one(place: int, number: int) -> str:
                    prompt = Prompt.user(rows[place]["prompt"][0]["content"])
                    address = Address(0, number, "vary", 0)
                    seed = place * 1000 + number
                    request = Request(str(place), address, prompt, Sampling(max_tokens=MAX_TOKENS), seed)
                    async with slots:
                        return (await backend.generate(request)).text

                return list(
                    await asyncio.gather(*(one(p, n) for p in range(len(rows)) for n in range(replies)))
                )
            finally:
                await backend.close()

        return asyncio.run(work())

    return sample


def trl_sampler(folder: Path) -> Sampler:
    """TRL's own way from messages to texts, in the trainer that ``evolve-llm train`` uses."""

    def sample(rows: Sequence[Row], replies: int) -> list[str]:
        base = base_of("fly")
        settings = TrainSettings(prompts=2, rollouts=replies, steps=1)
        folder.mkdir(parents=True, exist_ok=True)
        with Rewards() as rewards:
            job = Job(rows, base, tokenizer_of(base), settings, "rloo", MAX_TOKENS, folder)
            trainer = trainer_of(job, rewards, Metrics(folder), None)
            trainer.model.train()
            texts: list[str] = []
            for start in range(0, len(rows), CHUNK):
                prompts = [row["prompt"] for row in rows[start : start + CHUNK] for _ in range(replies)]
                _, _, completions = trainer._generate(prompts)
                texts += [one[-1]["content"] for one in completions]
        return texts

    return sample


def right(rows: Sequence[Row], texts: Sequence[str], replies: int) -> list[float]:
    """The share of right replies to each row."""
    repeated = [row for row in rows for _ in range(replies)]
    with Rewards(workers=2) as rewards:
        values = [float(one or 0) for one in rewards.values(rewards.verdicts(repeated, texts))]
    return [sum(values[start : start + replies]) / replies for start in range(0, len(values), replies)]


def told(
    rows: Sequence[Row], shares: Sequence[float], bounds: tuple[float, float] = (0.0, 1.0)
) -> dict[str, Any]:
    """The mean over rows by kind, with an interval clustered by problem."""
    found = {}
    for kind in ("standard", "aggregation"):
        clusters: dict[str, list[float]] = defaultdict(list)
        for row, share in zip(rows, shares, strict=True):
            if row["kind"] == kind:
                clusters[row["problem"]].append(share)
        pairs = [(sum(some), float(len(some))) for some in clusters.values()]
        interval = ratio_interval(pairs, bounds=bounds)
        mean = sum(a for a, _ in pairs) / sum(b for _, b in pairs)
        found[kind] = {
            "mean": round(mean, 4),
            "interval": None if interval is None else [round(one, 4) for one in interval],
            "rows": sum(int(b) for _, b in pairs),
        }
    return found


def main() -> None:
    """Ask everybody, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=400, help="half of them standard")
    parser.add_argument("--replies", type=int, default=16)
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = rows_of(asked.prompts, folder)
        samplers = {
            "llama.cpp": asked_of(make_backend("fly")),
            "own": asked_of(batched_fly()),
            "trl": trl_sampler(folder / "trl"),
        }
        shares, seconds = {}, {}
        for name, sample in samplers.items():
            started = time.monotonic()
            shares[name] = right(rows, sample(rows, asked.replies), asked.replies)
            seconds[name] = round(time.monotonic() - started, 1)
            print(name, json.dumps(told(rows, shares[name])), flush=True)
    said = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "date": time.strftime("%Y-%m-%d"),
        "rows": len(rows),
        "replies": asked.replies,
        "pass@1": {name: told(rows, some) for name, some in shares.items()},
        "less_llama_cpp": {
            name: told(
                rows, [a - b for a, b in zip(shares[name], shares["llama.cpp"], strict=True)], (-1.0, 1.0)
            )
            for name in ("own", "trl")
        },
        "seconds_by_sampler": seconds,
        "seconds": round(time.monotonic() - begun),
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "base_rates.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
