"""Shapley values against the definition by permutations, and the axioms that make them unique."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.analysis.shapley import Coalition, coalitions, shapley

Game = dict[Coalition, float]


@st.composite
def games(draw: st.DrawFn, *, at_least: int = 1) -> tuple[int, Game]:
    players = draw(st.integers(at_least, 4))
    values = st.floats(-1, 1, allow_nan=False)
    return players, {one: draw(values) for one in coalitions(players)}


def by_permutations(players: int, game: Game) -> list[float]:
    """The mean of what a player adds on coming, over all orders of coming."""
    added = [0.0] * players
    for order in itertools.permutations(range(players)):
        for place, player in enumerate(order):
            before = tuple(sorted(order[:place]))
            added[player] += game[tuple(sorted((*before, player)))] - game[before]
    return [one / math.factorial(players) for one in added]


@given(games())
def test_it_is_the_mean_over_all_orders_and_is_efficient(drawn: tuple[int, Game]) -> None:
    players, game = drawn
    found = shapley(players, game.__getitem__)
    assert found == pytest.approx(by_permutations(players, game), abs=1e-12)
    assert sum(found) == pytest.approx(game[tuple(range(players))] - game[()], abs=1e-12)


@given(games(at_least=2), st.data())
def test_players_who_can_be_exchanged_get_the_same(drawn: tuple[int, Game], data: st.DataObject) -> None:
    players, game = drawn
    a, b = data.draw(st.permutations(range(players)))[:2]
    swap = {a: b, b: a}
    alike = {one: (game[one] + game[tuple(sorted(swap.get(p, p) for p in one))]) / 2 for one in game}
    found = shapley(players, alike.__getitem__)
    assert found[a] == pytest.approx(found[b], abs=1e-12)


@given(games(), st.data())
def test_who_never_changes_anything_gets_nothing(drawn: tuple[int, Game], data: st.DataObject) -> None:
    players, game = drawn
    idle = data.draw(st.integers(0, players - 1))
    without = {one: game[tuple(p for p in one if p != idle)] for one in game}
    assert shapley(players, without.__getitem__)[idle] == pytest.approx(0.0, abs=1e-12)


def test_the_gloves_of_the_textbook() -> None:
    """One left glove and two right ones: a pair is worth 1, and the left one earns two thirds."""

    def pairs(one: Coalition) -> float:
        return float(0 in one and len(one) > 1)

    assert shapley(3, pairs) == pytest.approx((2 / 3, 1 / 6, 1 / 6))
    assert list(coalitions(2)) == [(), (0,), (1,), (0, 1)]
