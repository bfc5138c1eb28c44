"""Where things are printed: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import typer

from evolve_llm.cli.text import json_printable, printable

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160  # columns of a pipe or a file, which have no width of their own


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or standard error that interprets no markup."""
    from rich.console import Console

    stream: IO[str] = sys.stderr if stderr else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(file=stream, width=wide, highlight=False, markup=False, emoji=False)


def say(message: str) -> None:
    """One message on standard error, as plain text."""
    typer.echo(printable(message), err=True)


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on one line of standard output."""
    typer.echo(json_printable(json.dumps(data, ensure_ascii=False)))
