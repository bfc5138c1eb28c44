"""``evolve-llm credit``: which parent gave the child its right answer, from stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.tables import make_table, share, styled
from evolve_llm.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from evolve_llm.analysis.credit import Credit, CurvePoint, Share


@reported
def credit(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run directories, whose children are taken together.", show_default=False
        ),
    ],
    *,
    json: JsonFlag = False,
) -> None:
    """Say what the children of runs owe to their parents: how often one is right, given how many of them are.

    Nothing is asked of a model. The unit of the intervals is the problem.
    """
    from evolve_llm.analysis.credit import credit as found_credit
    from evolve_llm.analysis.run import Run

    found = found_credit([Run(path) for path in runs])
    if json:
        print_json(found.plain())
    else:
        _print(console(), found)


def _print(out: Console, found: Credit) -> None:
    left_out = f"; {found.left_out:,} left out (failed, copied, or with a verdict that is not known)"
    out.print(
        styled(
            f"{found.children:,} children of {found.problems:,} problems"
            + (left_out if found.left_out else ""),
            "bold",
        ),
        soft_wrap=True,
    )
    _print_curve(out, "How often a child is right, by its right parents", found.curve)
    for name, points in found.by_operator.items():
        _print_curve(out, f"The same for {one_line(name, 60)}", points)
    _print_steps(out, found)
    _print_places(out, found)
    longer, others = found.by_length
    if longer.children and others.children:
        out.print(
            styled(
                "\nWith right and wrong parents: where the right ones are longer "
                f"{_told(longer)}, where they are not {_told(others)}"
            ),
            soft_wrap=True,
        )


def _print_curve(out: Console, title: str, points: Sequence[CurvePoint]) -> None:
    out.print(styled(f"\n{title}", "bold"))
    table = make_table(
        [("parents", "right"), ("right", "right"), ("child right", "right"), ("95 %", "right"), ("children", "right"),
         ("problems", "right")]
    )  # fmt: skip
    for one in points:
        table.add_row(
            str(one.parents), str(one.right_parents), share(one.share.right), _interval(one.share),
            f"{one.share.children:,}", f"{one.share.problems:,}",
        )  # fmt: skip
    out.print(table)


def _print_steps(out: Console, found: Credit) -> None:
    out.print(styled("\nWhat each generation did, in shares of its children", "bold"))
    names = ("gen", "kept", "gained", "lost", "missed", "children")
    table = make_table([(name, "right") for name in names])
    for one in found.steps:
        parts = (one.kept, one.gained, one.lost, one.missed)
        table.add_row(str(one.generation), *map(share, parts), f"{one.children:,}")
    out.print(table)
    out.print(
        styled(
            "kept: right with a right parent; gained: without one; lost: wrong with a right parent", "dim"
        ),
        soft_wrap=True,
    )


def _print_places(out: Console, found: Credit) -> None:
    for one in found.places:
        if not any(place.children for place in one.places):
            continue
        out.print(styled(f"\nWhere the only right parent of {one.parents} stands in the prompt", "bold"))
        table = make_table(
            [("place", "right"), ("child right", "right"), ("95 %", "right"), ("children", "right")]
        )
        for number, place in enumerate(one.places, 1):
            table.add_row(str(number), share(place.right), _interval(place), f"{place.children:,}")
        out.print(table)
        if one.difference is not None:
            said = "" if one.interval is None else f" (95 % {one.interval[0]:+.3f} to {one.interval[1]:+.3f})"
            out.print(styled(f"the last place less the first: {one.difference:+.3f}{said}"), soft_wrap=True)


def _interval(found: Share) -> str:
    return "-" if found.interval is None else f"{found.interval[0]:.2f}–{found.interval[1]:.2f}"


def _told(found: Share) -> str:
    return f"{share(found.right)} of {found.children:,} ({_interval(found)})"
