"""``evolve-llm report``: the pages of runs as one file, or their tables and plots for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evolve_llm.cli.console import say
from evolve_llm.cli.failures import reported

if TYPE_CHECKING:
    from evolve_llm.analysis.compare import Comparison
    from evolve_llm.analysis.run import Run

Form = Literal["html", "md", "latex", "csv", "png", "svg", "pdf"]


@reported
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.", show_default=False)],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="html: the pages; md, latex or csv: the tables; png, svg or pdf: the plots.",
        ),
    ] = "html",
    texts: Annotated[
        Literal["none", "answers", "all"],
        typer.Option(metavar="none|answers|all", help="Whose chains the HTML file carries."),
    ] = "answers",
) -> None:
    """Write what came of runs into one file: the pages that view shows, or tables and plots for a paper.

    The HTML file opens without a server and a network. Of several runs the first is the baseline. Plots of several
    runs are two files: the curves, and beside them FILE with -forest in its name.
    """
    if form == "html":
        from evolve_llm.view.report import write

        say(f"{write(runs, out, texts):,} bytes written to {out}")
    elif form == "md" or form == "latex" or form == "csv":
        _write_tables(runs, out, form)
    else:
        _write_figures(runs, out, form)


def _opened(runs: list[Path]) -> dict[str, Run]:
    """The runs by names that tell them apart. Raises UserError where one is none."""
    from evolve_llm.analysis.run import Run

    opened = [Run(path) for path in runs]
    short = [one.path.resolve().name for one in opened]
    return {
        name if short.count(name) == 1 else str(one.path): one
        for name, one in zip(short, opened, strict=True)
    }


def _compared(opened: dict[str, Run]) -> Comparison | None:
    """All of them against the first. Of runs that cannot be compared it is said why, and the rest is written."""
    from evolve_llm.analysis.compare import compare
    from evolve_llm.nouns.errors import UserError

    if len(opened) < 2:
        return None
    try:
        return compare(
            list(opened.values()), partial=True, allow_different_models=True, allow_different_seeds=True
        )
    except UserError as error:
        say(f"without a comparison: {error}")
        return None


def _write_tables(runs: list[Path], out: Path, form: Literal["md", "latex", "csv"]) -> None:
    from evolve_llm.analysis.tables import comparison_table, run_table, written
    from evolve_llm.basics.whole_file import write_whole

    opened = _opened(runs)
    tables = [run_table(run, name) for name, run in opened.items()]
    found = _compared(opened)
    if found is not None:
        tables.append(comparison_table(found, list(opened)))
    write_whole(out, written(tables, form))
    say(f"{len(tables)} table{'s' if len(tables) > 1 else ''} written to {out}")


def _write_figures(runs: list[Path], out: Path, form: Literal["png", "svg", "pdf"]) -> None:
    from evolve_llm.analysis.figures import curves, forest

    opened = _opened(runs)
    figures = {out: curves(opened)}
    found = _compared(opened)
    if found is not None:
        figures[out.with_name(f"{out.stem}-forest{out.suffix}")] = forest(found, list(opened))
    for path, figure in figures.items():
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[form]
        figure.savefig(path, format=form, dpi=200, metadata=metadata)
        say(f"a figure written to {path}")
