"""I5: RSA's parent sets are K distinct, uniform over subsets (chi-square), whatever the schedule or order."""

# ruff: noqa: ARG001

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations, permutations

import pytest
from scipy import stats

from evolve_llm import Candidate, Preset, Problem, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.decorators import replacement
from evolve_llm.scheme.plan import Plan, plan_generation
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, Reordering, contents, run_directory

ALPHA = 1e-4  # seeds are fixed: a test passes or fails for good


def rsa(n: int, k: int, generations: int = 2) -> Preset:
    return Preset.from_plain({"name": "rsa", "population": n, "parents": k, "generations": generations})


def plans(n: int, k: int, rounds: int) -> list[Plan]:
    """The children of many first rounds of RSA, each with its own seed."""
    scheme = build(rsa(n, k))
    members = [f"0.{slot}" for slot in range(n)]
    return [
        plan
        for seed in range(rounds)
        for plan in plan_generation(
            scheme.toolbox, scheme.choices, members, generation=1, n=n, seed=seed, problem="p"
        )
    ]


def uniform_p(found: Iterable[Hashable], possible: Sequence[Hashable]) -> float:
    counts = Counter(found)
    assert set(counts) <= set(possible)
    return float(stats.chisquare([counts[one] for one in possible]).pvalue)


@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 3), (6, 1), (4, 4), (16, 4)])
def test_k_distinct_members(n: int, k: int) -> None:
    for plan in plans(n, k, 40):
        assert len(plan.parents) == len(set(plan.parents)) == k


@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 3), (6, 2)])
def test_every_subset_is_equally_likely(n: int, k: int) -> None:
    names = [f"0.{slot}" for slot in range(n)]
    found = [frozenset(plan.parents) for plan in plans(n, k, 600)]
    assert uniform_p(found, [frozenset(one) for one in combinations(names, k)]) > ALPHA


@pytest.mark.parametrize(("n", "k"), [(4, 2), (4, 3)])
def test_every_order_of_every_subset_is_equally_likely(n: int, k: int) -> None:
    names = [f"0.{slot}" for slot in range(n)]
    found = [plan.parents for plan in plans(n, k, 800)]
    assert uniform_p(found, list(permutations(names, k))) > ALPHA


def test_siblings_are_drawn_independently() -> None:
    """The joint distribution of two siblings' first parents is uniform too."""
    n = 4
    found = plans(n, 2, 1500)
    pairs = [(found[i].parents[0], found[i + 1].parents[0]) for i in range(0, len(found), n)]
    names = [f"0.{slot}" for slot in range(n)]
    assert uniform_p(pairs, [(one, other) for one in names for other in names]) > ALPHA


def test_the_chi_square_test_sees_a_selector_that_favours_a_slot() -> None:
    import random

    rng = random.Random(0)
    names = [f"0.{slot}" for slot in range(5)]
    favoured = [frozenset(sorted(rng.sample(names, 3))[:2]) for _ in range(2000)]
    assert uniform_p(favoured, [frozenset(one) for one in combinations(names, 2)]) < 1e-12


@replacement()
def stepwise(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    """Generational replacement that does not promise it: nothing can be planned ahead."""
    return list(offspring[:n])


@replacement(positional=True)
def promised(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    return list(offspring[:n])


def parents_of(schedule: str) -> list[tuple[object, ...]]:
    """(problem, generation, slot, parents) of every child as stored under a schedule."""
    behaviour = Behaviour()
    model: object = Scripted(behaviour)
    settings: dict[str, object] = {"concurrency": 64, "replace": promised}
    if schedule == "stepwise":
        settings["replace"] = stepwise
    elif schedule == "one at a time":
        settings["concurrency"] = 1
    elif schedule in ("last", "starve", "any"):
        model = Reordering(behaviour, order=schedule, seed=3)  # type: ignore[arg-type]
    problems = [Problem(f"p{i}", f"q{i}", "boxed") for i in range(6)]
    with run_directory() as out:
        evolve(problems, rsa(5, 2, 4), model, out=out, seed=9, **settings)  # type: ignore[arg-type]
        return [(row[0], row[1], row[2], row[4]) for row in contents(out)["candidates"]]


def test_the_plan_is_the_same_under_every_schedule() -> None:
    planned_ahead = parents_of("planned ahead")
    assert len(planned_ahead) == 6 * 5 * 4
    for schedule in ("stepwise", "one at a time", "last", "starve", "any"):
        assert parents_of(schedule) == planned_ahead


@pytest.mark.parametrize("order", ["first", "last", "starve"])
def test_uniform_from_end_to_end_whoever_finishes_first(order: str) -> None:
    """What aggregates "whatever came first" favours the quick; here arrival has no say."""
    problems = [Problem(f"p{i}", "q", "boxed") for i in range(60)]
    model = Reordering(Behaviour(), order=order, seed=1, patience=2)  # type: ignore[arg-type]
    with run_directory() as out:
        evolve(problems, rsa(4, 2, 4), model, out=out, seed=5)
        found = [
            frozenset(int(uid.split(".")[1]) for uid in json.loads(row[4]))
            for row in contents(out)["candidates"]
            if row[1] > 0
        ]
    assert len(found) == 60 * 4 * 3
    assert uniform_p(found, [frozenset(one) for one in combinations(range(4), 2)]) > ALPHA
