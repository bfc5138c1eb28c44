"""``evolve-llm credit``: which parent gave the child its right answer, from stored runs or by asking again."""

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

_ASKING = "Asking the model (with --ask)"


@reported
def credit(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run directories, whose children are taken together.", show_default=False
        ),
    ],
    *,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Ask the run's model: the prompts of a sample of children again, without one parent, in another "
            "order, and with every subset of the parents. Say what it costs, then ask. Repeated, it goes on.",
        ),
    ] = False,
    model: Annotated[
        str | None, typer.Option(metavar="SPEC", help="The run's model, as for run.", rich_help_panel=_ASKING)
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="The server of openai:NAME. Repeatable.", rich_help_panel=_ASKING),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="engine.KEY=VALUE",
            help="A setting of the model. Repeatable.",
            rich_help_panel=_ASKING,
        ),
    ] = None,
    children: Annotated[
        int | None,
        typer.Option(help="How many children to ask. (default: 60)", rich_help_panel=_ASKING),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Chains written from each prompt. (default: 4)", rich_help_panel=_ASKING),
    ] = None,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="without|order|shapley",
            help="Only these questions: without one parent, in another order, all subsets (K at most 4). Repeatable. "
            "(default: all three)",
            rich_help_panel=_ASKING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="The seed of the sample and the requests. (default: 0)", rich_help_panel=_ASKING),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder of prompt templates that the run was made with.",
            rich_help_panel=_ASKING,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where replies are kept. (default: asked.db in the run directory)",
            rich_help_panel=_ASKING,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="The largest number of requests in flight. (default: as many as the model takes)",
            rich_help_panel=_ASKING,
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            help="Stop once all replies have used this many prompt and completion tokens.",
            rich_help_panel=_ASKING,
        ),
    ] = None,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local", help="Grade without a sandbox if none is available.", rich_help_panel=_ASKING
        ),
    ] = False,
    other_model: Annotated[
        bool,
        typer.Option("--other-model", help="Ask another model than the run's.", rich_help_panel=_ASKING),
    ] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what asking costs, and stop.", rich_help_panel=_ASKING),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Say what the children of runs owe to their parents: how often one is right, given how many of them are.

    Nothing is asked of a model, unless --ask says so. The unit of the intervals is the problem.
    """
    from evolve_llm.cli.credit_asking import AskingFlags
    from evolve_llm.cli.credit_asking import ask as ask_again

    flags = AskingFlags(
        model=model, base_url=base_url, set_=set_, children=children, repeats=repeats, replay=replay, seed=seed,
        prompts=prompts, cache=cache, concurrency=concurrency, budget_tokens=budget_tokens,
        unsafe_local=unsafe_local, other_model=other_model, plan=plan,
    )  # fmt: skip
    if ask:
        ask_again(runs, flags, json=json)
        return
    flags.require_none()
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
