"""Structured populations: islands, and neighbourhoods on a graph. Blind, by place.

A place is an index into the population; child i is born in place i, so these need as many children as
members and a replacement that keeps places (``generational``), which the toolbox checks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import networkx as nx
from deap import tools

from evolve_llm.scheme.decorators import selection
from evolve_llm.scheme.preset import Preset
from evolve_llm_operators.parameters import real_number, whole_number

Item = TypeVar("Item")

SCHEMES = ("merge", "ring")
GRAPHS = ("ring", "torus", "small_world", "complete")
FILES: dict[str, Callable[..., Any]] = {".graphml": nx.read_graphml, ".edgelist": nx.read_edgelist}


def _islands_fit(
    preset: Preset, *, count: int = 2, scheme: str = "merge", every: int = 3, migrants: int = 1
) -> None:
    _archipelago(preset.population, count, scheme, every, migrants)


@selection(blind=True, whole_generation=True, by_generation=True, structured=True, requires=_islands_fit)
def islands(
    individuals: Sequence[Item],
    sizes: Sequence[int],
    *,
    generation: int,
    count: int = 2,
    scheme: str = "merge",
    every: int = 3,
    migrants: int = 1,
) -> list[list[Item]]:
    """K uniform parents from the child's own island; ``count`` islands of neighbouring places.

    ``scheme="merge"``: from generation ``every`` on, and every so many generations, neighbouring islands merge
    in pairs until one is left (an odd one waits). With ``count`` a power of two and ``every`` =
    T / (log2(count) + 1) this is RSAHarness's schedule. ``scheme="ring"``: in every ``every``-th generation
    ``migrants`` random members of each island change places with the next island's, by DEAP's migRing: the
    children of that generation draw from the islands so mixed, and stay where they are born.

    Source: merges, RSAHarness (github.com/rsa-llm/RSAHarness); rings, Tanese, ICGA 1989.
    """
    n = len(individuals)
    _as_many_children(n, sizes)
    size = _archipelago(n, count, scheme, every, migrants)
    pools = [list(range(start, start + size)) for start in range(0, n, size)]
    if scheme == "merge":
        for _ in range(min(generation // every, count.bit_length())):
            pools = [list(chain(*pools[i : i + 2])) for i in range(0, len(pools), 2)]
        home = {place: pool for pool in pools for place in pool}
    else:
        living = [list(pool) for pool in pools]
        if generation % every == 0 and count > 1:
            tools.migRing(pools, migrants, selection=random.sample)
        home = {place: pool for island, pool in zip(living, pools, strict=True) for place in island}
    for slot, k in enumerate(sizes):
        if k > len(home[slot]):
            raise ValueError(
                f"{k} parents are more than the {len(home[slot])} members of an island; set count to at most "
                f"{n // k} or parents to at most {len(home[slot])}"
            )
    return [[individuals[i] for i in random.sample(home[slot], k)] for slot, k in enumerate(sizes)]


def _archipelago(n: int, count: int, scheme: str, every: int, migrants: int) -> int:
    """The size of an island."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    whole_number("count (of islands)", count, 1)
    if n % count:
        fits = [m for m in range(1, n + 1) if n % m == 0]
        raise ValueError(
            f"{count} islands do not divide a population of {n}; set count to one of {', '.join(map(str, fits))}"
        )
    whole_number("every (generations between)", every, 1)
    whole_number("migrants (from each island)", migrants, 1, n // count)
    return n // count


def _graph_fits(preset: Preset, **parameters: Any) -> None:
    _neighbourhoods(preset.population, **parameters)


@selection(blind=True, whole_generation=True, structured=True, requires=_graph_fits)
def neighbourhood(
    individuals: Sequence[Item],
    sizes: Sequence[int],
    *,
    graph: str = "ring",
    radius: int = 1,
    include_self: bool = True,
    rows: int | None = None,
    k: int | None = None,
    p: float | None = None,
    graph_seed: int | None = None,
) -> list[list[Item]]:
    """K uniform parents from the members within ``radius`` edges of the child's own node: a cellular EA.

    ``graph`` is ``ring``; ``torus`` (a grid, ``rows`` high, as square as N allows without it);
    ``small_world`` (Watts–Strogatz: ``k`` nearest neighbours, default 4, each edge rewired with probability
    ``p``, default 0.1, by its own ``graph_seed``, default 0, so that it is one graph for the whole run);
    ``complete``; or the path of a ``.graphml`` or ``.edgelist`` file with N nodes. Nodes numbered 0 … N-1
    are the places of those numbers, others count in the file's order; along a directed edge a child takes
    from its predecessors. ``include_self=False`` leaves the node's own member out.

    Source: Alba and Dorronsoro, Cellular Genetic Algorithms, 2008; small worlds, Giacobini, Tomassini and
    Tettamanzi, GECCO 2005.
    """
    _as_many_children(len(individuals), sizes)
    pools = _neighbourhoods(
        len(individuals),
        graph=graph,
        radius=radius,
        include_self=include_self,
        rows=rows,
        k=k,
        p=p,
        graph_seed=graph_seed,
    )
    for slot, size in enumerate(sizes):
        if size > len(pools[slot]):
            raise ValueError(
                f"{size} parents are more than the {len(pools[slot])} members in the neighbourhood of place {slot} "
                f"of {graph!r}; raise radius (now {radius}) or set parents to at most {min(map(len, pools))}"
            )
    return [[individuals[i] for i in random.sample(pools[slot], size)] for slot, size in enumerate(sizes)]


def _as_many_children(n: int, sizes: Sequence[int]) -> None:
    if len(sizes) != n:
        raise ValueError(
            f"{len(sizes)} children cannot fill the {n} places of the population; leave offspring unset"
        )


def _neighbourhoods(
    n: int,
    *,
    graph: str = "ring",
    radius: int = 1,
    include_self: bool = True,
    rows: int | None = None,
    k: int | None = None,
    p: float | None = None,
    graph_seed: int | None = None,
) -> list[list[int]]:
    """The places around each place, in order."""
    whole_number("radius", radius, 1)
    if not isinstance(include_self, bool):
        raise ValueError(f"include_self must be true or false, got {include_self!r}")
    for name, value, only in (
        ("rows", rows, "torus"),
        ("k", k, "small_world"),
        ("p", p, "small_world"),
        ("graph_seed", graph_seed, "small_world"),
    ):
        if value is not None and graph != only:
            raise ValueError(f"{name} belongs to graph = {only!r}, but graph is {graph!r}; leave it out")
    stamp = None
    if graph not in GRAPHS:
        path = Path(str(graph))
        if path.suffix not in FILES:
            raise ValueError(
                f"graph must be one of {', '.join(GRAPHS)}, or a path that ends in {' or '.join(FILES)}; got {graph!r}"
            )
        try:
            seen = path.stat()
        except OSError as error:
            raise ValueError(f"the graph file {graph} cannot be read: {error.strerror}") from error
        stamp = (seen.st_mtime_ns, seen.st_size)  # so that a file that changes is read again
    around = _around(n, graph, radius, rows, k, p, graph_seed, stamp)
    return [[place for place in near if include_self or place != i] for i, near in enumerate(around)]


@lru_cache(maxsize=32)
def _around(
    n: int,
    graph: str,
    radius: int,
    rows: int | None,
    k: int | None,
    p: float | None,
    graph_seed: int | None,
    stamp: tuple[int, int] | None,
) -> list[list[int]]:
    if stamp is not None:
        net = _read(graph, n)
    elif graph == "ring":
        net = nx.path_graph(n) if n < 3 else nx.cycle_graph(n)
    elif graph == "complete":
        net = nx.complete_graph(n)
    elif graph == "torus":
        net = _torus(n, rows)
    else:
        net = _small_world(n, 4 if k is None else k, 0.1 if p is None else p, graph_seed or 0)
    towards = net.reverse() if net.is_directed() else net
    return [
        sorted(nx.single_source_shortest_path_length(towards, place, cutoff=radius)) for place in range(n)
    ]


def _torus(n: int, rows: int | None) -> Any:
    if rows is None:
        rows = max(r for r in range(1, int(n**0.5) + 1) if n % r == 0)
        if rows == 1:
            raise ValueError(
                f"{n} places do not make a torus with more than one row; choose a population such as "
                f'{n + 1} or "ring" as the graph'
            )
    elif whole_number("rows", rows, 2) and n % rows:
        raise ValueError(
            f"a torus of {rows} rows cannot hold {n} places; the number of rows must divide the population"
        )
    net = nx.grid_2d_graph(rows, n // rows, periodic=True)
    return nx.relabel_nodes(net, {(r, c): r * (n // rows) + c for r, c in net.nodes})


def _small_world(n: int, k: int, p: float, seed: int) -> Any:
    whole_number("k (nearest neighbours)", k, 2)
    if k % 2 or k >= n:
        raise ValueError(f"k must be even and smaller than the population of {n}, got {k}")
    real_number("p (of rewiring)", p, 0.0, 1.0)
    whole_number("graph_seed", seed, 0)
    try:
        return nx.connected_watts_strogatz_graph(n, k, p, seed=seed)
    except nx.NetworkXError as error:
        raise ValueError(f"no connected small world with k={k}, p={p} was found; raise k: {error}") from error


def _read(path: str, n: int) -> Any:
    """The graph in a file, its nodes relabelled as places."""
    suffix = Path(path).suffix
    options: dict[str, Any] = {"data": False} if suffix == ".edgelist" else {}
    try:
        net = FILES[suffix](path, **options)
    except Exception as error:  # the parsers raise whatever the damaged file makes them raise
        raise ValueError(f"the graph file {path} is not valid {suffix[1:]}: {error}") from error
    if len(net) != n:
        raise ValueError(
            f"the graph in {path} has {len(net)} nodes, but the population has {n} members; set population "
            f"= {len(net)}"
        )
    names = [str(node) for node in net.nodes]
    numbered = set(names) == {str(place) for place in range(n)}
    return nx.relabel_nodes(
        net, {node: int(node) if numbered else place for place, node in enumerate(net.nodes)}
    )
