"""Carrying a session to its end: says where it is kept, shows progress, and ends in order on Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from evolve_llm.cli.console import say
from evolve_llm.cli.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from evolve_llm.analysis.run import Run
    from evolve_llm.cli.viewing import Page
    from evolve_llm.integrations.trackers.tracking import Tracking
    from evolve_llm.session.session import Session


def carry_out(session: Session, page: Page | None = None, tracking: Tracking | None = None) -> Run:
    """Run a session and return its results. Whatever ends it early is told on standard error.

    ``page`` is opened over the run directory as soon as there is one, and ``tracking`` goes along with the run.

    Raises what the session raises, except a spent budget, and typer.Exit after SIGINT or SIGTERM.
    """
    from evolve_llm.analysis.run import Run
    from evolve_llm.cli import interrupts
    from evolve_llm.cli.progress import Progress
    from evolve_llm.nouns.errors import BudgetReached

    stored, finished = _announce(session)
    progress = Progress(session)
    progress.resume(stored, finished)

    async def work() -> None:
        async with session:
            for warning in session.warnings:
                say(f"warning: since this run began, {warning}")
            if page is not None:
                page.open(session.path)
            if tracking is not None:
                tracking.begin(session.path)
            with progress.live():
                async for generation in session.generations():
                    progress.finish(generation)
                    if tracking is not None:
                        tracking.note()

    try:
        interrupts.run(work())
    except BudgetReached as reached:
        say(str(reached))
    except interrupts.InterruptedRunError as interrupted:
        say(
            f"interrupted ({interrupted}): everything finished is in {session.path}; the same command "
            "resumes the run"
        )
        raise typer.Exit(interrupted.exit_code) from None
    finally:
        if tracking is not None:
            tracking.end(lambda file: _write_report(session.path, file))
    return Run(session.path)


def _write_report(run: Path, file: Path) -> None:
    """The report that a tracker keeps: without chains, which would leave this machine with it."""
    from evolve_llm.view.report import write

    write([run], file, "none")


def _announce(session: Session) -> tuple[dict[int, int], int]:
    """Say where the run is and what it has; raises UserError where the directory belongs to another run."""
    from evolve_llm.record.run_files import require_same
    from evolve_llm.record.store import Store

    complete = require_same(session.path, session.config)
    if complete is None:
        say(f"run directory: {session.path} (new)")
        return {}, 0
    stored: dict[int, int] = {}
    with Store.open_to_read(session.path) as store:
        tokens, finished = store.tokens(), len(store.finished())
    for generation, purpose, requests, *_ in tokens:
        if purpose == "vary":
            stored[generation] = stored.get(generation, 0) + requests
    count = sum(requests for _, _, requests, *_ in tokens)
    what = "complete, nothing is left to do" if complete else "resuming"
    say(f"run directory: {session.path} ({what}: {count} completions are already there)")
    return stored, finished


def say_losses(run: Run) -> None:
    """Say on standard error which problems came to nothing, and how many are unfinished."""
    results = run.results()
    lost = [one.id for one in results if one.finished and one.uid is None]
    if lost:
        named = ", ".join(one_line(name, 40) for name in lost[:5]) + (", …" if len(lost) > 5 else "")
        say(
            f"{len(lost)} of {len(results)} problems have no answer because all their candidates failed: {named}"
        )
