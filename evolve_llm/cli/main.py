"""The program ``evolve-llm``. Importing this must stay cheap: commands import what they need when they run."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from evolve_llm.cli.ask import ask
from evolve_llm.cli.check import check
from evolve_llm.cli.compare import compare
from evolve_llm.cli.credit import credit
from evolve_llm.cli.doctor import doctor
from evolve_llm.cli.export import export
from evolve_llm.cli.failures import DEBUG, EXIT_CODES
from evolve_llm.cli.lineage import lineage
from evolve_llm.cli.listing import list_
from evolve_llm.cli.plan import plan
from evolve_llm.cli.problems import problems
from evolve_llm.cli.regrade import regrade
from evolve_llm.cli.report import report
from evolve_llm.cli.run import run
from evolve_llm.cli.show import show
from evolve_llm.cli.study import study
from evolve_llm.cli.top import top
from evolve_llm.cli.train import train
from evolve_llm.cli.train_data import train_data
from evolve_llm.cli.view import view

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
)
app.command("run")(run)
app.command("ask")(ask)
app.command("plan")(plan)
app.command("list")(list_)
app.command("problems")(problems)
app.command("show")(show)
app.command("compare")(compare)
app.command("credit")(credit)
app.command("study")(study)
app.command("lineage")(lineage)
app.command("train-data")(train_data)
app.command("train")(train)
app.command("regrade")(regrade)
app.command("export")(export)
app.command("view")(view)
app.command("top")(top)
app.command("report")(report)
app.command("check")(check)
app.command("doctor")(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from evolve_llm import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[  # noqa: ARG001 - answered by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Evolve LLM reasoning: DEAP selects, the language model varies."""
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """The entry point of the program ``evolve-llm``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode is no reason to fail
    try:
        app(prog_name="evolve-llm")
    except BrokenPipeError:  # the reader of a pipe has gone, as ``| head`` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
