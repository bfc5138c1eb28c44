"""``evolve-llm show``: a run, one of its problems, or one candidate; also while another process writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolve_llm.basics.nearest import among
from evolve_llm.cli.console import print_json
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from evolve_llm.record.store import Store

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", show_default=False)]


@reported
def show(
    path: RunArgument,
    *,
    problem: Annotated[str | None, typer.Option(metavar="ID", help="Show one problem of the run.")] = None,
    candidate: Annotated[
        str | None,
        typer.Option(metavar="G.S", help="Show one candidate of the problem, named by generation.slot."),
    ] = None,
    generation: Annotated[
        int | None, typer.Option(metavar="G", help="Show every candidate of one generation of the problem.")
    ] = None,
    thinking: Annotated[
        bool,
        typer.Option(
            "--thinking", help="With --candidate, also show what the model thought before its answer."
        ),
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Results by what the problems say of themselves: discipline, task, ..."
        ),
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Show all answers, not only the first ones.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show a run: its settings, tables and answers, one problem with its lineage, or the text of one candidate."""
    from evolve_llm.analysis.run import Run
    from evolve_llm.cli import show_groups, show_problem, show_run
    from evolve_llm.record.store import Store

    if candidate is not None and generation is not None:
        raise UserError("--candidate already names the generation; leave --generation out")
    if thinking and candidate is None:
        raise UserError("--thinking needs one candidate; choose it with --candidate G.S")
    if by is not None and (problem is not None or candidate is not None or generation is not None):
        raise UserError("--by shows the whole run; leave --problem, --candidate and --generation out")
    run = Run(path)
    if by is not None:
        show_groups.show_groups(run, by, None if all else show_groups.SHOWN, json=json)
        return
    if problem is None and candidate is None and generation is None:
        if json:
            print_json(run.plain())
        else:
            show_run.print_run(run, None if all else show_run.SHOWN_ANSWERS)
        return
    with Store.open_to_read(path) as store:
        order = _find(store, problem, path)
        if candidate is not None:
            data = show_problem.candidate_data(store, order, candidate)
            printer = show_problem.print_thoughts if thinking else show_problem.print_candidate
        elif generation is not None:
            data = show_problem.generation_data(store, order, generation)
            printer = show_problem.print_generation
        else:
            data = show_problem.problem_data(store, order)
            printer = show_problem.print_problem
    if json:
        print_json(data)
    else:
        printer(data)


def _find(store: Store, problem: str | None, path: Path) -> int:
    ids = [one.id for one in store.problems()]
    if problem is None:
        if len(ids) == 1:
            return 0
        raise UserError(
            f"{path} has {len(ids)} problems; choose one with --problem ID, for example {ids[0]!r}"
        )
    if problem in ids:
        return ids.index(problem)
    raise UserError(f"no problem {problem!r} in {path}.{among(problem, ids)}")
