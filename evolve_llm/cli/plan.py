"""``evolve-llm plan``: what a run would cost, without spending anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json, say
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag, RunFlags, takes_run_flags
from evolve_llm.cli.text import printable

if TYPE_CHECKING:
    from evolve_llm.session.estimate import Estimate
    from evolve_llm.session.session import Session


@takes_run_flags
@reported
def plan(
    flags: RunFlags,
    *,
    toml: Annotated[bool, typer.Option("--toml", help="Print the resolved preset as TOML instead.")] = False,
    predicting: Annotated[
        list[Path] | None,
        typer.Option(
            "--predict",
            metavar="RUN",
            help="Print instead the accuracy to expect, from a finished run with other settings. Repeatable.",
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Say what a run would cost, and whether it fits the model's window. It takes the flags of run and spends nothing.

    Exits with 2 if it does not fit. With --predict it opens no model.
    """
    from evolve_llm.cli import interrupts
    from evolve_llm.cli.settings import run_session
    from evolve_llm.session.estimate import require_fit

    session = run_session(flags)
    if toml:
        typer.echo(printable(session.scheme.preset.to_toml()), nl=False)
        return

    if predicting:
        from evolve_llm.cli.predict import predict

        preset, count = session.scheme.preset, len(session.items)
        budget = None if flags.budget_tokens is None else flags.budget_tokens // count
        predict(predicting, preset.population, preset.parents, preset.generations, budget, json=json)
        return

    async def work() -> Estimate:
        try:
            return await session.estimate()
        finally:
            await session.backend.close()

    try:
        found = interrupts.run(work())
    except interrupts.InterruptedRunError as interrupted:
        say("interrupted")
        raise typer.Exit(interrupted.exit_code) from None
    data = _plain(session, found)
    if json:
        print_json(data)
    else:
        _print(data)
    require_fit(found, session.scheme)


def _plain(session: Session, found: Estimate) -> dict[str, Any]:
    from dataclasses import asdict

    from evolve_llm.record.run_files import require_same
    from evolve_llm.record.store import Store

    stored = 0
    if require_same(session.path, session.config) is not None:
        with Store.open_to_read(session.path) as store:
            stored = sum(requests for _, _, requests, *_ in store.tokens())
    return {
        "run": str(session.path),
        "stored": stored,
        "problems": len(session.items),
        "requests": found.requests,
        "per_problem": asdict(found.per_problem),
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "widest": found.widest,
        "window": found.window,
        "fits": found.fits,
        "fitting": found.fitting,
        "plans_ahead": session.scheme.plans_ahead,
        "concurrency": session.concurrency or session.backend.capacity,
        "oracle": session.scheme.oracle,
        "seeds": None if session.info is None else session.info.details.get("seeds"),
        "preset": session.scheme.preset.plain(),
    }


def _purposes(data: dict[str, Any]) -> str:
    counts = data["per_problem"].items()
    return ", ".join(f"{name} {count * data['problems']:,}" for name, count in counts if count)


def _parents(data: dict[str, Any]) -> str:
    """How children read their parents, where it is not whole and in the order they were drawn in."""
    carry, fitting = data["preset"]["carry"], data["fitting"]
    told = {
        "full": "",
        "tail": f"each by its last {carry.get('tokens', 0):,} tokens",
        "answer": "each without its thinking",
        "drop": "as many as there is room for, "
        + ("all of them" if fitting is None else f"{fitting} of {data['preset']['parents']} at least"),
    }[carry["policy"]]
    order = data["preset"].get("order")
    return ", ".join(filter(None, (told, f"in the order {order}" if order else "")))


def _print(data: dict[str, Any]) -> None:
    from rich.table import Table

    from evolve_llm.cli.tables import styled

    preset = data["preset"]
    window = "the model's window is unknown"
    if data["window"] is not None:
        fits = "fits" if data["fits"] else "DOES NOT FIT"
        window = f"{fits} the model's window of {data['window']:,}"
    schedule = (
        "planned ahead: a child starts when its own parents have ended"
        if data["plans_ahead"]
        else "a generation waits for the population of its own problem, never for another problem"
    )
    lines = {
        "run directory": data["run"]
        + (f" ({data['stored']:,} completions are there)" if data["stored"] else ""),
        "preset": f"{preset['name']}: N={preset['population']}, K={preset['parents']}, T={preset['generations']}",
        "problems": f"{data['problems']:,}",
        "requests": f"at most {data['requests']:,} ({_purposes(data)}), {data['concurrency']} at once",
        "prompt tokens": f"at most {data['prompt_tokens']:,}",
        "completion tokens": f"at most {data['completion_tokens']:,}",
        "widest request": f"{data['widest']:,} tokens: {window}",
        "schedule": schedule,
    }
    if read := _parents(data):
        lines["parents"] = read
    if data["seeds"] == "none":
        lines["seeds"] = (
            "not sent (engine.seeds=none): a repeated run gives other texts; resuming works as ever"
        )
    if data["oracle"]:
        lines["oracle"] = "the fitness reads the references: an upper bound, not a result"
    table = Table.grid(padding=(0, 2))
    for name, value in lines.items():
        table.add_row(styled(name, "bold"), styled(printable(value)))
    console().print(table)
