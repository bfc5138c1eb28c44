"""Blind selection: whose index it is, and nothing else, decides; each alone uniform."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from itertools import combinations

import pytest
from evolve_llm_operators.selection import balanced, shared_prefix, trade, uniform
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import assert_uniform, groups_of, scheme

from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.scheme.declarations import Selection, declaration
from evolve_llm.testing import seeds

SELECTORS = {
    "uniform": uniform,
    "balanced": balanced,
    "shared_prefix g=2 d=1": partial(shared_prefix, g=2, d=1),
    "shared_prefix g=3 d=2": partial(shared_prefix, g=3, d=2),
    "shared_prefix d=0": partial(shared_prefix, g=4, d=0),
}
every = pytest.mark.parametrize("name", SELECTORS)


@every
@given(data=st.data(), seed=seeds(), outer=st.integers(0, 99))
def test_distinct_members_in_the_sizes_asked_for_from_the_seed_alone(
    name: str, data: st.DataObject, seed: int, outer: int
) -> None:
    n = data.draw(st.integers(1, 9))
    sizes = data.draw(st.lists(st.integers(0, n), max_size=12))
    members = [f"0.{slot}" for slot in range(n)]
    random.seed(outer)
    before = random.getstate()
    groups = groups_of(SELECTORS[name], members, sizes, seed)
    assert random.getstate() == before
    assert members == [f"0.{slot}" for slot in range(n)]
    assert [len(group) for group in groups] == sizes
    assert all(len(set(group)) == len(group) and set(group) <= set(members) for group in groups)
    random.seed(outer + 1)
    assert groups_of(SELECTORS[name], members, sizes, seed) == groups
    opaque = groups_of(SELECTORS[name], [object() for _ in members], sizes, seed)
    assert [len(group) for group in opaque] == sizes


@every
@pytest.mark.parametrize("slot", [0, 4])
def test_one_childs_parents_are_a_uniform_ordered_subset(name: str, slot: int) -> None:
    draws = (groups_of(SELECTORS[name], range(5), [2] * 6, seed)[slot] for seed in range(4000))
    assert_uniform(draws, outcomes=20)


@every
def test_one_childs_parents_are_uniform_where_sizes_are_mixed(name: str) -> None:
    draws = (
        frozenset(groups_of(SELECTORS[name], range(5), [1, 3, 0, 3, 2], seed)[3]) for seed in range(3000)
    )
    assert_uniform(draws, outcomes=10)


@given(n=st.integers(1, 12), data=st.data(), seed=seeds())
def test_balanced_uses_everybody_exactly_k_times(n: int, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, n))
    used = Counter(one for group in groups_of(balanced, range(n), [k] * n, seed) for one in group)
    assert used == dict.fromkeys(range(n), k)


@given(n=st.integers(1, 9), data=st.data(), seed=seeds())
def test_balanced_is_as_even_as_the_sizes_allow(n: int, data: st.DataObject, seed: int) -> None:
    sizes = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=12))
    used = Counter(one for group in groups_of(balanced, range(n), sizes, seed) for one in group)
    counts = [used[one] for one in range(n)]
    assert sum(counts) == sum(sizes)
    assert max(counts) - min(counts) <= 1


def test_balanced_draws_every_regular_design_equally_often() -> None:
    """There are 90 ways for 4 children to take 2 of 4 members each so that everybody is taken twice."""
    draws = (
        tuple(tuple(sorted(group)) for group in groups_of(balanced, range(4), [2] * 4, seed))
        for seed in range(9000)
    )
    assert_uniform(draws, outcomes=90)


def test_members_used_more_often_are_random_in_balanced() -> None:
    def favoured(seed: int) -> int:
        used = Counter(one for group in groups_of(balanced, range(5), [2, 2, 2], seed) for one in group)
        return max(used, key=lambda one: used[one])

    assert_uniform((favoured(seed) for seed in range(2000)), outcomes=5)


@given(
    groups=st.lists(st.lists(st.integers(0, 7), unique=True, max_size=6), max_size=8),
    passes=st.integers(0, 3),
    seed=seeds(),
)
def test_trading_keeps_sizes_and_counts(groups: list[list[int]], passes: int, seed: int) -> None:
    before = [list(group) for group in groups]
    with rng_scope(seed):
        after = trade(groups, passes)
    assert groups == before
    assert [len(group) for group in after] == [len(group) for group in groups]
    assert all(len(set(group)) == len(group) for group in after)
    assert Counter(one for group in after for one in group) == Counter(
        one for group in groups for one in group
    )


@given(n=st.integers(2, 9), g=st.integers(1, 9), data=st.data(), seed=seeds())
def test_children_of_a_group_share_their_first_d_parents(
    n: int, g: int, data: st.DataObject, seed: int
) -> None:
    k = data.draw(st.integers(1, n))
    d = data.draw(st.integers(0, k))
    groups = groups_of(partial(shared_prefix, g=g, d=d), range(n), [k] * n, seed)
    for start in range(0, n, g):
        assert len({group[:d] for group in groups[start : start + g]}) == 1


def test_one_set_for_everybody_at_g_n_d_k() -> None:
    groups = groups_of(partial(shared_prefix, g=6, d=3), range(6), [3] * 6, 1)
    assert len(set(groups)) == 1


def test_without_a_prefix_children_are_independent() -> None:
    def pair(seed: int) -> tuple[frozenset[int], frozenset[int]]:
        first, second = groups_of(partial(shared_prefix, g=2, d=0), range(4), [2, 2], seed)
        return frozenset(first), frozenset(second)

    assert_uniform((pair(seed) for seed in range(5000)), outcomes=36)


def test_beyond_the_prefix_children_are_independent() -> None:
    def rest(seed: int) -> tuple[int, int]:
        (a, b), (c, d) = groups_of(partial(shared_prefix, g=2, d=1), range(4), [2, 2], seed)
        assert a == c
        others = [one for one in range(4) if one != a]
        return others.index(b), others.index(d)

    assert_uniform((rest(seed) for seed in range(3000)), outcomes=9)


def test_pairs_of_children_overlap_less_than_under_uniform() -> None:
    """What balanced buys: with the same K, fewer parents that nobody draws."""

    def unused(select: object) -> int:
        return sum(
            12 - len({one for group in groups_of(select, range(12), [2] * 12, seed) for one in group})  # type: ignore[arg-type]
            for seed in range(50)
        )

    assert unused(balanced) == 0 < unused(uniform)


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ({"operator": "shared_prefix", "g": 0, "d": 1}, "g .* at least 1, got 0"),
        ({"operator": "shared_prefix", "g": 2, "d": 3}, "d .* from 0 to 2, got 3"),
        ({"operator": "shared_prefix", "g": 2, "d": -1}, "d .* from 0 to 2, got -1"),
        ({"operator": "shared_prefix", "g": "two", "d": 1}, "g .* got 'two'"),
        ({"operator": "identity"}, "identity gives 1 parent"),
    ],
)
def test_what_cannot_work_is_said_when_the_preset_is_built(select: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)\[select\].*{words}"):
        scheme(select)


@every
def test_more_parents_than_members_are_refused(name: str) -> None:
    with pytest.raises(OperatorError, match="asked for 3 of 2"):
        groups_of(SELECTORS[name], range(2), [3], 0)
    select = SELECTORS[name]
    asked = [3] if declaration(Selection, select).whole_generation else 3
    with rng_scope(0), pytest.raises(ValueError, match=r"[Ss]ample larger|3 different parents"):
        select(range(2), asked)


def test_all_pairs_of_a_large_design_are_equally_likely() -> None:
    draws = (frozenset(groups_of(balanced, range(8), [2] * 8, seed)[7]) for seed in range(3000))
    assert_uniform(draws, outcomes=len(list(combinations(range(8), 2))))
