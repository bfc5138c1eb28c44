"""What replays say: against worlds in which what a parent is worth is known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.analysis.asking import (
    REPLAYS,
    Replayed,
    Shown,
    Stratum,
    allotted,
    drawn,
    estimate,
    placements,
    wanted,
)

groups = st.lists(st.booleans(), min_size=2, max_size=4).map(tuple)


def test_what_is_asked_is_asked_once() -> None:
    assert wanted((True, False), ["without"]) == [(0, 1), (1,), (0,)]
    assert wanted((False, True), ["order"]) == [(0, 1), (1, 0)]
    assert wanted((True, True), ["order"]) == [(0, 1)]
    assert placements((False, True, False)) == [(1, 0, 2), (0, 1, 2), (0, 2, 1)]
    assert placements((True, False, True)) == [(0, 2, 1), (1, 0, 2)]


@given(groups)
def test_every_replay_shows_parents_of_the_child_at_most_once(parents: tuple[bool, ...]) -> None:
    found = wanted(parents, REPLAYS)
    assert len(set(found)) == len(found)
    assert all(len(set(one)) == len(one) and set(one) <= set(range(len(parents))) for one in found)
    assert len([one for one in found if one == tuple(sorted(one))]) == 2 ** len(parents)


@given(
    st.dictionaries(st.tuples(st.just("x"), st.just(3), st.integers(0, 3)), st.integers(1, 40), min_size=1),
    st.integers(1, 100),
    st.integers(0, 9),
)
def test_a_draw_takes_no_child_twice_and_leaves_no_stratum_out(
    sizes: dict[Stratum, int], count: int, seed: int
) -> None:
    strata = [one for one, size in sizes.items() for _ in range(size)]
    found = drawn(strata, count, seed)
    assert len(set(found)) == len(found) == min(count, len(strata))
    assert found == drawn(strata, count, seed)
    assert Counter(strata[place] for place in found) == {k: n for k, n in allotted(sizes, count).items() if n}
    if count >= len(sizes) * 2:
        assert {strata[place] for place in found} == set(sizes)


def test_mixed_groups_are_drawn_twice_as_often() -> None:
    sizes = {("x", 4, r): 1000 for r in range(5)}
    assert [allotted(sizes, 80)["x", 4, r] for r in range(5)] == [10, 20, 20, 20, 10]
    assert allotted({("x", 2, 0): 100, ("x", 2, 1): 3}, 20) == {("x", 2, 0): 17, ("x", 2, 1): 3}


def replayed(problem: str, parents: tuple[bool, ...], worth: dict[bool, float], last: float) -> Replayed:
    """A world where each parent adds its worth, and a right one at the end ``last`` more."""

    def value(shown: Shown) -> float:
        end = last if shown and parents[shown[-1]] else 0.0
        return 0.1 + sum(worth[parents[place]] for place in shown) + end

    values = {shown: value(shown) for shown in wanted(parents, REPLAYS)}
    return Replayed(problem, "x", True, parents, values)


def test_in_a_world_that_adds_up_each_parent_is_worth_what_it_adds() -> None:
    worth = {True: 0.2, False: -0.03}
    kinds = [(True, False, False), (False, True, True), (False, False, False)]
    children = [replayed(f"p{n}", kind, worth, 0.0) for n in range(4) for kind in kinds]
    found = estimate(children, Counter(one.stratum for one in children), REPLAYS)
    assert (found.children, found.problems, found.left_out) == (12, 4, 0)
    (section,) = found.sections
    for row in (
        *section.alone,
        *section.without,
        *section.values,
        *section.values_by_place,
        *section.without_by_place,
    ):
        for right, mean in ((True, row.right), (False, row.wrong)):
            assert mean is None or mean.value == pytest.approx(worth[right])
    assert [row.key for row in section.values] == [0, 1, 2, None]
    assert section.strata == ((0, 4, 4), (1, 4, 4), (2, 4, 4))
    assert section.nobody is not None
    assert section.nobody.value == pytest.approx(0.1)
    assert all(row.difference.value == pytest.approx(0.0) for row in section.moved)


def test_a_place_that_counts_is_told_from_who_stood_there() -> None:
    children = [
        replayed(f"p{n}", kind, {True: 0.2, False: 0.0}, 0.3)
        for n in range(5)
        for kind in [(True, False, False), (False, False, True), (True, True, False)]
    ]
    (section,) = estimate(children, Counter(one.stratum for one in children), ["order"]).sections
    assert [mean.value for mean in section.places] == pytest.approx([0.3, 0.3, 0.6])
    assert [row.difference.value for row in section.moved] == pytest.approx([0.3, 0.3, 0.3])
    assert section.values == section.without == ()


def test_a_child_stands_for_its_stratum_and_ungraded_is_no_zero() -> None:
    worth = {True: 0.5, False: 0.0}
    mixed = [replayed(f"p{n}", (True, False), worth, 0.0) for n in range(2)]
    pure = [replayed(f"p{n}", (False, False), worth, 0.0) for n in range(2)]
    sizes = {("x", 2, 0): 30, ("x", 2, 1): 10}
    (section,) = estimate([*mixed, *pure], sizes, ["without"]).sections
    assert section.as_sent is not None
    assert section.as_sent.value == pytest.approx((10 * 0.6 + 30 * 0.1) / 40)
    values = {shown: value for shown, value in pure[0].values.items() if shown != (0,)}
    lacking = Replayed("p0", "x", True, (False, False), values)
    found = estimate([*mixed, lacking, pure[1]], sizes, ["without"])
    assert (found.children, found.left_out) == (3, 1)
    again = found.sections[0].as_sent
    assert again is not None
    assert again.value == pytest.approx(section.as_sent.value)


def test_the_intervals_cover_with_weights_and_clusters() -> None:
    """The mean worth of a right parent in a run of 40 problems that differ, from 60 children drawn by strata."""
    random = np.random.default_rng(5)
    covered, times = 0, 200
    for _ in range(times):
        chance = random.beta(2, 2, size=40)
        kinds = [(True, False), (False, False), (True, True)]
        run = [(n, kinds[int(random.choice(3, p=[0.2, 0.3, 0.5]))]) for n in range(40) for _ in range(10)]
        strata: list[Stratum] = [("x", 2, sum(kind)) for _, kind in run]
        chosen = [run[place] for place in drawn(strata, 60, int(random.integers(2**31)))]
        children = [
            Replayed(
                f"p{n}", "x", True, kind,
                {shown: float(random.binomial(4, chance[n] if any(kind[p] for p in shown) else 0.05)) / 4
                 for shown in wanted(kind, ["without"])},
            )
            for n, kind in chosen
        ]  # fmt: skip
        (section,) = estimate(children, Counter(strata), ["without"]).sections
        right = section.without[-1].right
        assert right is not None
        assert right.interval is not None
        share = 80 / (80 + 2 * 200)  # of right parents, those that are alone: only they are missed
        truth = share * (0.5 - 0.05)
        covered += right.interval[0] <= truth <= right.interval[1]
    assert 0.88 <= covered / times <= 0.995
