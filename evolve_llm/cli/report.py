"""``evolve-llm report``: the pages of runs as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from evolve_llm.cli.console import say
from evolve_llm.cli.failures import reported


@reported
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The HTML file to write.", show_default=False)],
    texts: Annotated[
        Literal["none", "answers", "all"],
        typer.Option(metavar="none|answers|all", help="Whose chains the file carries."),
    ] = "answers",
) -> None:
    """Write the pages that view shows into one HTML file, which opens without a server and a network."""
    from evolve_llm.view.report import write

    say(f"{write(runs, out, texts):,} bytes written to {out}")
