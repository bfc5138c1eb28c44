"""``evolve-llm study``: many schemes from one file, over one engine and one shared cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.tables import make_table, share, styled

if TYPE_CHECKING:
    from rich.console import Console


@reported
def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.", show_default=False)],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The study's folder [default: studies/NAME].")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many problems.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Write the plan and stop: nothing is asked.")] = False,
    json: JsonFlag = False,
) -> None:
    """Run every arm of a study, and compare each with its baseline. The same command resumes.

    The plan is written before anything is asked of the model.
    """
    from evolve_llm.cli import interrupts
    from evolve_llm.nouns.errors import BudgetReached
    from evolve_llm.study.run import carry_out
    from evolve_llm.study.spec import read_study
    from evolve_llm.study.table import results

    asked = read_study(file, limit)
    slug = "".join(c if c.isalnum() or c in "-_" else "-" for c in asked.name)
    folder = out or Path("studies") / (slug if limit is None else f"{slug}-limit{limit}")
    try:
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


def _print_plan(out: Console, plan: dict[str, Any], folder: Path) -> None:
    most = plan["at_most"]
    seen = plan["detectable"]
    lines = [
        f"{plan['name']}: {len(plan['arms'])} arms, {plan['problems']['count']:,} problems, "
        f"{len(plan['seeds'])} seed(s)",
        f"at most {most['runs']} runs, {most['requests']:,} requests, {most['tokens']:,} tokens, before sharing",
        f"{plan['tests']} tests; 80 % of such studies find a difference of "
        + ("nothing" if seen is None else f"{100 * seen:.1f} points")
        + f" (spread {plan['spread']:.2f})",
        f"the plan is in {folder / 'study.json'}",
    ]
    for line in lines:
        out.print(styled(line), soft_wrap=True)


def _print(out: Console, data: dict[str, Any]) -> None:
    from evolve_llm.study.table import came

    table = make_table([("arm", "left"), ("against", "left"), ("pass@1", "right"), ("difference", "right"),
                        ("95 %", "right"), ("p (Holm)", "right"), ("expected", "left"), ("came", "left")])  # fmt: skip
    for one in data["contrasts"]:
        low, high = one["interval"] or (None, None)
        table.add_row(
            styled(one["arm"] + (" (added later)" if one["added"] else "")), styled(one["against"]),
            share(one["value"]), "-" if one["difference"] is None else f"{one['difference']:+.3f}",
            "-" if low is None else f"{low:+.3f} to {high:+.3f}",
            "null" if one["null"] else "-" if one["p_holm"] is None else f"{one['p_holm']:.3f}",
            one["expected"], came(one),
        )  # fmt: skip
    out.print(table)
    paid, saved = data["paid"], data["saved"]
    lines = [
        f"paid {paid['requests']:,} requests and {paid['tokens']:,} tokens; sharing saved {saved['requests']:,} "
        f"requests and {saved['tokens']:,} tokens",
        *data["correction"],
    ]
    for line in lines:
        out.print(styled(line), soft_wrap=True)
