"""What a prefix cache saves, by the order of parents and by how many of them children share; and what it costs.

    python experiments/throughput/prefill.py            # everything: about 10 minutes on two quiet cores
    python experiments/throughput/prefill.py --quick    # a look
    python experiments/throughput/prefill.py --only tokens --model fly

1. Tokens: RSA with N=16, K=4 through ``--model vllm:…``. Parent tokens (those of a prompt that belong to parents) that
   the engine computed are prompt tokens less what it says it had cached; beside them the least that any cache could
   do with, one of single tokens. Twice: the fruit fly (chains of 24 tokens, shorter than a block of the
   cache), and an untrained toy with chains of up to 512 tokens: its texts say nothing, its tokens count.
2. Accuracy: pass@1 of the last generation on held-out locks with the fly, many problems at once
   (experiments/fruit_fly/batched.py): no engine is timed here. Its 95 % interval, and that of the difference to
   random order paired by problem, are over problems.

Orders change no parent set, which is checked. Results go to ``results/prefill.json`` and ``results/prefill.png``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from prefill_counts import Child, ParentSets, fewer, same_sets, share
from raw_vllm import machine
from toy import LONGEST, WINDOW, write_toy

from evolve_llm import Run, Session, evolve
from evolve_llm.analysis.compare import compare
from evolve_llm.analysis.metrics import measure
from evolve_llm.analysis.stats import mean_interval
from evolve_llm.backends.base import Backend

HERE = Path(__file__).parent
BLOCK = 32
"""Tokens: the smallest block that vLLM has on a CPU."""
WHOLE_PROMPTS: dict[str, Any] = {"enable_chunked_prefill": False, "max_num_batched_tokens": 8192}
"""vLLM 0.32 on a CPU dies of a seeded request whose prompt it reads in two pieces."""
BASE = "random"
ORDERS: dict[str, dict[str, Any]] = {name: {"order": name} for name in (BASE, "slot", "popular", "trie")}
SHARED: dict[str, dict[str, Any]] = {
    f"shared_prefix g={g}, d={d}": {"select": {"operator": "shared_prefix", "g": g, "d": d}}
    for g, d in ((4, 1), (4, 2), (4, 3), (16, 4))
}
ARMS = {**ORDERS, **SHARED}
"""What is compared, as overrides of the preset."""

QUICK = (BASE, "trie", "shared_prefix g=4, d=3")


# ---- tokens


class Kept:
    """A backend that outlives a session, for several runs on one engine: started once, closed by its owner."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.info: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def start(self) -> Any:
        """Start at the first call; forget all prefixes at every one."""
        if self.info is None:
            self.info = await self.inner.start()
        await self.inner._engine.reset_prefix_cache()  # else a run would read what the one before has cached
        return self.info

    async def close(self) -> None:
        """Not yet."""


def children_of(run: Run) -> Iterator[tuple[str, list[Child]]]:
    """Each population after the first, as the problem's id and its children."""
    for problem, populations in run.populations():
        chains = {one.uid: len(one.text) for row in populations for one in row.members}
        for row in populations[1:]:
            yield (
                problem.id,
                [
                    Child(one.parents, tuple(chains[uid] for uid in one.parents), one.cached_tokens)
                    for one in row.members
                ],
            )


def sets_of(run: Run) -> ParentSets:
    """Who every child read."""
    return {
        (problem.id, one.uid): frozenset(one.parents)
        for problem, populations in run.populations(texts=False)
        for row in populations
        for one in row.members
    }


def backend_for(model: str, folder: Path) -> Backend:
    """The fly or the toy on vLLM, with small blocks."""
    from evolve_llm.backends.vllm.backend import vllm

    if model == "fly":
        return vllm("fly", block_size=BLOCK, **WHOLE_PROMPTS)
    write_toy(folder / "toy")
    return vllm(
        str(folder / "toy"),
        block_size=BLOCK, dtype="float32", max_model_len=WINDOW, max_num_seqs=128, enforce_eager=True,
        **WHOLE_PROMPTS,
    )  # fmt: skip


async def measure_tokens(
    model: str, arms: list[str], problems: int, generations: int, folder: Path
) -> dict[str, Any]:
    """Each arm on one engine: shares of parent tokens computed, seconds, whether the sets are random order's."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # these models are too small to share
    kept = Kept(backend_for(model, folder))
    rows: dict[str, Any] = {}
    base: ParentSets = {}
    try:
        for arm in ["warm-up", *arms]:
            session = Session(
                f"locks?size={2 if arm == 'warm-up' else problems}&locks=4",
                "fly",
                kept,
                out=folder / f"{model}-{len(rows)}-{arm}".replace(" ", "_"),
                overrides={
                    "generations": generations,
                    **({"sampling.max_tokens": LONGEST} if model == "toy" else {}),
                    **ARMS.get(arm, {}),
                },
            )
            began = time.perf_counter()
            async with session:
                async for _ in session.generations():
                    pass
            seconds = time.perf_counter() - began
            if arm == "warm-up":
                continue
            run = Run(session.path)
            if arm == BASE:
                base = sets_of(run)
            counted = share([children for _, children in children_of(run)])
            rows[arm] = {
                **counted.plain(),
                "seconds": round(seconds, 2),
                "same parent sets": same_sets(sets_of(run), base),
            }
            print(f"  {model:4} {arm:24} {json.dumps(rows[arm])}", flush=True)
    finally:
        await kept.inner.close()
    for key in ("share computed", "share in a cache of single tokens"):
        for row in rows.values():
            row[f"fewer than random, {key}"] = fewer(row[key], rows[BASE][key])
    return {"problems": problems, "generations": generations, "block": BLOCK, "arms": rows}


# ---- accuracy


def accuracy_run(arm: str, problems: int, generations: int, folder: str) -> str:
    """One arm with the batched fly, in whatever process this is: the run's directory."""
    sys.path.insert(0, str(HERE.parent / "fruit_fly"))
    from batched import batched_fly

    path = Path(folder) / arm.replace(" ", "_")
    evolve(f"locks?size={problems}", "fly", batched_fly(), out=path, generations=generations, **ARMS[arm])
    return str(path)


def last_pass1(run: Run) -> list[float]:
    """pass@1 of the last population of each problem."""
    last = [populations[-1] for _, populations in run.populations(texts=False)]
    return [measure(one.members, one.verdicts).pass_1 or 0.0 for one in last]


def measure_accuracy(
    arms: list[str], problems: int, generations: int, workers: int, folder: Path
) -> dict[str, Any]:
    """Each arm's pass@1 at the end with its interval, and its difference to random order, paired by problem."""
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        count = len(arms)
        paths = list(
            pool.map(accuracy_run, arms, [problems] * count, [generations] * count, [str(folder)] * count)
        )
    runs = [Run(path) for path in paths]
    rows: dict[str, Any] = {}
    for arm, run in zip(arms, runs, strict=True):
        values = last_pass1(run)
        rows[arm] = {
            "pass@1": round(sum(values) / len(values), 4),
            "interval": _rounded(mean_interval(values)),
        }
    for arm, contrast in zip(arms[1:], compare(runs).contrasts, strict=True):
        for row in contrast.rows:
            if row.metric == "pass@1" and row.moment == "end" and row.estimate is not None:
                rows[arm]["difference to random"] = round(row.estimate.difference, 4)
                rows[arm]["difference's interval"] = _rounded(row.estimate.interval)
                rows[arm]["p, Holm"] = round(row.estimate.p_holm, 4)
    for arm, row in rows.items():
        print(f"  {arm:24} {json.dumps(row)}", flush=True)
    return {"problems": problems, "generations": generations, "arms": rows}


def _rounded(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [round(end, 4) for end in interval]


# ---- what it comes to


def claims(tokens: dict[str, Any]) -> list[dict[str, Any]]:
    """What is to be shown, of the toy as the engine counted."""
    if "toy" not in tokens:
        return []
    arms, key = tokens["toy"]["arms"], "fewer than random, share computed"
    found = []
    for arm, least in (("trie", 0.20), ("shared_prefix g=4, d=3", 0.55)):
        if arm in arms:
            text = f"{arm}: at least {least:.0%} fewer parent tokens computed than in random order"
            found.append({"claim": text, "value": arms[arm][key], "shown": arms[arm][key] >= least})
    if "trie" in arms:
        same = all(arms[arm]["same parent sets"] for arm in ORDERS if arm in arms)
        found.append({"claim": "orders change no parent set", "value": same, "shown": same})
    return found


def draw(found: dict[str, Any], path: Path) -> None:
    """Shares of parent tokens on the left, differences of accuracy on the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    for place, (model, one) in enumerate(found["tokens"].items()):
        for row, arm in enumerate(one["arms"]):
            at = row + 0.2 * (2 * place - 1)
            name = f"{model}, computed by vLLM" if row == 0 else None
            left.barh(at, one["arms"][arm]["share computed"], 0.36, color=f"C{place}", label=name)
            least = one["arms"][arm]["share in a cache of single tokens"]
            mark = "cache of single tokens" if (place, row) == (0, 0) else None
            left.plot([least, least], [at - 0.18, at + 0.18], color="black", label=mark)
    arms = list(next(iter(found["tokens"].values()))["arms"])
    left.set_yticks(range(len(arms)), arms)
    left.invert_yaxis()
    left.set_xlabel("parent tokens computed / parent tokens in prompts")
    left.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncol=3, frameon=False)
    for arm, one in found["accuracy"]["arms"].items():
        if arm in arms and (interval := one.get("difference's interval")):
            right.plot(interval, [arms.index(arm)] * 2, color="C0")
            right.plot(one["difference to random"], arms.index(arm), "o", color="C0")
    right.axvline(0, color="grey", linewidth=0.8)
    right.set_xlabel("pass@1 less random order's, 95 % interval")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("tokens", "accuracy"))
    parser.add_argument("--model", choices=("fly", "toy"), help="of the tokens; none: both")
    parser.add_argument("--problems", type=int, default=200, help="of the accuracy")
    parser.add_argument("--generations", type=int, default=6, help="of the accuracy, T")
    parser.add_argument("--workers", type=int, default=2, help="processes for the accuracy")
    parser.add_argument("--quick", action="store_true", help="three arms, few problems; nothing is written")
    given = parser.parse_args()
    arms = list(QUICK if given.quick else ARMS)
    found: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine(), "N": 16, "K": 4}
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "accuracy":
            sizes = {"fly": (2, 3), "toy": (2, 3)} if given.quick else {"fly": (12, 6), "toy": (10, 4)}
            found["tokens"] = {
                model: asyncio.run(measure_tokens(model, arms, *sizes[model], Path(folder)))
                for model in ([given.model] if given.model else sizes)
            }
            found["claims"] = claims(found["tokens"])
            for one in found["claims"]:
                print(f"{'shown    ' if one['shown'] else 'NOT SHOWN'} {one['claim']}: {one['value']}")
        if given.only != "tokens":
            problems, generations = (8, 3) if given.quick else (given.problems, given.generations)
            found["accuracy"] = measure_accuracy(arms, problems, generations, given.workers, Path(folder))
    if given.quick or given.only or given.model:
        return
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "prefill.json").write_text(json.dumps(found, indent=2) + "\n")
    draw(found, HERE / "results" / "prefill.png")


if __name__ == "__main__":
    main()
