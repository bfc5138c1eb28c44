"""``evolve-llm compare``: runs of the same problems against the first one, paired by problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    from evolve_llm.analysis.compare import Comparison, ComparisonRow, Contrast, Difference
    from evolve_llm.analysis.run import Run

_NARROW = 120  # columns below which everything is abbreviated and the tokens are left out
_MOMENTS = {"generation": "generation", "end": "the end", "equal tokens": "equal tokens"}
_SHORT = {"generation": "gen", "end": "end", "equal tokens": "= tokens"}

_Column = tuple[str, str, Callable[["ComparisonRow", "Difference"], str]]

ORACLE = "ORACLE: the fitness of {} reads the references. That is an upper bound, not a result."


class SpendingChoice(StrEnum):
    """What "equal tokens" counts."""

    TOTAL = "total"
    COMPLETION = "completion"


@reported
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run directories, the baseline first. Join several seeds of one scheme with commas: "
            "RUN,RUN.",
            show_default=False,
        ),
    ],
    *,
    tokens: Annotated[
        SpendingChoice,
        typer.Option(
            help="Which tokens to count for equal tokens: prompt and completion, or completion only."
        ),
    ] = SpendingChoice.TOTAL,
    target: Annotated[
        float, typer.Option(help="The difference for which to compute the number of problems that is needed.")
    ] = 0.02,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Compare unfinished runs on the problems that all of them have finished."
        ),
    ] = False,
    allow_different_models: Annotated[
        bool, typer.Option("--allow-different-models", help="Compare runs of different models.")
    ] = False,
    allow_different_seeds: Annotated[
        bool, typer.Option("--allow-different-seeds", help="Compare runs that share no generation 0.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Compare runs with the first one: the difference, its interval, its p-value, and how many problems it would take.

    The unit of intervals and tests is the problem. Read docs/compare.md before you quote a number.
    """
    from evolve_llm.analysis.compare import compare as compared

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
    from evolve_llm.analysis.run import Run

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
    for contrast in comparison.contrasts:
        label = one_line(contrast.label)
        out.print(styled(f"\n{label} against {baseline}", "bold"))
        if contrast.oracle:
            out.print(styled(ORACLE.format(label), "bold yellow"))
        if contrast.changed:
            out.print(styled("what differs: " + "; ".join(one_line(one, 120) for one in contrast.changed)))
        out.print()
        longest = 18 if out.width >= _NARROW else 10 if out.width >= 100 else 8
        out.print(_table(comparison, contrast, narrow=out.width < _NARROW, label=longest))
        for line in (*contrast.notes, *_reasons(contrast)):
            out.print(styled(one_line(line, 400)))
    for line in comparison.notes:
        out.print(styled(f"\n{one_line(line, 400)}", "yellow"))


def _table(comparison: Comparison, contrast: Contrast, *, narrow: bool, label: int) -> Table:
    """One row a metric and moment; runs are named in at most ``label`` characters."""
    several, limit = len(comparison.contrasts) > 1, label
    points = f"{100 * comparison.target:g}"
    columns: list[_Column] = [
        ("after", "left", lambda row, _: _moment(row, _SHORT if narrow else _MOMENTS)),
        *([] if narrow else [("tokens", "right", lambda row, _: _pair(row.tokens))]),
        (one_line(comparison.baseline, limit), "right", lambda _, found: share(found.baseline)),
        (one_line(contrast.label, limit), "right", lambda _, found: share(found.value)),
        ("diff." if narrow else "difference", "right", lambda _, found: f"{found.difference:+.3f}"),
        ("95 %", "left", lambda _, found: _interval(found, narrow)),
        ("p", "right", lambda _, found: _p(found.p)),
        *(
            [("Holm" if narrow else "p (Holm)", "right", lambda _, found: _p(found.p_holm))]
            if several
            else []
        ),
        (
            f"for {points}p" if narrow else f"problems for {points} points",
            "right",
            lambda _, found: _count(found),
        ),
    ]
    table = make_table([("", "left"), *((name, side) for name, side, _ in columns)])
    before = ""
    for row in contrast.rows:
        if row.estimate is not None:
            if before and row.metric != before:
                table.add_section()
            cells = [cell(row, row.estimate) for _, _, cell in columns]
            table.add_row(row.metric if row.metric != before else "", *cells)
            before = row.metric
    return table


def _moment(row: ComparisonRow, names: Mapping[str, str]) -> str:
    at = row.generations or (0, 0)
    if row.moment == "generation":
        return f"{names[row.moment]} {at[0]}"
    return names[row.moment] if at[0] == at[1] else f"{names[row.moment]} ({at[0]}, {at[1]})"


def _interval(found: Difference, narrow: bool) -> str:
    if found.interval is None:
        return "-"
    low, high = found.interval
    return f"{low:+.2f} {high:+.2f}" if narrow else f"{low:+.3f} to {high:+.3f}"


def _count(found: Difference) -> str:
    return "-" if found.needed is None else f"{found.needed:,}"


def _pair(tokens: tuple[int, int] | None) -> str:
    short = [
        f"{one / 1e6:.1f}M" if one >= 1e6 else f"{one / 1e3:.0f}k" if one >= 1e4 else str(one)
        for one in tokens or (0, 0)
    ]
    return short[0] if short[0] == short[1] else f"{short[0]}, {short[1]}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _reasons(contrast: Contrast) -> list[str]:
    return [f"{row.metric} at {row.moment}: {row.why}" for row in contrast.rows if row.estimate is None]
