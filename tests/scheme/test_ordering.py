"""The order of parents in a prompt: the same parents, and more of a prefix cache."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Preset, Problem, Request, Run, UserError, evolve, load_preset
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.ordering import ORDERS, arrange, prefix_share
from evolve_llm.testing import Behaviour, database

UIDS = [f"{generation}.{slot}" for generation in (9, 10) for slot in (0, 2, 10, 3)]
groups_of_parents = st.lists(st.lists(st.sampled_from(UIDS), unique=True, max_size=5), max_size=8)
PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]


@given(groups_of_parents, st.sampled_from(ORDERS))
def test_an_order_changes_nobodys_parents(groups: list[list[str]], order: str) -> None:
    arranged = arrange(groups, order)  # type: ignore[arg-type]
    assert [sorted(group) for group in arranged] == [sorted(group) for group in groups]
    assert arrange(arranged, order) == arranged  # type: ignore[arg-type]


@given(groups_of_parents, st.sampled_from(ORDERS[1:]), st.randoms(use_true_random=False))
def test_an_order_depends_on_who_is_in_the_groups_alone(
    groups: list[list[str]], order: str, rng: random.Random
) -> None:
    shuffled = [rng.sample(group, len(group)) for group in groups]
    places = rng.sample(range(len(groups)), len(groups))
    arranged = arrange(groups, order)  # type: ignore[arg-type]
    assert arrange(shuffled, order) == arranged  # type: ignore[arg-type]
    elsewhere = arrange([shuffled[place] for place in places], order)  # type: ignore[arg-type]
    assert elsewhere == [arranged[place] for place in places]


def test_the_orders_by_example() -> None:
    groups = [["0.3", "0.10", "0.2"], ["0.10", "0.2"], ["0.10", "0.1"], ["0.1", "0.2", "0.3"]]
    assert arrange(groups, "random") == [tuple(group) for group in groups]
    assert arrange(groups, "slot") == [
        ("0.2", "0.3", "0.10"),
        ("0.2", "0.10"),
        ("0.1", "0.10"),
        ("0.1", "0.2", "0.3"),
    ]
    # 0.2 and 0.10 have three children each, 0.1 and 0.3 two
    assert arrange(groups, "popular") == [
        ("0.2", "0.10", "0.3"), ("0.2", "0.10"), ("0.10", "0.1"), ("0.2", "0.1", "0.3"),
    ]  # fmt: skip
    assert arrange(groups, "trie") == [
        ("0.2", "0.3", "0.10"), ("0.2", "0.10"), ("0.1", "0.10"), ("0.2", "0.3", "0.1"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="random, slot, popular, trie"):
        arrange(groups, "best")  # type: ignore[arg-type]


def test_the_share_of_parents_that_no_earlier_prompt_began_with() -> None:
    assert prefix_share([]) == prefix_share([[]]) == prefix_share([["a", "b"]]) == 1.0
    assert prefix_share([["a", "b"], ["a", "c"], ["a", "b"]]) == 3 / 6


@pytest.mark.parametrize(
    ("n", "k", "shares"),
    [
        (16, 2, (0.81, 0.75, 0.70, 0.68)),
        (16, 4, (0.91, 0.81, 0.75, 0.68)),
        (16, 8, (0.95, 0.81, 0.74, 0.62)),
        (8, 4, (0.90, 0.73, 0.64, 0.57)),
        (64, 4, (0.91, 0.85, 0.81, 0.76)),
    ],
)
def test_the_share_still_to_prefill_by_order(n: int, k: int, shares: tuple[float, ...]) -> None:
    rng, draws = random.Random(n * k), 300
    found = dict.fromkeys(ORDERS, 0.0)
    for _ in range(draws):
        groups = [[f"0.{slot}" for slot in rng.sample(range(n), k)] for _ in range(n)]
        for order in ORDERS:
            found[order] += prefix_share(arrange(groups, order)) / draws  # type: ignore[arg-type]
    assert tuple(found.values()) == pytest.approx(shares, abs=0.011)


def _runs(tmp_path: Path, order: str, **settings: object) -> tuple[Run, Scripted]:
    model = Scripted(Behaviour(fail=0.1), record=True)
    shape = {"population": 6, "parents": 3, "generations": 3, "seed": 3, **settings}
    run = evolve(PROBLEMS, "rsa", model, out=tmp_path / order, order=order, **shape)  # type: ignore[arg-type]
    return run, model


@pytest.mark.parametrize("informed", [False, True], ids=["blind", "informed"])
def test_a_run_has_the_same_groups_in_every_order(tmp_path: Path, informed: bool) -> None:
    settings = {"select": "tournament", "evaluate": "agreement"} if informed else {}
    planned = {}
    for order in ORDERS:
        run, model = _runs(tmp_path, order, **settings)
        first = [one for one in run.population("p", generation=1) if not one.failed]
        planned[order] = [sorted((*one.parents, *one.dropped)) for one in run.population("p", generation=1)]
        texts = {one.uid: one.text for one in run.population("p", generation=0)}
        asked = {request.id: request.prompt.messages[-1].content for request in model.calls}
        for child in first:
            prompt = asked[f"p/1/{child.slot}/vary/0"]
            places = [prompt.index(texts[uid]) for uid in child.parents]
            assert places == sorted(places)
        if order == "slot":
            assert all(list(one.parents) == sorted(one.parents) for one in first)
    assert all(groups == planned["random"] for groups in planned.values())


def test_children_of_one_operator_are_ordered_together(tmp_path: Path) -> None:
    vary = [{"operator": "aggregate", "probability": 0.5}, {"operator": "refine", "probability": 0.5}]
    run, _ = _runs(tmp_path, "popular", vary=vary, population=12)
    groups = [
        (*one.parents, *one.dropped)
        for one in run.population("p", generation=1)
        if one.operator == "aggregate"
    ]
    assert len(groups) > 2
    children = {uid: sum(uid in group for group in groups) for group in groups for uid in group}
    for one in run.population("p", generation=1):
        if one.operator == "aggregate" and not one.dropped:
            used = [children[uid] for uid in one.parents]
            assert used == sorted(used, reverse=True)


def test_the_order_is_part_of_the_run_and_the_default_is_not_written(tmp_path: Path) -> None:
    preset = load_preset("rsa")
    assert "order" not in preset.plain()
    ordered = preset.override({"order": "trie"})
    assert ordered.plain()["order"] == "trie"
    assert Preset.from_toml(ordered.to_toml()) == ordered
    assert ordered.override({"order": "random"}) == preset
    with pytest.raises(UserError, match="order: Input should be 'random', 'slot', 'popular' or 'trie'"):
        preset.override({"order": "best"})
    _runs(tmp_path, "trie")
    with pytest.raises(UserError, match="another configuration"):
        evolve(PROBLEMS, "rsa", Scripted(Behaviour(fail=0.1)), out=tmp_path / "trie", population=6, parents=3,
               generations=3, seed=3)  # fmt: skip


@pytest.mark.parametrize("order", ORDERS[1:])
def test_an_ordered_run_stores_the_same_bytes_at_any_concurrency(tmp_path: Path, order: str) -> None:
    def delay(request: Request) -> float:
        return (request.seed % 3) / 2000

    found = set()
    for name, concurrency in (("a", 1), ("b", 5)):
        evolve(PROBLEMS, "rsa", Scripted(Behaviour(fail=0.2), delay=delay), out=tmp_path / name, population=5,
               parents=3, generations=3, order=order, concurrency=concurrency)  # fmt: skip
        found.add(database(tmp_path / name))
    assert len(found) == 1
