"""Evaluate trained flies on held-out problems: ``python experiments/fruit_fly/evaluate.py FOLDER [FOLDER ...]``.

For each folder of ``train.py``: pass@1 of every RSA generation (N=16, T=6) for each K, of `fly` and of `base`;
majority voting and best-by-own-verdicts over as many samples as RSA makes calls; text errors for each number of
locks and K. Writes ``evaluation.json`` into the folder, beside what an earlier call with the same settings found
for other K. Intervals are 95 %, over problems.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import bundles as b
import numpy as np
import torch
from bundles import Array, Marks
from evolve_llm_problems.locks import LAZINESS, load, read_question
from model import Fly
from rsa import first_generation, next_generation
from train import Recipe

SIZES = (1, 2, 3, 4)


def loaded(folder: Path, name: str) -> Fly:
    """``base`` or ``fly`` of a training run."""
    found = torch.load(folder / f"{name}.pt", weights_only=False)
    fly = Fly(Recipe(**found["identity"]["recipe"]).shape())
    fly.load_state_dict(found["weights"])
    return fly.eval()


def held_out_problems(count: int, seed: int, laziness: float = LAZINESS) -> dict[int, Array]:
    """The problems that ``--problems locks?size=COUNT&seed=SEED&laziness=SHARE`` gives, by number of locks."""
    texts: dict[int, list[Any]] = {n: [] for n in SIZES}
    for problem in load(size=count, seed=seed, locks=",".join(map(str, SIZES)), laziness=laziness):
        locks = read_question(problem.question)
        texts[len(locks)].append(locks)
    return {n: b.from_locks(locks) for n, locks in texts.items()}


def marked(problems: Array, population: Array) -> Marks:
    """Marks of a population [count, N, 6n + 1], each field [count, N, ...]."""
    count, size, length = population.shape
    marks = b.mark(np.repeat(problems, size, 0), population.reshape(count * size, length))
    fields = (marks.keys, marks.faultless, marks.opened, marks.claims, marks.right)
    return Marks(*(field.reshape(count, size, *field.shape[1:]) for field in fields))


def majority(marks: Marks) -> list[float]:
    """Expected accuracy of the most frequent whole answer, ties broken by lot; no answer is no vote."""
    scores = []
    for keys, right in zip(marks.keys, marks.right, strict=True):
        votes = [tuple(row) for row in keys if (row >= 0).all()]
        counts = Counter(votes)
        top = [answer for answer, n in counts.items() if n == max(counts.values())] if counts else []
        good = {tuple(row) for row, ok in zip(keys, right, strict=True) if ok}
        scores.append(sum(answer in good for answer in top) / len(top) if top else 0.0)
    return scores


def best_by_claims(marks: Marks) -> list[float]:
    """Expected accuracy of a chain with the most verdicts ``!`` of its own."""
    return [
        float(right[claims == claims.max()].mean())
        for claims, right in zip(marks.claims, marks.right, strict=True)
    ]


def interval(values: Array, rng: np.random.Generator) -> list[float]:
    """Bootstrap over problems: [mean, low, high]."""
    means = rng.choice(values, (2000, len(values))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return [round(float(x), 4) for x in (values.mean(), low, high)]


Rivals = dict[str, Array]
"""Expected accuracy of each problem under a way to answer without aggregation."""


def evaluate(
    fly: Fly,
    problems: dict[int, Array],
    ks: list[int],
    size: int,
    generations: int,
    seed: int,
    rivals: Rivals | None = None,
) -> dict[str, Any]:
    """RSA for each K: by generation pass@1, pass@N, majority of the population, different answers; text errors.

    With ``rivals`` also the last generation's pass@1 less theirs, paired by problem.
    """
    out: dict[str, Any] = {}
    for k in ks:
        rng = np.random.default_rng([seed, k])
        torch_rng = torch.Generator().manual_seed(seed * 1000 + k)
        rows: list[list[Marks]] = [[] for _ in range(generations)]
        for bundle in problems.values():
            population = first_generation(fly, bundle, size, torch_rng)
            for generation in range(generations):
                if generation:
                    population = next_generation(fly, bundle, population, k, rng, torch_rng)
                rows[generation].append(marked(bundle, population))
        first, last = rows[0], rows[-1]
        gains = np.concatenate([z.right.mean(1) - a.right.mean(1) for a, z in zip(first, last, strict=True)])
        draws = np.random.default_rng(0)
        out[str(k)] = {
            "pass@1": [round(float(np.mean([m.right.mean(1) for m in row])), 4) for row in rows],
            "pass@1 by locks": [[round(float(m.right.mean()), 3) for m in row] for row in rows],
            "pass@N": [round(float(np.mean([m.right.any(1) for m in row])), 4) for row in rows],
            "majority": [round(float(np.mean([majority(m) for m in row])), 4) for row in rows],
            "answers": [
                round(float(np.mean([[len({*map(tuple, p)}) for p in m.keys] for m in row])), 2)
                for row in rows
            ],
            "text errors by locks, first generation": [
                round(float(1 - m.faultless.mean()), 4) for m in first
            ],
            "text errors by locks, later generations": [
                round(float(np.mean([1 - row[i].faultless.mean() for row in rows[1:]])), 4)
                for i in range(len(problems))
            ],
            "last": interval(np.concatenate([m.right.mean(1) for m in last]), draws),
            "gain": interval(gains, draws),
        }
        for name, scores in (rivals or {}).items():
            out[str(k)][f"last less {name}"] = interval(
                np.concatenate([m.right.mean(1) for m in last]) - scores, draws
            )
        print(f"  K={k}", out[str(k)]["pass@1"], flush=True)
    return out


def without_aggregation(
    fly: Fly, problems: dict[int, Array], samples: int, seed: int
) -> tuple[dict[str, Any], Rivals]:
    """What ``samples`` standard samples a problem are worth, chosen by vote or by their own verdicts."""
    torch_rng = torch.Generator().manual_seed(seed + 1)
    rows = [marked(bundle, first_generation(fly, bundle, samples, torch_rng)) for bundle in problems.values()]
    draws = np.random.default_rng(0)
    rivals = {
        "majority": np.concatenate([majority(m) for m in rows]),
        "best by own verdicts": np.concatenate([best_by_claims(m) for m in rows]),
    }
    return {
        "samples": samples,
        "pass@1": round(float(np.mean([m.right.mean(1) for m in rows])), 4),
        **{name: interval(scores, draws) for name, scores in rivals.items()},
        "best by own verdicts, by locks": [round(float(np.mean(best_by_claims(m))), 3) for m in rows],
        "majority by locks": [round(float(np.mean(majority(m))), 3) for m in rows],
        "any right": round(float(np.mean([m.right.any(1) for m in rows])), 4),
    }, rivals


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--problems", type=int, default=200, help="a multiple of 4")
    parser.add_argument("--k", default="1,2,4")
    parser.add_argument("--base-k", default="2", help="K at which base runs RSA as well")
    parser.add_argument("--size", type=int, default=16, help="N")
    parser.add_argument("--generations", type=int, default=6, help="T")
    parser.add_argument("--seed", type=int, default=7, help="of the problems and of the sampling")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--laziness", type=float, default=LAZINESS, help="share of locks with the easy key")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    problems = held_out_problems(given.problems, given.seed, given.laziness)
    settings: dict[str, float] = {
        "problems": given.problems,
        "N": given.size,
        "T": given.generations,
        "seed": given.seed,
    }
    if given.laziness != LAZINESS:
        settings["laziness"] = given.laziness
    for folder in given.folders:
        began = time.time()
        print(folder, flush=True)
        path = folder / "evaluation.json"
        result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        if result.get("settings") != settings:
            result = {"settings": settings}
        for name, ks in (("fly", given.k), ("base", given.base_k)):
            if not (folder / f"{name}.pt").exists():
                continue
            fly = loaded(folder, name)
            found = result.setdefault(name, {})
            rivals: Rivals = {}
            if name == "fly":
                calls = given.size * given.generations
                found["without aggregation"], rivals = without_aggregation(fly, problems, calls, given.seed)
                print(f" {name}", found["without aggregation"], flush=True)
            for k in (int(k) for k in ks.split(",") if k and k not in found):
                found |= evaluate(fly, problems, [k], given.size, given.generations, given.seed, rivals)
                path.write_text(json.dumps(result, indent=1) + "\n")
        print(f" {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
