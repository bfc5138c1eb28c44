"""``evolve-llm view``: look at runs in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evolve_llm.cli.console import say
from evolve_llm.cli.failures import reported


@reported
def view(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN|FOLDER]…",
            help="Run directories, or folders with runs in them. (default: runs)",
            show_default=False,
        ),
    ] = None,
    *,
    port: Annotated[int, typer.Option(metavar="PORT", help="The port to listen on; 0 takes a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Look at runs in a browser, finished or running. Nothing is changed, and nobody else can ask.

    The page listens on this machine only. Ctrl-C ends it.
    """
    import secrets
    import webbrowser

    from evolve_llm.nouns.errors import UserError
    from evolve_llm.view.folders import require_folders

    folders = require_folders(paths or [Path("runs")])
    try:
        from evolve_llm.view.server import serve
    except ImportError as error:
        raise UserError(f'the page needs {error.name}: pip install "evolve-llm[view]"') from error

    def started(address: str) -> None:
        say(f"look at {address}  (Ctrl-C ends it)")
        if browser:
            webbrowser.open(address)

    serve(folders, port, secrets.token_urlsafe(24), started)
