"""``evolve-llm compare``: runs of the same problems against the first one, paired by problem."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.tables import make_table, share, styled
from evolve_llm.cli.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evolve_llm.compare import Comparison, Contrast, Row
    from evolve_llm.run import Run

ORACLE = "ORACLE: the fitness of {} reads the references. That is an upper bound, not a result."


class Tokens(StrEnum):
    """What "equal tokens" counts."""

    TOTAL = "total"
    COMPLETION = "completion"


@reported
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run directories, the baseline first. Several seeds of one scheme count as one: RUN,RUN.",
            show_default=False,
        ),
    ],
    *,
    tokens: Annotated[
        Tokens, typer.Option(help="What equal tokens means: prompt and completion, or completion only.")
    ] = Tokens.TOTAL,
    target: Annotated[
        float, typer.Option(help="The difference for which the needed number of problems is told.")
    ] = 0.02,
    partial: Annotated[
        bool, typer.Option("--partial", help="Compare unfinished runs on the problems all have finished.")
    ] = False,
    allow_different_models: Annotated[
        bool, typer.Option("--allow-different-models", help="Compare runs of different models.")
    ] = False,
    allow_different_seeds: Annotated[
        bool, typer.Option("--allow-different-seeds", help="Compare runs that share no generation 0.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Compare runs with the first one: the difference, its interval, its p-value, and what it would take.

    Intervals and tests take problems as the unit. See docs/compare.md before quoting a number.
    """
    from evolve_llm.compare import compare as compared

    comparison = compared(
        [_runs(given) for given in runs],
        tokens=tokens.value,
        target=target,
        partial=partial,
        allow_different_models=allow_different_models,
        allow_different_seeds=allow_different_seeds,
    )
    if json:
        print_json(comparison.plain())
    else:
        print_comparison(console(), comparison)


def _runs(given: str) -> list[Run]:
    """One run, or the runs of one series written with commas between; a comma may also be part of a path."""
    from evolve_llm.run import Run

    whole = "," not in given or Path(given).exists()
    return [Run(path) for path in ([given] if whole else given.split(",")) if path]


def print_comparison(out: Console, comparison: Comparison) -> None:
    """Every run against the baseline, on paper. What names came from files is taken to be hostile."""
    baseline = one_line(comparison.baseline)
    seeds = ", ".join(map(str, comparison.seeds))
    out.print(
        styled(
            f"baseline {baseline}: {comparison.problems} problems, seed{'s'[: len(comparison.seeds) > 1]} {seeds}",
            "bold",
        )
    )
    if comparison.oracle:
        out.print(styled(ORACLE.format(baseline), "bold yellow"))
    several = len(comparison.contrasts) > 1
    for contrast in comparison.contrasts:
        label = one_line(contrast.label)
        out.print(styled(f"\n{label} against {baseline}", "bold"))
        if contrast.oracle:
            out.print(styled(ORACLE.format(label), "bold yellow"))
        if contrast.changed:
            out.print(styled("what differs: " + "; ".join(one_line(one, 120) for one in contrast.changed)))
        out.print()
        out.print(_table(contrast, baseline, label, comparison.target, several))
        for line in (*contrast.notes, *_reasons(contrast)):
            out.print(styled(one_line(line, 400)))
    for line in comparison.notes:
        out.print(styled(f"\n{one_line(line, 400)}", "yellow"))


def _table(contrast: Contrast, baseline: str, label: str, target: float, several: bool) -> Table:
    columns = [
        ("", "left"), ("after", "left"), ("tokens", "right"), (one_line(baseline, 18), "right"),
        (one_line(label, 18), "right"), ("difference", "right"), ("95 %", "left"), ("p", "right"),
        *([("p (Holm)", "right")] if several else []), (f"problems for {100 * target:g} points", "right"),
    ]  # fmt: skip
    table = make_table(columns)
    metric = ""
    for row in contrast.rows:
        if row.estimate is None:
            continue
        if metric and row.metric != metric:
            table.add_section()
        table.add_row(*_cells(row, row.metric if row.metric != metric else "", several))
        metric = row.metric
    return table


def _cells(row: Row, metric: str, several: bool) -> list[str]:
    found, tokens, at = row.estimate, row.tokens, row.generations
    assert found is not None
    assert tokens is not None
    assert at is not None
    moment = {"generation": f"generation {at[0]}", "end": "the end", "equal tokens": "equal tokens"}[
        row.moment
    ]
    if row.moment != "generation" and at[0] != at[1]:
        moment += f" ({at[0]}, {at[1]})"
    interval = "-" if found.interval is None else f"{found.interval[0]:+.3f} to {found.interval[1]:+.3f}"
    return [
        metric,
        moment,
        _pair(tokens),
        share(found.baseline),
        share(found.value),
        f"{found.difference:+.3f}",
        interval,
        _p(found.p),
        *([_p(found.p_holm)] if several else []),
        "-" if found.needed is None else f"{found.needed:,}",
    ]


def _pair(tokens: Sequence[int]) -> str:
    short = [
        f"{one / 1e6:.1f}M" if one >= 1e6 else f"{one / 1e3:.0f}k" if one >= 1e4 else str(one)
        for one in tokens
    ]
    return short[0] if short[0] == short[1] else f"{short[0]}, {short[1]}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _reasons(contrast: Contrast) -> list[str]:
    return [f"{row.metric} at {row.moment}: {row.why}" for row in contrast.rows if row.estimate is None]
