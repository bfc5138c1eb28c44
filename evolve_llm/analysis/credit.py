"""Which parent gave the child its right answer: what a stored run says of it, without asking the model again.

The unit of every interval is the problem: children of one problem share parents, and are not independent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import Interval, ratio_interval
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.store import Store


@dataclass(frozen=True, slots=True)
class Child:
    """A child whose verdict and whose parents' verdicts are all known.

    ``parents`` says of each parent, in the order of the prompt, whether it is right; ``lengths`` are their completion
    tokens. ``uid`` is the child's within its problem.
    """

    problem: str
    generation: int
    operator: str
    right: bool
    parents: tuple[bool, ...]
    lengths: tuple[int, ...]
    uid: str = ""

    @property
    def right_parents(self) -> int:
        """r, the number of right parents."""
        return sum(self.parents)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some children are right, over how many problems, with a 95 % interval clustered by problem."""

    children: int
    problems: int
    right: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """p(child right | r of its K parents are right)."""

    parents: int
    right_parents: int
    share: Share


@dataclass(frozen=True, slots=True)
class Step:
    """What one generation did: ``kept`` are right with a right parent, ``gained`` right without one.

    ``lost`` are wrong with a right parent, ``missed`` wrong without one. All are shares of the children.
    """

    generation: int
    children: int
    kept: float
    gained: float
    lost: float
    missed: float


@dataclass(frozen=True, slots=True)
class PlaceEffect:
    """Where the only right parent stood in the prompt. ``difference`` is the last place less the first.

    Its interval is clustered by problem; None where one of the two places has no child.
    """

    parents: int
    places: tuple[Share, ...]
    difference: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Credit:
    """What a run says of its parents. ``left_out`` children had a parent or a verdict that is not known, or failed.

    ``by_length`` has the children of mixed parents whose right ones are longer than their wrong ones, then the others.
    """

    children: int
    problems: int
    left_out: int
    curve: tuple[CurvePoint, ...]
    steps: tuple[Step, ...]
    places: tuple[PlaceEffect, ...]
    by_length: tuple[Share, Share]
    by_operator: dict[str, tuple[CurvePoint, ...]]

    def plain(self) -> dict[str, Any]:
        """As plain data, as ``evolve-llm credit --json`` prints it."""
        return asdict(self)


def credit(runs: Sequence[Run]) -> Credit:
    """What the children of these runs owe to their parents.

    Raises UserError where no child has both a verdict and parents with verdicts.
    """
    children, left_out = read_children(runs)
    if not children:
        raise UserError(
            "no child in these runs has a verdict, and parents with verdicts: credit needs problems with references, "
            "and a preset with parents"
        )
    operators = sorted({one.operator for one in children})
    return Credit(
        children=len(children),
        problems=len({one.problem for one in children}),
        left_out=left_out,
        curve=curve(children),
        steps=steps(children),
        places=tuple(
            place_effect(children, k) for k in sorted({len(one.parents) for one in children}) if k > 1
        ),
        by_length=by_length(children),
        by_operator={name: curve([c for c in children if c.operator == name]) for name in operators}
        if len(operators) > 1
        else {},
    )


def read_children(runs: Sequence[Run]) -> tuple[list[Child], int]:
    """Every child of the runs that can be judged with its parents, and how many cannot."""
    found: list[Child] = []
    left_out = 0
    for run in runs:
        with Store.open_to_read(run.path) as store:
            for place, problem in enumerate(store.problems()):
                verdicts, born = store.verdicts(place), {one.uid: one for one in store.candidates(place)}
                for one in born.values():
                    if not one.parents:
                        continue
                    right = _right(one, verdicts)
                    parents = [_right(born[uid], verdicts) if uid in born else None for uid in one.parents]
                    if right is None or one.copied or any(parent is None for parent in parents):
                        left_out += 1
                        continue
                    lengths = tuple(born[uid].completion_tokens for uid in one.parents)
                    known = tuple(bool(parent) for parent in parents)
                    found.append(
                        Child(problem.id, one.generation, one.operator, right, known, lengths, one.uid)
                    )
    return found, left_out


def _right(one: Candidate, verdicts: dict[str | None, Verdict]) -> bool | None:
    verdict = verdicts.get(one.answer)
    return None if one.failed or verdict is None or verdict.grade is Grade.UNGRADED else verdict.correct


def share_of(children: Iterable[Child]) -> Share:
    """The share of these children that are right."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in children:
        counts[one.problem][0] += one.right
        counts[one.problem][1] += 1
    total = sum(n for _, n in counts.values())
    right = sum(y for y, _ in counts.values())
    pairs = [(float(y), float(n)) for y, n in counts.values()]
    return Share(total, len(counts), right / total if total else 0.0, ratio_interval(pairs))


def curve(children: Sequence[Child]) -> tuple[CurvePoint, ...]:
    """The aggregation curve: a point for every K and r that occur."""
    groups: dict[tuple[int, int], list[Child]] = defaultdict(list)
    for one in children:
        groups[len(one.parents), one.right_parents].append(one)
    return tuple(CurvePoint(k, r, share_of(group)) for (k, r), group in sorted(groups.items()))


def steps(children: Sequence[Child]) -> tuple[Step, ...]:
    """Kept, gained, lost and missed by generation."""
    groups: dict[int, list[Child]] = defaultdict(list)
    for one in children:
        groups[one.generation].append(one)

    def part(group: list[Child], wanted: Callable[[Child], bool]) -> float:
        return sum(map(wanted, group)) / len(group)

    return tuple(
        Step(
            generation,
            len(group),
            part(group, lambda one: one.right and one.right_parents > 0),
            part(group, lambda one: one.right and not one.right_parents),
            part(group, lambda one: not one.right and one.right_parents > 0),
            part(group, lambda one: not one.right and not one.right_parents),
        )
        for generation, group in sorted(groups.items())
    )


def place_effect(children: Sequence[Child], parents: int) -> PlaceEffect:
    """Whether it matters where the right parent stands: children of K parents of whom exactly one is right."""
    single = [one for one in children if len(one.parents) == parents and one.right_parents == 1]
    by_place = [[one for one in single if one.parents[place]] for place in range(parents)]
    first, last = by_place[0], by_place[-1]
    difference = interval = None
    if first and last:
        difference = share_of(last).right - share_of(first).right
        interval = _difference_interval(first, last, difference)
    return PlaceEffect(parents, tuple(share_of(group) for group in by_place), difference, interval)


def _difference_interval(first: Sequence[Child], last: Sequence[Child], difference: float) -> Interval | None:
    """Of the difference of two shares whose children come from the same problems: each problem's influence on it."""
    means = [share_of(group) for group in (first, last)]
    influence: dict[str, float] = defaultdict(float)
    for sign, group, mean in ((-1.0, first, means[0]), (1.0, last, means[1])):
        for one in group:
            influence[one.problem] += sign * (one.right - mean.right) / mean.children
    return ratio_interval([(value + difference / len(influence), 1 / len(influence)) for value in influence.values()],
                          bounds=(-1.0, 1.0))  # fmt: skip


def by_length(children: Sequence[Child]) -> tuple[Share, Share]:
    """Children of right and wrong parents: those whose right ones are longer on average, and the others."""
    longer: list[Child] = []
    others: list[Child] = []
    for one in children:
        right = [length for length, good in zip(one.lengths, one.parents, strict=True) if good]
        wrong = [length for length, good in zip(one.lengths, one.parents, strict=True) if not good]
        if right and wrong:
            is_longer = sum(right) * len(wrong) > sum(wrong) * len(right)
            (longer if is_longer else others).append(one)
    return share_of(longer), share_of(others)
