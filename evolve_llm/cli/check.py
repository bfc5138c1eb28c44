"""``evolve-llm check``: whether an operator, or anything else that plugs in, keeps its contract."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.nouns.errors import OperatorError, UserError

if TYPE_CHECKING:
    from evolve_llm.testing.checking import Finding

_NOTES = "HYPOTHESIS_STORAGE_DIRECTORY"


@reported
def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="What to check: module:name, something built in (select.uniform, math, "
            "openai), or a problem SPEC.",
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="select, vary, evaluate, replace, finish, stop, adapt, grader, problems or backend. "
            "(default: what its declaration says)",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A parameter of what is checked. Repeatable. VALUE is read as TOML.",
        ),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLAIM",
            help="Check it for more, or for less, than it declares. Repeatable: keeps-best, majority, "
            "shows-answers, shows-nothing, has-favourites.",
        ),
    ] = None,
    *,
    json: JsonFlag = False,
) -> None:
    """Check that an operator keeps its contract, and show the smallest example that breaks it.

    Exits with 0 if every property is kept, and with 5 if one is broken.
    """
    from evolve_llm.cli.settings import read_settings

    given = read_settings(set_ or []).preset
    try:
        from evolve_llm.testing import checking
    except ImportError as error:
        raise UserError(str(error)) from error
    with _notes_elsewhere():
        told, contract = checking.contract_of(name, kind, parameters=given, claims=claim or [])
        found = checking.findings(contract)
    broken = [one for one in found if one.outcome == "broken"]
    if json:
        print_json(
            {"name": name, "kind": told, "kept": not broken, "properties": [one.plain() for one in found]}
        )
    else:
        _print(name, told, found)
    if broken:
        raise typer.Exit(OperatorError.exit_code)


@contextlib.contextmanager
def _notes_elsewhere() -> Iterator[None]:
    """Hypothesis keeps notes in the current folder unless told otherwise; nothing of them is needed later."""
    with tempfile.TemporaryDirectory(prefix="evolve-llm-check-") as folder:
        given = os.environ.setdefault(_NOTES, folder)
        try:
            yield
        finally:
            if given == folder:
                del os.environ[_NOTES]


def _print(name: str, kind: str, found: list[Finding]) -> None:
    from rich.table import Table

    from evolve_llm.cli.tables import styled
    from evolve_llm.cli.text import one_line, printable

    marks: dict[str, Any] = {
        "kept": styled("✓", "green"), "broken": styled("✗", "bold red"), "not checked": styled("-", "yellow"),
    }  # fmt: skip
    table = Table.grid(padding=(0, 2))
    for one in found:
        text = one.property if one.outcome == "kept" else f"{one.property}\n{printable(one.detail)}"
        table.add_row(marks[one.outcome], styled(text))
    out = console()
    out.print(styled(f"{one_line(name, 200)}, as {kind}", "bold"))
    out.print(table)
    broken = sum(one.outcome == "broken" for one in found)
    counted = f"{broken} of {len(found)} properties are broken" if broken else "its contract is kept"
    out.print(styled(f"{counted}.", "bold"))
