"""``evolve-llm run``: evolve a problem set."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.evolving import carry_out, say_losses
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag, RunFlags, takes_run_flags

if TYPE_CHECKING:
    from evolve_llm.cli.viewing import Page
    from evolve_llm.session.session import Session


@takes_run_flags
@reported
def run(
    flags: RunFlags,
    *,
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="Afterwards run this preset with the same number of calls on the same problems, and print "
            "the difference. (default: majority-voting if no problems, preset or model are given, "
            "otherwise none)",
        ),
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Open the page of evolve-llm view over the run while it goes on.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Evolve a population of reasoning chains for each problem. The same command resumes the run.

    Without flags it runs the fruit fly on twelve bundles of locks, and majority voting beside it.
    """
    from evolve_llm.cli.beside import chosen
    from evolve_llm.cli.settings import run_session
    from evolve_llm.cli.viewing import Page

    rival = chosen(flags, beside)
    session = run_session(flags)
    page = Page() if view else None
    with contextlib.closing(page) if page is not None else contextlib.nullcontext():
        _run(flags, session, rival, page, json=json)
        if page is not None:
            page.stay()


def _run(flags: RunFlags, session: Session, rival: str | None, page: Page | None, *, json: bool) -> None:
    """Carry a session out, and the rival beside it, and print what came."""
    from evolve_llm.cli.beside import carry_out_beside, print_beside
    from evolve_llm.cli.tables import print_results

    finished = carry_out(session, page)
    result = finished.plain()
    if not json:
        print_results(console(), result)
    say_losses(finished)
    if rival is not None:
        result["beside"] = carry_out_beside(flags, rival, session, finished)
        if not json and result["beside"] is not None:
            print_beside(console(), result["beside"])
    if json:
        print_json(result)
