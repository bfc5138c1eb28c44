"""Credit by asking: what a parent was worth to its child, from replays of the child's variation without that parent,
or with the parents in another order.

A replay is named by who stands in the prompt: the places of the parents in the child's own prompt, from 0, in the
order in which they are shown. ``(0, 1, 2, 3)`` is the prompt as it was sent, ``(0, 2, 3)`` the same without its second
parent, ``()`` the question alone. Its value is the chance that a chain written from it is right.

Children are drawn by strata and stand for others like them: every mean "of the run" weights a child by the number of
children of its stratum for each one asked. The unit of every interval is the problem.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Literal, get_args

from evolve_llm.analysis.shapley import coalitions, shapley
from evolve_llm.analysis.stats import Interval, ratio_interval

Shown = tuple[int, ...]
Replay = Literal["without", "order", "shapley"]
REPLAYS: tuple[Replay, ...] = get_args(Replay)
LARGEST = 4
"""The most parents for Shapley values: K of them are 2**K prompts."""

Stratum = tuple[str, int, int]
"""(operator, K, how many of the K parents are right)."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A child asked again. ``parents`` says of each, in the order of its prompt, whether it is right.

    ``values``: the share of right chains by who was shown; a replay of which no chain could be graded is missing, and
    is never 0. ``weight``: how many children of the run it stands for; ``estimate`` sets it.
    """

    problem: str
    operator: str
    right: bool
    parents: tuple[bool, ...]
    values: Mapping[Shown, float]
    weight: float = 1.0

    @property
    def all(self) -> Shown:
        """The prompt as it was sent."""
        return tuple(range(len(self.parents)))

    @property
    def stratum(self) -> Stratum:
        """Which children it stands for."""
        return self.operator, len(self.parents), sum(self.parents)


@dataclass(frozen=True, slots=True)
class Mean:
    """A weighted mean over ``children`` of ``problems`` problems, with a 95 % interval clustered by problem."""

    children: int
    problems: int
    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Worth:
    """What right and wrong parents were worth. ``key``: the number of right parents, or a place from 1.

    In a table by number, the ``key`` None is the whole run. None where there is no such parent.
    """

    key: int | None
    right: Mean | None
    wrong: Mean | None


@dataclass(frozen=True, slots=True)
class Moved:
    """The right parents of a mixed group stand last and first; ``difference`` is paired by child.

    ``right_parents`` None is all mixed groups of the run.
    """

    right_parents: int | None
    first: Mean
    last: Mean
    difference: Mean


@dataclass(frozen=True, slots=True)
class Section:
    """What was found for one operator and one K; empty where it was not asked.

    ``strata``: (right parents, children of the run, children asked). ``as_sent`` less ``stored`` is ``again``, paired:
    whether asking again gives what the run has. ``places`` is the only right parent put at each place. ``alone`` is
    what a parent adds to the question as the first, ``without`` what it adds as the last, and ``values`` what it adds
    on average over all orders of coming. ``nobody`` is the chance of the question alone, and ``shared`` what all
    Shapley values of a child sum to.
    """

    operator: str
    parents: int
    strata: tuple[tuple[int, int, int], ...]
    as_sent: Mean | None
    stored: Mean | None
    again: Mean | None
    without: tuple[Worth, ...]
    without_by_place: tuple[Worth, ...]
    moved: tuple[Moved, ...]
    places: tuple[Mean, ...]
    alone: tuple[Worth, ...]
    values: tuple[Worth, ...]
    values_by_place: tuple[Worth, ...]
    nobody: Mean | None
    shared: Mean | None


@dataclass(frozen=True, slots=True)
class Asked:
    """All sections, by operator and K. ``left_out``: children with a replay that no chain of could be graded."""

    children: int
    problems: int
    left_out: int
    sections: tuple[Section, ...]

    def plain(self) -> dict[str, Any]:
        """As ``evolve-llm credit --ask --json`` prints it."""
        return asdict(self)


# ------------------------------------------------------------------ what is asked


def wanted(parents: Sequence[bool], replays: Collection[Replay]) -> list[Shown]:
    """The different replays of a child: its own prompt first. Those that two questions need are there once."""
    everybody = tuple(range(len(parents)))
    found = [everybody]
    if "without" in replays:
        found += [_without(everybody, place) for place in everybody]
    if "order" in replays:
        found += placements(parents)
    if "shapley" in replays:
        found += coalitions(len(parents))
    return list(dict.fromkeys(found))


def placements(parents: Sequence[bool]) -> list[Shown]:
    """The orders of a mixed group: an only right parent at each place, several right ones all first and all last.

    Right parents keep their order among themselves, and so do wrong ones. Nothing for a group of one kind.
    """
    right = [place for place, good in enumerate(parents) if good]
    wrong = [place for place, good in enumerate(parents) if not good]
    if not right or not wrong:
        return []
    if len(right) == 1:
        return [(*wrong[:at], right[0], *wrong[at:]) for at in range(len(parents))]
    return [(*right, *wrong), (*wrong, *right)]


def allotted(sizes: Mapping[Stratum, int], count: int) -> dict[Stratum, int]:
    """How many children to draw of each stratum: mixed groups get two shares where pure ones get one.

    No more than there are, and at least one of each while there are enough to be drawn. Ties go to the smaller key.
    """
    found = dict.fromkeys(sorted(sizes), 0)
    for _ in range(min(count, sum(sizes.values()))):
        free = [one for one in found if found[one] < sizes[one]]
        found[min(free, key=lambda one: ((found[one] + 0.5) / (2 if 0 < one[2] < one[1] else 1), one))] += 1
    return found


def drawn(strata: Sequence[Stratum], count: int, seed: int) -> list[int]:
    """Which children to ask, as places in ``strata``, which has one entry a child of the run.

    Inside a stratum every child is as likely. They come in a random order, so that any beginning is a sample too.
    """
    random = Random(seed)
    members: dict[Stratum, list[int]] = defaultdict(list)
    for place, one in enumerate(strata):
        members[one].append(place)
    shares = allotted({one: len(found) for one, found in members.items()}, count)
    chosen = [place for one, share in shares.items() for place in random.sample(members[one], share)]
    random.shuffle(chosen)
    return chosen


# ------------------------------------------------------------------ what comes of it


def estimate(
    children: Sequence[Replayed], sizes: Mapping[Stratum, int], replays: Collection[Replay]
) -> Asked:
    """All that these replays say, ``sizes`` being the children of each stratum of the run.

    A child that lacks one of its replays is left out of all of it, and counted.
    """
    whole = [one for one in children if all(shown in one.values for shown in wanted(one.parents, replays))]
    asked = Counter(one.stratum for one in whole)
    groups: dict[tuple[str, int], list[Replayed]] = {(operator, k): [] for operator, k, _ in sorted(sizes)}
    for one in whole:
        weighed = replace(one, weight=sizes[one.stratum] / asked[one.stratum])
        groups[one.operator, len(one.parents)].append(weighed)
    sections = []
    for (operator, k), group in groups.items():
        if group:
            keys = [(operator, k, r) for r in range(k + 1)]
            strata = tuple((key[2], sizes[key], asked[key]) for key in keys if key in sizes)
            sections.append(_section(operator, k, strata, group, replays))
    problems = len({one.problem for one in whole})
    return Asked(len(whole), problems, len(children) - len(whole), tuple(sections))


def _section(
    operator: str,
    k: int,
    strata: tuple[tuple[int, int, int], ...],
    group: Sequence[Replayed],
    replays: Collection[Replay],
) -> Section:
    single = [one for one in group if sum(one.parents) == 1]
    values = {id(one): shapley(k, one.values.__getitem__) for one in group} if "shapley" in replays else {}

    def without(one: Replayed, place: int) -> float:
        return one.values[one.all] - one.values[_without(one.all, place)]

    def alone(one: Replayed, place: int) -> float:
        return one.values[(place,)] - one.values[()]

    def shared(one: Replayed, place: int) -> float:
        return values[id(one)][place]

    asked, told = "without" in replays, "shapley" in replays
    return Section(
        operator,
        k,
        strata,
        as_sent=mean((one, one.values[one.all]) for one in group),
        stored=mean((one, float(one.right)) for one in group),
        again=mean(((one, one.values[one.all] - one.right) for one in group), bounds=(-1.0, 1.0)),
        without=_worths(group, k, without) if asked else (),
        without_by_place=_by_place(group, k, without) if asked else (),
        moved=_moved(group, k) if "order" in replays else (),
        places=_places(single, k) if "order" in replays and k > 1 else (),
        alone=_worths(group, k, alone) if told else (),
        values=_worths(group, k, shared) if told else (),
        values_by_place=_by_place(group, k, shared) if told else (),
        nobody=mean((one, one.values[()]) for one in group) if told else None,
        shared=mean(((one, sum(values[id(one)])) for one in group), bounds=(-1.0, 1.0)) if told else None,
    )


Part = Callable[[Replayed, int], float]


def _worths(group: Sequence[Replayed], k: int, part: Part) -> tuple[Worth, ...]:
    """By the number of right parents, and last of the whole run."""
    rows = [_worth(r, [one for one in group if sum(one.parents) == r], k, part) for r in range(k + 1)]
    return (*(row for row in rows if row.right or row.wrong), _worth(None, group, k, part))


def _by_place(group: Sequence[Replayed], k: int, part: Part) -> tuple[Worth, ...]:
    """By the place of the parent in the prompt, of mixed groups."""
    mixed = [one for one in group if 0 < sum(one.parents) < k]
    return tuple(_worth(place + 1, mixed, k, part, only=place) for place in range(k)) if mixed else ()


def _worth(
    key: int | None,
    group: Sequence[Replayed],
    k: int,
    part: Part,
    *,
    only: int | None = None,
) -> Worth:
    places = range(k) if only is None else (only,)

    def of(right: bool) -> Mean | None:
        return mean(
            ((one, part(one, place)) for one in group for place in places if one.parents[place] == right),
            bounds=(-1.0, 1.0),
        )

    return Worth(key, of(True), of(False))


def _moved(group: Sequence[Replayed], k: int) -> tuple[Moved, ...]:
    mixed = [one for one in group if 0 < sum(one.parents) < k]
    rows = []
    for r in [*sorted({sum(one.parents) for one in mixed}), None]:
        ends = [
            (one, one.values[orders[0]], one.values[orders[-1]])
            for one in mixed
            if r is None or sum(one.parents) == r
            for orders in [placements(one.parents)]
        ]
        first, last = mean((one, a) for one, a, _ in ends), mean((one, b) for one, _, b in ends)
        difference = mean(((one, b - a) for one, a, b in ends), bounds=(-1.0, 1.0))
        if first and last and difference:
            rows.append(Moved(r, first, last, difference))
    return tuple(rows)


def _places(single: Sequence[Replayed], k: int) -> tuple[Mean, ...]:
    """The chance with the only right parent at each place: the same children at all of them."""
    found = [mean((one, one.values[placements(one.parents)[place]]) for one in single) for place in range(k)]
    return tuple(one for one in found if one is not None)


def mean(parts: Iterable[tuple[Replayed, float]], *, bounds: Interval = (0.0, 1.0)) -> Mean | None:
    """The mean of parts of children by the children's weights; None of nothing."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    children = set()
    for one, value in parts:
        children.add(id(one))
        sums[one.problem][0] += one.weight * value
        sums[one.problem][1] += one.weight
    if not children:
        return None
    total = sum(y for y, _ in sums.values()) / sum(n for _, n in sums.values())
    pairs = [(y, n) for y, n in sums.values()]
    return Mean(len(children), len(sums), total, ratio_interval(pairs, bounds=bounds))


def _without(everybody: Shown, place: int) -> Shown:
    return tuple(one for one in everybody if one != place)
