"""Runs reduced to the numbers that a comparison needs, and the refusal of those that cannot be paired."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from evolve_llm.analysis.health import right_share
from evolve_llm.analysis.metrics import measure
from evolve_llm.analysis.run import Run
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.record.run_files import differences
from evolve_llm.record.store import Store, StoredPopulation

Metric = Literal["pass@1", "majority", "answer"]
Spending = Literal["total", "completion"]

_SHOWN = 5


@dataclass(slots=True)
class Reading:
    """One run, reduced to numbers: lists by generation, the last one repeated where a problem ended early."""

    run: Run
    problems: list[Problem]
    finished: set[str]
    generations: int
    values: dict[Metric, dict[str, list[float | None]]]
    tokens: dict[str, list[int]]
    first: dict[str, list[tuple[Any, ...]]]


@dataclass(slots=True)
class Series:
    """One thing compared: the runs of one scheme, by seed."""

    label: str
    readings: dict[int, Reading]

    @property
    def head(self) -> Reading:
        """The run of the smallest seed; the others are configured like it."""
        return next(iter(self.readings.values()))

    @property
    def generations(self) -> int:
        """The number of generations of the preset, T."""
        return self.head.generations

    @property
    def oracle(self) -> bool:
        """Whether its fitness reads the references."""
        return bool(self.head.run.config.get("oracle", False))

    def value(self, metric: Metric, problem: str, generation: int) -> float | None:
        """Mean over seeds; None where any of them has nothing graded."""
        found = [one.values[metric][problem][generation] for one in self.readings.values()]
        known = [one for one in found if one is not None]
        return math.fsum(known) / len(known) if len(known) == len(found) else None

    def spent(self, problems: Sequence[str]) -> list[int]:
        """Tokens spent on these problems up to each generation, mean over seeds."""
        sums = [
            [
                sum(one.tokens[problem][generation] for problem in problems)
                for generation in range(self.generations)
            ]
            for one in self.readings.values()
        ]
        total, found = 0.0, []
        for column in zip(*sums, strict=True):
            total += sum(column) / len(sums)
            found.append(round(total))
        return found


def read_series(groups: Sequence[Sequence[Run]], tokens: Spending) -> list[Series]:
    """Each group of runs as one series, its runs ordered by seed.

    Raises UserError for fewer than two groups, a run given twice, and a group whose runs differ in more than
    the seed or share one.
    """
    if len(groups) < 2 or not all(groups):
        raise UserError("a comparison needs at least two runs, the baseline first")
    seen: dict[Any, Run] = {}
    for run in (run for group in groups for run in group):
        if run.path.resolve() in seen:
            raise UserError(f"{run.path} is given twice, but a run cannot be compared with itself")
        seen[run.path.resolve()] = run
    for group in groups:
        for one, other in pairwise(group):
            _require_replicates(one, other)
        seeds = [run.config["seed"] for run in group]
        if len(set(seeds)) < len(seeds):
            raise UserError(
                f"{', '.join(str(run.path) for run in group)} are given as one series, but two of them "
                "have the same seed"
            )
    labels = _labels(groups)
    return [
        Series(
            label,
            {
                run.config["seed"]: _read(run, tokens)
                for run in sorted(group, key=lambda one: one.config["seed"])
            },
        )
        for label, group in zip(labels, groups, strict=True)
    ]


def _require_replicates(one: Run, other: Run) -> None:
    found = differences({**one.config, "seed": None}, {**other.config, "seed": None})
    if found:
        raise UserError(
            f"{one.path} and {other.path} are given as one series, but they differ in more than the seed: "
            f"in {found[0].partition(':')[0]}. To compare them with each other, write a space between them"
        )


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The preset's name where that tells the runs apart, else the directory's, else its path."""
    for name in (
        lambda run: str(run.config["preset"]["name"]),
        lambda run: run.path.name,
    ):
        labels = [name(group[0]) for group in groups]
        if len(set(labels)) == len(labels):
            return labels
    return [str(group[0].path) for group in groups]


def _read(run: Run, tokens: Spending) -> Reading:
    """The numbers of a run, problem by problem; nothing else stays in memory."""
    count = int(run.config["preset"]["generations"])
    values: dict[Metric, dict[str, list[float | None]]] = {"pass@1": {}, "majority": {}, "answer": {}}
    spent: dict[str, list[int]] = {}
    first: dict[str, list[tuple[Any, ...]]] = {}
    with Store.open_to_read(run.path) as store:
        problems, answers = store.problems(), store.answers()
        for order, problem in enumerate(problems):
            populations = store.populations(order)
            measured = [measure(one.members, one.verdicts) for one in populations]
            values["pass@1"][problem.id] = _filled([one.pass_1 for one in measured], count)
            values["majority"][problem.id] = _filled([one.majority for one in measured], count)
            right = _answered(store, order, answers.get(order, (None, None))[0])
            values["answer"][problem.id] = [right] * count
            spent[problem.id] = [0] * count
            first[problem.id] = _fingerprint(populations)
        for order, generation, asked, written in store.spending():
            spent[problems[order].id][generation] += written + (asked if tokens == "total" else 0)
        finished = {problems[order].id for order in answers}
    return Reading(run, problems, finished, count, values, spent, first)


def problem_values(
    run: Run, metric: Metric, generation: int | None, places: Iterable[int]
) -> list[float | None]:
    """A metric of the problems at these places, after a generation or, where it is None, at the end.

    A problem that ended early keeps its last value. None where nothing is graded, or the problem has not come so far.
    """
    found: list[float | None] = []
    with Store.open_to_read(run.path) as store:
        answers = store.answers()
        for order in places:
            if metric == "answer":
                found.append(_answered(store, order, answers.get(order, (None, None))[0]))
                continue
            populations = store.populations(order)
            if not populations:
                found.append(None)
                continue
            one = populations[-1 if generation is None else min(generation, len(populations) - 1)]
            measured = measure(one.members, one.verdicts)
            found.append(measured.pass_1 if metric == "pass@1" else measured.majority)
    return found


def _answered(store: Store, order: int, uid: str | None) -> float | None:
    """Whether the answer that was given is right; None where it is not graded, or there is none yet."""
    given = [one for one in store.candidates(order) if one.uid == uid]
    verdicts = store.verdicts(order)
    return right_share(given, {one.uid: verdicts[one.answer] for one in given if one.answer in verdicts})


def _filled(values: list[float | None], count: int) -> list[float | None]:
    return (values + values[-1:] * count)[:count] if values else [None] * count


def _fingerprint(populations: Sequence[StoredPopulation]) -> list[tuple[Any, ...]]:
    members = populations[0].members if populations else ()
    return [(one.status, one.answer, one.prompt_tokens, one.completion_tokens) for one in members]


def require_same_problems(series: Sequence[Series]) -> None:
    """Raises UserError, saying how they differ, unless all have the same problems with the same references."""
    base = series[0].head
    for other in (reading for one in series for reading in one.readings.values()):
        if other.problems == base.problems:
            continue
        mine, theirs = ({one.id: one for one in reading.problems} for reading in (base, other))
        alone = [name for name in mine if name not in theirs] or [name for name in theirs if name not in mine]
        changed = [name for name in mine if name in theirs and mine[name] != theirs[name]]
        if alone:
            reason = f"{len(set(mine) ^ set(theirs))} problems are only in one of them: {_some(alone)}"
        elif changed:
            parts = [
                key
                for key in asdict(mine[changed[0]])
                if getattr(mine[changed[0]], key) != getattr(theirs[changed[0]], key)
            ]
            reason = f"{len(changed)} problems differ in their {' and '.join(parts)}: {_some(changed)}"
            if set(parts) <= {"reference", "grader"}:
                reason += "; grade both against the same references first: evolve-llm regrade"
        else:
            reason = "their problems are in another order"
        raise UserError(f"{base.run.path} and {other.run.path} cannot be compared: {reason}")


def common_problems(series: Sequence[Series], partial: bool) -> list[str]:
    """Ids of the problems finished in all. Raises UserError for unfinished ones, unless ``partial``, and for none."""
    readings = [reading for one in series for reading in one.readings.values()]
    problems = [one.id for one in readings[0].problems]
    if not partial:
        for one in readings:
            if len(one.finished) < len(problems):
                raise UserError(
                    f"{one.run.path} is unfinished: {len(one.finished)} of {len(problems)} problems. Finish "
                    "it with the command that made it, or add --partial to compare the problems that are "
                    "finished in all runs"
                )
    common = [name for name in problems if all(name in one.finished for one in readings)]
    if not common:
        raise UserError("no problem is finished in all of these runs yet")
    return common


def require_same(what: Literal["model", "seed"], series: Sequence[Series], allowed: bool, flag: str) -> None:
    """Raises UserError where the series differ in their model or seeds and that is not ``allowed``."""
    base, *others = (
        sorted({str(reading.run.config[what]) for reading in one.readings.values()}) for one in series
    )
    for other, values in zip(series[1:], others, strict=True):
        if values != base and not allowed:
            raise UserError(
                f"{paths(series[0])[0]} and {paths(other)[0]} have different {what}s: {', '.join(base)} and "
                f"{', '.join(values)}. If you want to compare them all the same, add {flag}"
            )


def paths(one: Series) -> tuple[str, ...]:
    """The run directories of a series, by seed."""
    return tuple(str(reading.run.path) for reading in one.readings.values())


def readings(series: Sequence[Series]) -> list[str]:
    """A line for each run whose grader reads answers in several ways; two that count different ones come first."""
    found = [(one.label, each.run.readings()) for one in series for each in one.readings.values()]
    names = {tuple(one.name for one in each) for _, each in found}
    lines = [f"{label}: {one.sentence()}" for label, each in found for one in each]
    if len(names) > 1:
        lines.insert(
            0, "the runs were graded by different readings: their numbers do not compare; regrade one of them"
        )
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
