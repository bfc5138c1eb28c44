"""``evolve-llm regrade``: verdicts again, without generating."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.cli.show import RunArgument

if TYPE_CHECKING:
    from evolve_llm.record.regrade import Change, Regrading

_SHOWN = 50


@reported
def regrade(
    path: RunArgument,
    *,
    problems: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Take the references from this problem set. Its ids and questions must be those of the run.",
        ),
    ] = None,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Grade without a sandbox if none is available.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Grade every distinct answer of a run again. Nothing is generated, and no answer changes."""
    from evolve_llm.analysis.run import Run
    from evolve_llm.cli import interrupts
    from evolve_llm.cli.tables import print_readings
    from evolve_llm.record.regrade import regrade as grade_again

    oracle = Run(path).config.get("oracle", False)
    try:
        result = interrupts.run(grade_again(path, problems=problems, unsafe_local=unsafe_local))
    except interrupts.InterruptedRunError as interrupted:
        say("interrupted: some problems have their new verdicts; the same command does the rest")
        raise typer.Exit(interrupted.exit_code) from None
    if oracle and result.changes:
        say("note: the fitness of this run has read the earlier verdicts; its populations stay as they are")
    if json:
        print_json({**_plain(result), "readings": [asdict(one) for one in Run(path).readings()]})
    else:
        _print(result)
        print_readings(console(), Run(path).readings())


def _plain(result: Regrading) -> dict[str, Any]:
    return {
        "graded": result.graded,
        "references": result.references,
        "changed": len(result.changes),
        "changes": [
            {
                "problem": one.problem,
                "answer": one.answer,
                "before": None
                if one.before is None
                else {"verdict": one.before.grade.value, "rule": one.before.rule},
                "after": {"verdict": one.after.grade.value, "rule": one.after.rule},
            }
            for one in result.changes
        ],
    }


def _print(result: Regrading) -> None:
    from evolve_llm.cli.tables import make_table, styled
    from evolve_llm.cli.text import one_line

    out = console()
    new = f" against {result.references} new reference(s)" if result.references else ""
    out.print(
        styled(f"{result.graded} distinct answer(s) graded{new}: {len(result.changes)} verdict(s) changed")
    )
    if not result.changes:
        return
    table = make_table([(name, "left") for name in ("problem", "answer", "before", "after")])
    for one in result.changes[:_SHOWN]:
        answer = "no answer in the chain" if one.answer is None else one_line(one.answer)
        before, after = _verdicts(one)
        table.add_row(styled(one_line(one.problem, 40)), styled(answer), styled(before), styled(after))
    out.print(table)
    if len(result.changes) > _SHOWN:
        out.print(styled(f"… {len(result.changes) - _SHOWN} more: see --json"))


def _verdicts(one: Change) -> tuple[str, str]:
    before = "-" if one.before is None else f"{one.before.grade.value} ({one.before.rule})"
    return before, f"{one.after.grade.value} ({one.after.rule})"
