"""``evolve-llm run``: evolve a problem set."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.evolving import carry_out, say_losses
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag, RunFlags, takes_run_flags

if TYPE_CHECKING:
    from evolve_llm.cli.viewing import Page
    from evolve_llm.integrations.trackers.tracking import Tracking
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
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRACKER",
            help="Log the run to mlflow[:URI], wandb[:PROJECT], trackio[:PROJECT] or tensorboard[:FOLDER]. Repeatable.",
        ),
    ] = None,
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
    tracking = tracked(track)
    page = Page() if view else None
    with contextlib.closing(page) if page is not None else contextlib.nullcontext():
        _run(flags, session, rival, page, tracking, json=json)
        if page is not None:
            page.stay()


def tracked(specs: Sequence[str] | None) -> Tracking | None:
    """The trackers that ``--track`` names. Raises UserError where one cannot be used."""
    if not specs:
        return None
    from evolve_llm.integrations.trackers.tracking import Tracking, make_trackers

    return Tracking(make_trackers(specs), lambda text: say(f"warning: {text}"))


def _run(
    flags: RunFlags,
    session: Session,
    rival: str | None,
    page: Page | None,
    tracking: Tracking | None,
    *,
    json: bool,
) -> None:
    """Carry a session out, and the rival beside it, and print what came."""
    from evolve_llm.cli.beside import carry_out_beside, print_beside
    from evolve_llm.cli.tables import print_results

    finished = carry_out(session, page, tracking)
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
