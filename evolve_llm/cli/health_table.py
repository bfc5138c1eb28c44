"""How the populations fared, as a Rich table. The numbers are defined in ``evolve_llm.analysis.health``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolve_llm.cli.tables import graded, make_table, styled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_Row = Mapping[str, Any]


def print_health(out: Console, result: Mapping[str, Any]) -> None:
    """Population health and takeover of a ``Run.plain()``; nothing where no generation has been finished."""
    if not any(row["problems"] for row in result["generations"]):
        return
    out.print(styled("population health", "bold"))
    out.print(health_table(result))
    if told := takeover(result):
        out.print(styled(told), soft_wrap=True)
    out.print()


def health_table(result: Mapping[str, Any]) -> Table:
    """One row a generation, means over its problems. A column without a value in any of them is left out."""
    rows: Sequence[_Row] = result["generations"]
    columns: list[tuple[str, Callable[[_Row], str | None]]] = [
        ("entropy\n(bits)", lambda row: _number(row["entropy"], ".2f")),
        ("answer\nclasses", lambda row: _number(row["distinct"], ".1f")),
        ("selection\nintensity", lambda row: _number(row["selection_intensity"], "+.2f")),
        ("effective\nparents", lambda row: _number(row["effective_parents"], ".1f")),
        ("parents\nrepeated", lambda row: _number(row["repeated_parents"], ".0%")),
        ("prompt\ncached", lambda row: _number(row["cached_share"], ".0%")),
    ]
    if graded(result):
        columns.append(("minorities\nlost", _lost))
    columns = [(name, cell) for name, cell in columns if any(cell(row) is not None for row in rows)]
    table = make_table([("gen", "right"), *((name, "right") for name, _ in columns)])
    for row in rows:
        table.add_row(str(row["generation"]), *(cell(row) or "-" for _, cell in columns))
    return table


def takeover(result: Mapping[str, Any]) -> str | None:
    """Takeover times of the answers that won, in a line; None while no problem has ended."""
    ended = result["run"]["finished"]
    if not ended:
        return None
    half, whole = (_reached(result["generations"], key) for key in ("half_taken_over", "taken_over"))
    return (
        f"takeover time of the winning answer, median: half {half[0]} ({half[1]} of {ended} problems), "
        f"all {whole[0]} ({whole[1]} of {ended})"
    )


def _reached(rows: Sequence[_Row], key: str) -> tuple[str, int]:
    """The median generation in which problems reached it (the lower of two), and how many did."""
    reached = max((row[key] for row in rows), default=0)
    if not reached:
        return "never", 0
    return f"in generation {next(row['generation'] for row in rows if 2 * row[key] >= reached)}", reached


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _lost(row: _Row) -> str | None:
    """Of the problems whose generation before held right answers in the minority; None where none did."""
    return f"{row['lost_minorities']} of {row['minorities']}" if row["minorities"] else None
