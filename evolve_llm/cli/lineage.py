"""``evolve-llm lineage``: who descends from whom, as GraphML or as a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.cli.console import say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.show import RunArgument
from evolve_llm.nouns.errors import UserError


class Sort(StrEnum):
    """How candidates of one generation are ordered in a picture."""

    ANSWER = "answer"
    SLOT = "slot"


@reported
def lineage(
    path: RunArgument,
    problem: Annotated[
        str | None,
        typer.Argument(
            metavar="PROBLEM",
            help="The id of a problem. (default: the only problem, or for GraphML all problems)",
        ),
    ] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The file to write: FILE.svg for a picture, or FILE.graphml.",
            show_default=False,
        ),
    ],
    sort: Annotated[
        Sort,
        typer.Option(help="How the candidates of a generation are ordered in the picture, from the top."),
    ] = Sort.ANSWER,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write who descends from whom: a picture (.svg), or a graph for other tools (.graphml)."""
    from evolve_llm.analysis.lineage import to_graphml
    from evolve_llm.analysis.lineage_picture import to_svg
    from evolve_llm.analysis.run import Run

    kind = out.suffix.lower()
    if kind not in (".svg", ".graphml"):
        raise UserError(f"cannot write {out.name!r}: --out takes FILE.svg or FILE.graphml")
    if out.exists() and not force:
        raise UserError(f"{out} already exists; give another --out, or --force to replace it")
    if not out.parent.is_dir():
        raise UserError(f"the folder {out.parent} does not exist")
    run = Run(path)
    ids = [one.id for one in run.problems()] if problem is None else [problem]
    if len(ids) > 1 and kind == ".svg":
        raise UserError(
            f"{path} has {len(ids)} problems, and a picture shows only one; choose it, for example: "
            f"evolve-llm lineage {path} {ids[0]!r} --out {out}"
        )
    graph = run.lineage(ids[0] if len(ids) == 1 else None)
    if not graph:
        raise UserError(
            f"no generation of {'it' if problem is None else repr(problem)} is finished yet in {path}"
        )
    if kind == ".svg":
        text = to_svg(
            graph, f"{ids[0]}: {run.config['preset']['name']}, seed {run.config['seed']}", order=sort.value
        )
    else:
        text = to_graphml(graph)
    write_whole(out, text)
    say(f"{len(graph)} candidates written to {out}")
