"""Runs of the same problems, compared problem by problem: what a difference is, and what it is worth.

The first is the baseline. What is given may be a run, or a sequence of runs that differ in nothing but the
seed: they count as one series, whose values are the means over its seeds. Problems are the unit of every
interval and test.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from evolve_llm.analysis.pairing import (
    Metric,
    Series,
    Spending,
    common_problems,
    paths,
    read_series,
    readings,
    require_same,
    require_same_problems,
)
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import (
    RESAMPLES,
    Interval,
    bootstrap_interval,
    detectable_difference,
    differing,
    holm,
    problems_needed,
    sign_flip_test,
    standard_deviation,
)
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.html import table

if TYPE_CHECKING:
    import pandas as pd

Moment = Literal["generation", "end", "equal tokens"]

FEW = 20
"""Below so many problems the intervals are said to cover less than they claim."""

FEW_DIFFER = 10
"""The same, below so many problems that differ at all: with 20 problems of which 2 do, 95 % intervals cover 79 %."""

SLACK = 0.01
"""A generation fits into a token budget if it exceeds it by no more than this share."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A run against the baseline at one moment, over the ``problems`` that both have graded.

    ``interval`` is the 95 % bootstrap interval of ``difference``, None where all problems differ by the
    same. ``p`` is of the sign-flip test, ``p_holm`` the same corrected for the number of runs compared with the
    baseline. ``differ`` counts the problems whose difference is not 0. ``spread`` is the standard deviation of the
    difference over problems, ``needed`` the number of problems on which the target difference would be found with
    power 0.8, ``detectable`` the difference that these problems find with that power, None where none is so large.
    """

    problems: int
    baseline: float
    value: float
    difference: float
    interval: Interval | None
    p: float
    p_holm: float
    differ: int
    spread: float
    needed: int | None
    detectable: float | None


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One metric at one moment. ``generations`` and ``tokens`` (spent until then) are those of baseline and run.

    ``estimate`` is None where there is none, and ``why`` says why.
    """

    metric: Metric
    moment: Moment
    generations: tuple[int, int] | None
    tokens: tuple[int, int] | None
    estimate: Difference | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One run (or series) against the baseline. ``changed`` lists what else is different about it."""

    label: str
    paths: tuple[str, ...]
    oracle: bool
    rows: tuple[ComparisonRow, ...]
    changed: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of ``compare``: every run against the baseline."""

    baseline: str
    paths: tuple[str, ...]
    oracle: bool
    problems: int
    seeds: tuple[int, ...]
    target: float
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As plain data: what ``evolve-llm compare --json`` prints."""
        return asdict(self)

    def frame(self) -> pd.DataFrame:
        """A pandas data frame with a row for each contrast, metric and moment.

        ``evolve_llm.analysis.frames`` lists the columns. Raises UserError without pandas.
        """
        from evolve_llm.analysis.frames import comparison_frame

        return comparison_frame(self)

    def _repr_html_(self) -> str:
        rows = [
            (contrast.label, row.metric, row.moment, found.baseline, found.value, found.difference,
             "" if found.interval is None else f"{found.interval[0]:+.3f} to {found.interval[1]:+.3f}", found.p_holm)
            for contrast in self.contrasts
            for row in contrast.rows
            if (found := row.estimate) is not None
        ]  # fmt: skip
        names = ("run", "metric", "after", self.baseline, "run's", "difference", "95 %", "p (Holm)")
        return table(f"against {self.baseline}: {self.problems} problems", names, rows)

    def to_json(self) -> str:
        """The result of ``plain`` as one line of JSON."""
        return json.dumps(self.plain(), ensure_ascii=False)


def compare(
    runs: Sequence[Run | Sequence[Run]],
    *,
    partial: bool = False,
    allow_different_models: bool = False,
    allow_different_seeds: bool = False,
    target: float = 0.02,
    tokens: Spending = "total",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare each run with the first one, paired by problem.

    Compared are pass@1 and the majority's accuracy after each generation both have, at the end of each,
    and at equal tokens: both at the last generation that fits into what the cheaper of the two has spent in
    all. ``answer``, the accuracy of the answers that the runs gave, only at the end. ``tokens`` counts prompt
    and completion, or ``completion`` only. A problem that ended early keeps its last population.

    ``partial`` takes the problems that are finished in every run. ``target`` is the difference for which
    ``needed`` is computed. ``resamples`` and ``seed`` are the bootstrap's and the permutation test's.

    Raises UserError, with the reason, for what cannot be compared: fewer than two runs or one given twice,
    other problems or references, nothing graded, unfinished runs, different models, different seeds; the flags
    lift the last three.
    """
    if not 0 < target < 1:
        raise UserError(f"the difference to look for must lie between 0 and 1, got {target}")
    series = read_series([[one] if isinstance(one, Run) else list(one) for one in runs], tokens)
    require_same_problems(series)
    problems = common_problems(series, partial)
    require_same("model", series, allow_different_models, "--allow-different-models")
    require_same("seed", series, allow_different_seeds, "--allow-different-seeds")
    base, *others = series
    graded = {metric: [_rows(base, other, metric, problems) for other in others] for metric in _METRICS}
    if not any(pairs for per_run in graded["pass@1"] for _, pairs in per_run):
        raise UserError(
            "nothing in these runs is graded, so there is nothing to compare; regrade them with references"
        )
    done = {
        metric: _corrected(
            [[_estimated(row, pairs, target, resamples, seed) for row, pairs in one] for one in per_run]
        )
        for metric, per_run in graded.items()
    }
    contrasts = tuple(
        Contrast(
            other.label,
            paths(other),
            other.oracle,
            tuple(row for metric in _METRICS for row in done[metric][index]),
            tuple(_changed(base.head.run.config, other.head.run.config)),
            (_shared_start(base, other, problems),),
        )
        for index, other in enumerate(others)
    )
    return Comparison(
        baseline=base.label,
        paths=paths(base),
        oracle=base.oracle,
        problems=len(problems),
        seeds=tuple(base.readings),
        target=target,
        contrasts=contrasts,
        notes=tuple(_notes(series, problems, contrasts)),
    )


_METRICS: tuple[Metric, ...] = ("pass@1", "majority", "answer")
_Pairs = list[tuple[float, float]]


# ---------------------------------------------------------------- the numbers


def _rows(
    base: Series, other: Series, metric: Metric, problems: Sequence[str]
) -> list[tuple[ComparisonRow, _Pairs]]:
    """Every moment of a metric, with the values of the problems graded in both."""
    spent = base.spent(problems), other.spent(problems)
    ends = base.generations - 1, other.generations - 1
    moments: list[tuple[Moment, tuple[int, int] | None]] = [("end", ends)]
    if metric != "answer":
        each = range(min(base.generations, other.generations))
        budget = min(spent[0][-1], spent[1][-1])
        fits = tuple(_last_that_fits(one, budget) for one in spent)
        equal = None if fits[0] is None or fits[1] is None else (fits[0], fits[1])
        moments = [*(("generation", (one, one)) for one in each), *moments, ("equal tokens", equal)]
    rows: list[tuple[ComparisonRow, _Pairs]] = []
    for moment, at in moments:
        if at is None:
            dear = base if fits[0] is None else other
            why = f"the first generation of {dear.label} costs more than all of the other run"
            rows.append((ComparisonRow(metric, moment, None, None, None, why), []))
            continue
        pairs: _Pairs = []
        for name in problems:
            a, b = base.value(metric, name, at[0]), other.value(metric, name, at[1])
            if a is not None and b is not None:
                pairs.append((a, b))
        rows.append((ComparisonRow(metric, moment, at, (spent[0][at[0]], spent[1][at[1]]), None), pairs))
    return rows


def _last_that_fits(spent: Sequence[int], budget: int) -> int | None:
    fitting = [generation for generation, cost in enumerate(spent) if cost <= budget * (1 + SLACK)]
    return fitting[-1] if fitting else None


def _estimated(row: ComparisonRow, pairs: _Pairs, target: float, resamples: int, seed: int) -> ComparisonRow:
    if row.generations is None:
        return row
    if not pairs:
        return replace(row, why="nothing is graded in both runs")
    found = [b - a for a, b in pairs]
    n, spread = len(found), standard_deviation(found)
    p = sign_flip_test(found, resamples=resamples, seed=seed)
    assert p is not None
    estimate = Difference(
        problems=n,
        baseline=math.fsum(a for a, _ in pairs) / n,
        value=math.fsum(b for _, b in pairs) / n,
        difference=math.fsum(found) / n,
        interval=bootstrap_interval(found, resamples=resamples, seed=seed),
        p=p,
        p_holm=p,
        differ=differing(found),
        spread=spread,
        needed=problems_needed(spread, target),
        detectable=detectable_difference(spread, n),
    )
    return replace(row, estimate=estimate)


def _corrected(per_run: list[list[ComparisonRow]]) -> list[list[ComparisonRow]]:
    """Holm's correction over the runs, within each moment of one metric."""
    families: dict[Any, list[tuple[int, int]]] = {}
    for index, rows in enumerate(per_run):
        for place, row in enumerate(rows):
            if row.estimate is not None:
                own = row.generations if row.moment == "generation" else None
                families.setdefault((row.moment, own), []).append((index, place))
    for family in families.values():
        adjusted = holm([_estimate(per_run[index][place]).p for index, place in family])
        for (index, place), p in zip(family, adjusted, strict=True):
            row = per_run[index][place]
            per_run[index][place] = replace(row, estimate=replace(_estimate(row), p_holm=p))
    return per_run


def _estimate(row: ComparisonRow) -> Difference:
    assert row.estimate is not None
    return row.estimate


# ---------------------------------------------------------------- what must be said


def _changed(base: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Settings that differ: whatever the difference is due to, it is due to one of these."""
    lines = [
        f"{part} {base[part]} → {other[part]}" for part in ("model", "seed") if base[part] != other[part]
    ]
    if base["prompts"] != other["prompts"]:
        lines.append("the prompt templates used")
    one, two = ({**_flat(each["preset"])} for each in (base, other))
    keys = [key for key in {**one, **two} if key not in _PROSE and one.get(key) != two.get(key)]
    return lines + [f"{key} {_said(one.get(key))} → {_said(two.get(key))}" for key in keys]


_PROSE = ("name", "description", "source")


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    """Nested settings by dotted path; ``select.operator`` is written ``select``."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found: dict[str, Any] = {}
    for key, one in items:
        found |= _flat(one, f"{where}.{key}" if where else str(key))
    return found or {where.removesuffix(".operator"): value}


def _said(value: Any) -> str:
    return "unset" if value is None else str(value)


def _shared_start(base: Series, other: Series, problems: Sequence[str]) -> str:
    """Whether generation 0 is the same: with one seed and model it should be, and then it cancels out."""
    if list(base.readings) != list(other.readings):
        return (
            "the seeds differ, so generation 0 is another sample: problems are still paired, but its noise "
            "does not cancel"
        )
    if base.head.run.config["model"] != other.head.run.config["model"]:
        return "generation 0 is another sample, the models being different"
    pairs = [
        (base.readings[seed].first[name], other.readings[seed].first[name])
        for seed in base.readings
        for name in problems
    ]
    if all(one == two for one, two in pairs):
        return "generation 0 is the same in both, so its difference is exactly 0"
    if all(one[: len(two)] == two[: len(one)] for one, two in pairs):
        smaller = min(len(one) for pair in pairs for one in pair)
        return (
            f"generation 0 is the same in both as far as the smaller one goes: {smaller} candidates a problem"
        )
    differing = sum(one[: len(two)] != two[: len(one)] for one, two in pairs)
    return (
        f"generation 0 differs in {differing} of {len(pairs)} populations although seed and model are the same: "
        "sampling or the first prompt differ, or the server does not repeat itself. Share one --cache between "
        "the runs and it will be the same"
    )


def _notes(series: Sequence[Series], problems: Sequence[str], contrasts: Sequence[Contrast]) -> list[str]:
    lines = readings(series)
    total = len(series[0].head.problems)
    if len(problems) < total:
        lines.append(f"partial: only the {len(problems)} of {total} problems that are finished everywhere")
    estimates = [row.estimate for one in contrasts for row in one.rows if row.estimate is not None]
    fewest = min((one.problems for one in estimates), default=0)
    if fewest < len(problems):
        lines.append(
            f"problems that are ungraded in one of two runs are left out: {fewest} of {len(problems)} at worst"
        )
    few = [
        f"{one.label} ({row.estimate.differ} of {row.estimate.problems})"
        for one in contrasts
        for row in one.rows
        if (row.metric, row.moment) == ("pass@1", "end") and row.estimate and row.estimate.differ < FEW_DIFFER
    ]
    if few:
        lines.append(
            f"in pass@1 at the end fewer than {FEW_DIFFER} problems differ at all between {series[0].label} and "
            f"{', '.join(few)}: what counts is how many problems differ, not how many there are, see docs/compare.md"
        )
    if fewest < FEW:
        lines.append(
            f"fewer than {FEW} problems: the intervals cover less than they say, see docs/compare.md"
        )
    return lines
