"""``evolve-llm doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag


@reported
def doctor(
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Also ask this OpenAI-compatible server. Join several with commas."),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that is to hold the run directories.")
    ] = Path("runs"),
    *,
    json: JsonFlag = False,
) -> None:
    """Check what a run needs. Exits with 0 if evolve-llm run works here as it is, and with 2 otherwise."""
    from evolve_llm.cli import checks

    found = checks.all_checks(out, base_url)
    ready = all(one.ok or not one.needed for one in found)
    if json:
        print_json({"ready": ready, "checks": [one.plain() for one in found]})
    else:
        _print(found, ready)
    if not ready:
        raise typer.Exit(2)


def _print(found: list[Any], ready: bool) -> None:
    from rich.table import Table

    from evolve_llm.cli.tables import styled
    from evolve_llm.cli.text import printable

    table = Table.grid(padding=(0, 2))
    for one in found:
        mark = styled("✓", "green") if one.ok else styled("✗", "bold red" if one.needed else "yellow")
        what = one.detail if one.ok or not one.fix else f"{one.detail}\n→ {one.fix}"
        table.add_row(mark, styled(one.name), styled(printable(what)))
    out = console()
    out.print(table)
    out.print(
        styled("evolve-llm run works here." if ready else "evolve-llm run cannot work here yet.", "bold")
    )
