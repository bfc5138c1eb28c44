"""``evolve-llm study``: many schemes from one file, over one engine and one shared cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.tables import make_table, styled

if TYPE_CHECKING:
    from rich.console import Console

    from evolve_llm.study.spec import Study

_MOST_PAGES = 24
"""Runs whose pages go into one file: it opens with any browser, which more would make slow."""


@reported
def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.", show_default=False)],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The study's folder [default: studies/NAME].")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many problems.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Write the plan and stop: nothing is asked.")] = False,
    pilot: Annotated[
        bool,
        typer.Option("--pilot", help="Run the arms on the file's pilot problems, for the plan, and stop."),
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Also write pages, tables and figures into the folder's report.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Run every arm of a study, and compare each with its baseline. The same command resumes.

    The plan is written before anything is asked of the model.
    """
    from evolve_llm.cli import interrupts
    from evolve_llm.nouns.errors import BudgetReached, UserError
    from evolve_llm.study.pilot import carry_out_pilot
    from evolve_llm.study.run import carry_out
    from evolve_llm.study.spec import read_study
    from evolve_llm.study.table import results

    if pilot and (plan or report):
        raise UserError("--pilot runs the pilot and stops; --plan and --report come after it, without it")
    asked = read_study(file, limit)
    slug = "".join(c if c.isalnum() or c in "-_" else "-" for c in asked.name)
    folder = out or Path("studies") / (slug if limit is None else f"{slug}-limit{limit}")
    try:
        if pilot:
            measured = interrupts.run(carry_out_pilot(asked, folder, told=say))
            print_json(measured) if json else _print_pilot(console(), measured)
            return
        found = interrupts.run(carry_out(asked, folder, plan_only=plan, told=say))
    except interrupts.InterruptedRunError as interrupted:
        say("interrupted; the same command resumes the study")
        raise typer.Exit(interrupted.exit_code) from None
    except BudgetReached as reached:  # an end that was asked for
        say(str(reached))
        return
    if plan:
        print_json(found) if json else _print_plan(console(), found, folder)
        return
    data = results(asked, folder, found)
    print_json(data) if json else _print(console(), data)
    if report:
        for path in _report(asked, folder, found, data):
            say(f"written: {path}")


def _report(study: Study, folder: Path, plan: dict[str, Any], data: dict[str, Any]) -> list[Path]:
    """The study's own tables and figures, and the pages of its runs: the first seed's, as many as a page can show."""
    from evolve_llm.study.places import run_folder
    from evolve_llm.study.report import write
    from evolve_llm.view.report import write as write_pages

    files = write(study, folder, plan, data)
    runs = [run_folder(folder, where, arm, study.seeds[0]) for where in study.places for arm in study.arms]
    pages = folder / "report" / "pages.html"
    write_pages(runs[:_MOST_PAGES], pages, "none")
    if len(runs) > _MOST_PAGES:
        say(f"{pages} holds the first {_MOST_PAGES} of {len(runs)} arms; evolve-llm view {folder} shows all")
    return [*files, pages]


def _print_pilot(out: Console, data: dict[str, Any]) -> None:
    table = make_table([("arm", "left"), ("spread", "right")])
    for name, spread in data["spreads"].items():
        table.add_row(styled(name), f"{spread:.3f}")
    out.print(table)
    line = f"{data['problems']} problems, {data['tokens']:,} tokens, {data['seconds']:,.0f} seconds"
    out.print(styled(f"{line}; --plan foretells the study from it"), soft_wrap=True)


def _print_plan(out: Console, plan: dict[str, Any], folder: Path) -> None:
    most, seen, hours = plan["at_most"], plan["detectable"], plan["hours"]
    problems = " and ".join(f"{one['count']:,} problems on {one['model']}" for one in plan["places"])
    replayed = [name for name, one in plan["arms"].items() if one["replayed_from"] is not None]
    lines = [
        f"{plan['name']}: {len(plan['arms'])} arms, {problems}, {len(plan['seeds'])} seed(s)",
        f"at most {most['runs']} runs, {most['requests']:,} requests, {most['tokens']:,} tokens, before sharing",
        *([f"replayed at no cost: {', '.join(replayed)}"] if replayed else []),
        "time: a pilot foretells it (--pilot)"
        if hours is None
        else f"about {plan['expected_tokens']:,} tokens and {hours:.2f} hours, at the pilot's speed",
        f"{plan['tests']} tests; 80 % of such studies find "
        + ("nothing with so few problems" if seen is None else f"a difference of {100 * seen:.1f} points")
        + f" (spread {plan['spread']:.2f}: {plan['spread_from']})",
    ]
    if plan["stopping"] is not None:
        looks = ", ".join(map(str, plan["stopping"]["looks"]))
        lines.append(
            f"looks after {looks} problems" + (", with halving" if plan["stopping"]["halving"] else "")
        )
    for line in [*lines, f"the plan is in {folder / 'study.json'}"]:
        out.print(styled(line), soft_wrap=True)


def _print(out: Console, data: dict[str, Any]) -> None:
    from evolve_llm.study.words import closing_lines, contrast_cells, heading

    for place in dict.fromkeys(one["where"] for one in data["contrasts"]):
        for quoted in data["quoted"]:
            rows = [one for one in data["contrasts"] if (one["where"], one["quoted"]) == (place, quoted)]
            if len(data["contrasts"]) > len(rows):
                out.print(styled(f"{quoted}: {place}", "bold"), soft_wrap=True)
            names = heading(rows)
            table = make_table([(one, "left" if one in _WORDS else "right") for one in names])
            for one in rows:
                table.add_row(*(styled(cell) for cell in contrast_cells(one, names)))
            out.print(table)
    for line in closing_lines(data):
        out.print(styled(line), soft_wrap=True)


_WORDS = ("arm", "against", "expected", "came", "ended")
