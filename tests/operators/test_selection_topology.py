"""Islands and neighbourhoods: who can be a parent of the child in a place, and when."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path

import networkx as nx
import pytest
from evolve_llm_operators.topology import islands, neighbourhood
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import assert_uniform, groups_of, scheme

from evolve_llm import Problem, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.scheme.decorators import stopping
from evolve_llm.scheme.preset import Preset
from evolve_llm.testing import Behaviour, contents, run_directory, seeds


def reach(select: object, n: int, k: int, generation: int = 1, draws: int = 60) -> list[set[int]]:
    """The places that were ever drawn for each child."""
    found: list[set[int]] = [set() for _ in range(n)]
    for seed in range(draws):
        for slot, group in enumerate(groups_of(select, range(n), [k] * n, seed, generation)):  # type: ignore[arg-type]
            found[slot] |= set(group)
    return found


# ---------------------------------------------------------------- islands


@pytest.mark.parametrize(
    ("generation", "size"), [(1, 2), (2, 2), (3, 4), (5, 4), (6, 8), (8, 8), (9, 16), (12, 16), (99, 16)]
)
def test_islands_merge_in_neighbouring_pairs_until_one_is_left(generation: int, size: int) -> None:
    found = reach(partial(islands, count=8, every=3), 16, 2, generation)
    assert found == [set(range(slot // size * size, slot // size * size + size)) for slot in range(16)]


@pytest.mark.parametrize("t", range(1, 12))
def test_the_merge_schedule_is_rsaharness_s(t: int) -> None:
    """M = 4 islands, T = 12 steps: phases of T / (log2(M) + 1) = 4, M // 2**phase islands in each."""
    expected = 4 // 2 ** min(t // 4, 2)
    pools = {frozenset(places) for places in reach(partial(islands, count=4, every=4), 16, 4, t)}
    assert len(pools) == expected


def test_an_odd_island_waits_for_its_turn() -> None:
    sizes = [
        [len(one) for one in reach(partial(islands, count=3, every=1), 6, 2, generation)]
        for generation in (1, 2)
    ]
    assert sizes == [[4, 4, 4, 4, 2, 2], [6] * 6]


def test_parents_are_uniform_within_an_island() -> None:
    draws = (groups_of(partial(islands, count=2), range(8), [2] * 8, seed)[5] for seed in range(3000))
    assert_uniform(draws, outcomes=12)


def test_rings_migrate_every_so_many_generations_and_only_to_the_next_island() -> None:
    ring = partial(islands, count=3, scheme="ring", every=4)
    blocks = [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]
    home = [blocks[slot // 3] for slot in range(9)]
    for generation in (1, 2, 3, 5):
        assert reach(ring, 9, 2, generation) == home
    for generation in (4, 8):
        found = reach(ring, 9, 2, generation, draws=200)
        assert found == [home[slot] | blocks[slot // 3 - 1] for slot in range(9)]


@given(count=st.sampled_from((2, 3, 4)), migrants=st.integers(1, 3), seed=seeds())
def test_each_island_of_a_ring_draws_from_that_many_migrants(count: int, migrants: int, seed: int) -> None:
    """With K the island's size, its children show the whole pool: its own members less those that left."""
    n = 3 * count
    ring = partial(islands, count=count, scheme="ring", every=1, migrants=migrants)
    groups = groups_of(ring, range(n), [3] * n, seed)
    pools = [{place for group in groups[start : start + 3] for place in group} for start in range(0, n, 3)]
    for island, pool in enumerate(pools):
        assert len(pool) == 3
        assert Counter(place // 3 for place in pool) == +Counter(
            {island: 3 - migrants, (island - 1) % count: migrants}
        )
    assert set().union(*pools) == set(range(n))


def test_migrants_are_uniform_among_an_islands_members() -> None:
    ring = partial(islands, count=2, scheme="ring", every=1)

    def migrant(seed: int) -> int:
        groups = groups_of(ring, range(8), [4] * 8, seed)
        return next(place for place in groups[0] if place >= 4)

    assert_uniform((migrant(seed) for seed in range(2000)), outcomes=4)


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ({"count": 3}, "3 islands do not divide a population of 8; set count to one of 1, 2, 4, 8"),
        (
            {"count": 8, "every": 2},
            "2 parents are more than the 1 members of an island; set count to at most 4",
        ),
        ({"count": 0}, "count .* at least 1, got 0"),
        ({"count": 2, "scheme": "star"}, "scheme must be one of merge, ring, got 'star'"),
        ({"count": 2, "every": 0}, "every .* at least 1, got 0"),
        ({"count": 2, "scheme": "ring", "migrants": 5}, "migrants .* from 1 to 4, got 5"),
        ({"count": 2, "evrey": 3}, "no parameter 'evrey'.* count, every, migrants, scheme"),
    ],
)
def test_islands_that_cannot_be_are_refused_with_the_preset_line(
    select: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=rf"\[select\].*islands.*{words}"):
        scheme({"operator": "islands", **select})


@pytest.mark.parametrize("name", ["islands", "neighbourhood"])
def test_structures_need_a_replacement_that_keeps_places(name: str) -> None:
    select = {"operator": name, **({"count": 2} if name == "islands" else {})}
    with pytest.raises(
        UserError, match=r"\[select\] evolve_llm_operators.topology.*\[replace\].*generational"
    ):
        scheme(select, replace="plus", evaluate="agreement")


@pytest.mark.parametrize(
    "select", [partial(islands, count=2), neighbourhood], ids=["islands", "neighbourhood"]
)
def test_structures_need_as_many_children_as_places(select: object) -> None:
    with pytest.raises(OperatorError, match="3 children cannot fill the 4 places"):
        groups_of(select, range(4), [1, 1, 1], 0)  # type: ignore[arg-type]


@stopping()
def never(problem: Problem, generations: object) -> bool:  # noqa: ARG001
    """A rule that ends nothing, but has every generation wait for the one before."""
    return False


@pytest.mark.parametrize(
    "select",
    ["identity", {"operator": "islands", "count": 2}, {"operator": "neighbourhood", "graph": "ring"}],
    ids=["identity", "islands", "neighbourhood"],
)
def test_failures_and_stopping_rules_leave_the_plan_as_it_was(select: object) -> None:
    """A rule that never stops anything, and children that fail, change nothing about who is planned for whom."""

    def rows(stop: list[object]) -> object:
        data = {
            "name": "t",
            "population": 8,
            "parents": 1 if select == "identity" else 2,
            "generations": 5,
            "select": select,
            "stop": stop,
        }
        problem = Problem("p", "What is 2 + 2?", "boxed", "exact", "4")
        with run_directory() as out:
            run = evolve([problem], Preset.from_plain(data), Scripted(Behaviour(fail=0.3)), out=out, seed=5)
            assert run.complete
            found = contents(out)["candidates"]
        assert any("failed" in map(str, row) for row in found)
        return found

    assert rows([]) == rows([never])


# ---------------------------------------------------------------- neighbourhoods


def closed(net: nx.Graph[int], radius: int = 1) -> list[set[int]]:
    return [set(nx.ego_graph(net, place, radius)) for place in sorted(net)]


@pytest.mark.parametrize(
    ("parameters", "net"),
    [
        ({"graph": "ring"}, nx.cycle_graph(12)),
        ({"graph": "ring", "radius": 2}, nx.circulant_graph(12, [1, 2])),
        ({"graph": "complete"}, nx.complete_graph(12)),
        (
            {"graph": "torus"},
            nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4, periodic=True), ordering="sorted"),
        ),
        (
            {"graph": "torus", "rows": 2},
            nx.convert_node_labels_to_integers(nx.grid_2d_graph(2, 6, periodic=True), ordering="sorted"),
        ),
        ({"graph": "small_world"}, nx.connected_watts_strogatz_graph(12, 4, 0.1, seed=0)),
        (
            {"graph": "small_world", "k": 2, "p": 0.5, "graph_seed": 7},
            nx.connected_watts_strogatz_graph(12, 2, 0.5, seed=7),
        ),
    ],
)
def test_parents_are_the_closed_neighbourhood(parameters: dict[str, object], net: nx.Graph[int]) -> None:
    found = reach(partial(neighbourhood, **parameters), 12, 1, draws=300)  # type: ignore[arg-type]
    assert found == closed(net)
    without = reach(partial(neighbourhood, **parameters, include_self=False), 12, 1, draws=300)  # type: ignore[arg-type]
    assert without == [near - {place} for place, near in enumerate(closed(net))]


def test_parents_are_uniform_within_a_neighbourhood() -> None:
    draws = (groups_of(neighbourhood, range(8), [2] * 8, seed)[0] for seed in range(2000))
    assert_uniform(draws, outcomes=6)


def test_a_random_graph_is_one_graph_whatever_the_draw() -> None:
    small = partial(neighbourhood, graph="small_world", k=2, p=0.9)
    random.seed(1)
    first = reach(small, 10, 1, draws=100)
    random.seed(2)
    assert reach(small, 10, 1, draws=100) == first


def test_a_neighbourhood_of_everybody_is_uniform() -> None:
    draws = (
        groups_of(partial(neighbourhood, graph="complete"), range(5), [2] * 5, seed)[3]
        for seed in range(3000)
    )
    assert_uniform(draws, outcomes=20)


@pytest.mark.parametrize("suffix", ["graphml", "edgelist"])
def test_a_graph_comes_from_a_file(tmp_path: Path, suffix: str) -> None:
    net = nx.star_graph(5)  # the hub is place 0
    path = tmp_path / f"star.{suffix}"
    {"graphml": nx.write_graphml, "edgelist": nx.write_edgelist}[suffix](net, path)
    found = reach(partial(neighbourhood, graph=str(path)), 6, 1)
    assert found == closed(net)


def test_numbers_in_a_file_are_places_and_names_count_in_order(tmp_path: Path) -> None:
    path = tmp_path / "net.edgelist"
    path.write_text("2 1\n1 0\n0 3\n")
    assert reach(partial(neighbourhood, graph=str(path)), 4, 1)[2] == {1, 2}
    path.write_text("c b\nb a\na d 0.5\n")
    assert reach(partial(neighbourhood, graph=str(path)), 4, 1)[0] == {0, 1}


def test_a_child_takes_from_the_predecessors_in_a_directed_graph(tmp_path: Path) -> None:
    path = tmp_path / "chain.graphml"
    nx.write_graphml(nx.path_graph(4, create_using=nx.DiGraph), path)
    assert reach(partial(neighbourhood, graph=str(path)), 4, 1) == [{0}, {0, 1}, {1, 2}, {2, 3}]


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "net.edgelist"
    path.write_text("0 1\n2 3\n")
    assert reach(partial(neighbourhood, graph=str(path)), 4, 1)[0] == {0, 1}
    path.write_text("0 1\n2 3\n0 2\n0 3\n")
    assert reach(partial(neighbourhood, graph=str(path)), 4, 1)[0] == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (
            {"graph": "star"},
            "one of ring, torus, small_world, complete, or a path that ends in .graphml or .edgelist",
        ),
        ({"graph": "gone.graphml"}, "gone.graphml cannot be read: No such file"),
        ({"radius": 0}, "radius .* at least 1, got 0"),
        ({"k": 4}, "k belongs to graph = 'small_world', but graph is 'ring'"),
        ({"graph": "small_world", "k": 3}, "k must be even and smaller than the population of 8, got 3"),
        ({"graph": "small_world", "k": 8}, "k must be even and smaller"),
        ({"graph": "small_world", "p": 1.5}, "p .* from 0 to 1, got 1.5"),
        ({"graph": "torus", "rows": 3}, "torus of 3 rows cannot hold 8 places"),
        ({"include_self": "no"}, "include_self must be true or false, got 'no'"),
    ],
)
def test_graphs_that_cannot_be_are_refused_with_the_preset_line(
    select: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=rf"\[select\].*neighbourhood.*{words}"):
        scheme({"operator": "neighbourhood", **select})


def test_a_neighbourhood_smaller_than_k_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"\[select\].*4 parents are more than the 3 members.*place 0.*raise radius"
    ):
        scheme("neighbourhood", parents=4)


def test_a_prime_population_makes_no_torus() -> None:
    with pytest.raises(UserError, match="7 places do not make a torus"):
        scheme({"operator": "neighbourhood", "graph": "torus"}, population=7)


def test_a_file_with_the_wrong_number_of_nodes_or_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.graphml"
    nx.write_graphml(nx.cycle_graph(5), path)
    with pytest.raises(UserError, match=r"has 5 nodes, but the population has 8 members; set population = 5"):
        scheme({"operator": "neighbourhood", "graph": str(path)})
    path.write_text("<graphml><graph><node>")
    with pytest.raises(UserError, match=r"net.graphml is not valid graphml"):
        scheme({"operator": "neighbourhood", "graph": str(path)})


@given(
    generation=st.integers(1, 30),
    parameters=st.sampled_from(
        (
            {"count": 2},
            {"count": 4, "every": 1},
            {"count": 4, "scheme": "ring", "every": 2, "migrants": 2},
            {"graph": "torus", "radius": 2},
            {"graph": "complete", "include_self": False},
        )
    ),
    k=st.integers(1, 2),
    seed=seeds(),
    outer=st.integers(0, 99),
)
def test_distinct_members_from_the_seed_alone(
    generation: int, parameters: dict[str, object], k: int, seed: int, outer: int
) -> None:
    select = partial(islands if "count" in parameters else neighbourhood, **parameters)  # type: ignore[arg-type]
    members = [f"0.{slot}" for slot in range(8)]
    random.seed(outer)
    before = random.getstate()
    groups = groups_of(select, members, [k] * 8, seed, generation)
    assert random.getstate() == before
    assert members == [f"0.{slot}" for slot in range(8)]
    assert all(len(set(group)) == k and set(group) <= set(members) for group in groups)
    random.seed(outer + 1)
    assert groups_of(select, members, [k] * 8, seed, generation) == groups
