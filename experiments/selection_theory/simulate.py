"""Selection without variation, through the engine's own planning: children are copies of a parent."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from evolve_llm.nouns.candidate import Candidate, fitness_class
from evolve_llm.scheme.plan import plan_generation
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.toolbox import build


def scheme(n: int, k: int, select: Mapping[str, Any]) -> Scheme:
    """A preset of n candidates whose children have k parents chosen by ``select``."""
    return build(
        Preset.from_plain(
            {
                "name": "selection-theory",
                "population": n,
                "parents": k,
                "generations": 2,
                "select": dict(select),
                "vary": "aggregate" if k > 1 else "reproduce",
                "evaluate": "agreement",
            }
        )
    )


def parents(
    made: Scheme, members: Sequence[Any], seed: int, replicate: int, generation: int
) -> list[list[int]]:
    """Whose child each child is: places of the parents, in prompt order."""
    places = {one if isinstance(one, str) else one.uid: place for place, one in enumerate(members)}
    plans = plan_generation(
        made.toolbox,
        made.choices,
        members,
        generation=generation,
        n=len(members),
        seed=seed,
        problem=f"replicate {replicate}",
    )
    return [[places[uid] for uid in plan.parents] for plan in plans]


def evaluated(values: Sequence[float], weight: float = 1.0) -> list[Candidate]:
    """A population with these fitness values."""
    members = []
    for slot, value in enumerate(values):
        one = Candidate("theory", 0, slot, "sample")
        one.fitness = fitness_class((weight,))()
        one.fitness.assign((value,))
        members.append(one)
    return members


def copies(
    select: Mapping[str, Any], values: Sequence[float], generations: int, seed: int, weight: float = 1.0
) -> list[list[int]]:
    """Children of each member in each of so many independent generations, one parent a child."""
    made, members = scheme(len(values), 1, select), evaluated(values, weight)
    counts = []
    for replicate in range(generations):
        row = [0] * len(values)
        for (parent,) in parents(made, members, seed, replicate, 1):
            row[parent] += 1
        counts.append(row)
    return counts


def takeover_times(n: int, s: int, replicates: int, seed: int) -> list[int | None]:
    """Generations until the one best member's copies are the population; None where they died out."""
    made = scheme(n, 1, {"operator": "tournament", "tournsize": s})
    times: list[int | None] = []
    for replicate in range(replicates):
        values, generation = [1.0] + [0.0] * (n - 1), 0
        while 0 < sum(values) < n:
            generation += 1
            chosen = parents(made, evaluated(values), seed, replicate, generation)
            values = [values[parent] for (parent,) in chosen]
        times.append(generation if values[0] else None)
    return times


def heterozygosities(
    n: int, k: int, select: Mapping[str, Any], generations: int, replicates: int, seed: int
) -> list[list[float]]:
    """Per replicate and generation 0 … generations: the chance that two draws from the population differ.

    Everybody differs in generation 0; each child is a copy of a random one of its k parents.
    """
    made, uids = scheme(n, k, select), [f"0.{slot}" for slot in range(n)]
    rows = []
    for replicate in range(replicates):
        rng, kinds = random.Random(f"{seed} {replicate}"), list(range(n))
        row = [1 - 1 / n]
        for generation in range(1, generations + 1):
            chosen = parents(made, uids, seed, replicate, generation)
            kinds = [kinds[rng.choice(group)] for group in chosen]
            row.append(1 - sum((kinds.count(kind) / n) ** 2 for kind in set(kinds)))
        rows.append(row)
    return rows
