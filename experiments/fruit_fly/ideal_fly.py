"""What an ideal fly would reach: ``python experiments/fruit_fly/ideal_fly.py``; writes ``results/ceiling.json``.

It writes without a fault. Where one of its K candidates has opened a lock, it copies that key; elsewhere it draws a
key from the true distribution (the hint for ``laziness`` of the locks), less those that its candidates have refuted.
So it remembers nothing but what it is shown, as the fly does. No model: 200 held-out problems, N=16, T=6, 50 repeats.
"""

from __future__ import annotations

import json
from pathlib import Path

import bundles as b
import numpy as np
from bundles import Array, Generator
from evaluate import held_out_problems, interval

N, T, REPEATS = 16, 6, 50


def drawn(rng: Generator, problems: Array, refuted: Array, laziness: float) -> Array:
    """Keys from the prior without the refuted ones. ``refuted``: [count, N, n, 10]; gives [count, N, n]."""
    prior = np.full((*problems.shape[:2], 10), (1 - laziness) / 9)
    np.put_along_axis(prior, problems[..., :1], laziness, -1)
    left = np.where(refuted, 0.0, prior[:, None])
    chances = np.cumsum(left / left.sum(-1, keepdims=True), -1)
    found: Array = (rng.random((*chances.shape[:-1], 1)) > chances[..., :-1]).sum(-1)
    return found


def generation(rng: Generator, problems: Array, population: Array, k: int, laziness: float) -> Array:
    """The children of a population of keys [count, N, n]: copy what is open, else guess what is left."""
    count, size, _ = population.shape
    parents = np.argsort(rng.random((count, size, size)), -1)[..., :k]
    seen = population[np.arange(count)[:, None, None], parents]  # [count, N, k, n]
    tried = (seen[..., None] == np.arange(10)).any(2)
    keys = b.true_keys(problems)
    known = np.take_along_axis(tried, keys[:, None, :, None], -1)[..., 0]
    return np.where(known, keys[:, None], drawn(rng, problems, tried & ~known[..., None], laziness))


def shares(rng: Generator, problems: Array, k: int, laziness: float) -> Array:
    """pass@1 of each problem by generation, [count, T]."""
    keys = b.true_keys(problems)[:, None]
    nothing = np.zeros((*problems.shape[:1], N, *problems.shape[1:2], 10), bool)
    population = drawn(rng, problems, nothing, laziness)
    found = [(population == keys).all(-1).mean(1)]
    for _ in range(1, T):
        population = generation(rng, problems, population, k, laziness)
        found.append((population == keys).all(-1).mean(1))
    return np.stack(found, -1)


def main() -> None:
    said: dict[str, dict[str, object]] = {}
    for laziness in (0.7, 0.5):
        problems = held_out_problems(200, 7, laziness)
        said[str(laziness)] = {}
        for k in (1, 2, 4):
            rng = np.random.default_rng(k)
            each = np.concatenate(
                [
                    np.mean([shares(rng, some, k, laziness) for _ in range(REPEATS)], 0)
                    for some in problems.values()
                ]
            )
            said[str(laziness)][str(k)] = {
                "pass@1": [round(float(x), 4) for x in each.mean(0)],
                "last": interval(each[:, -1], np.random.default_rng(0)),
            }
            print(laziness, k, said[str(laziness)][str(k)], flush=True)
    (Path(__file__).parent / "results" / "ceiling.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
