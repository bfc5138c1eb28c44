"""``evolve-llm export``: a run as one table, a row a candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evolve_llm.cli.console import say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.show import RunArgument


@reported
def export(
    path: RunArgument,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.", show_default=False)],
    format: Annotated[
        str | None,
        typer.Option(metavar="csv|parquet", help="The format. (default: what the ending of FILE says)"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write one row per candidate to a CSV or Parquet file.

    Texts are written unchanged. In CSV, a cell may begin with = or @, which spreadsheet programs read as a formula.
    """
    from evolve_llm.record.export import export as write

    count = write(path, out, format, overwrite=force)
    say(f"{count} candidates written to {out}")
