"""What a run comes to, as Rich tables. Input is ``Run.plain()``; every text in it is taken to be hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolve_llm.cli.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evolve_llm.analysis.readings import CountedReading

SHOWN_ANSWERS = 20
ORACLE = "ORACLE: the fitness reads the references. This is an upper bound, not a result."

_NARROW = 106  # columns below which headers are abbreviated
_SHORT = {
    "problems": "prob.",
    "majority": "major.",
    "distinct": "dist.",
    "truncated": "trunc.",
    "ungraded": "ungr.",
    "prompt tokens": "prompt\ntokens",
    "completion tokens": "compl.\ntokens",
}
_STYLES = {"correct": "green", "incorrect": "red", "ungraded": "yellow"}
_Row = Mapping[str, Any]


def print_results(out: Console, result: Mapping[str, Any], shown: int | None = SHOWN_ANSWERS) -> None:
    """The table of generations and the answers of a ``Run.plain()``; ``shown`` answers, None for all."""
    print_generations(out, result)
    print_answers(out, result, shown)


def print_generations(out: Console, result: Mapping[str, Any]) -> None:
    """What was run, and its table of generations."""
    run = result["run"]
    out.print(styled(f"\n{one_line(_title(run), 200)}", "bold"))
    if run["oracle"]:
        out.print(styled(ORACLE, "bold yellow"))
    if result["generations"]:
        out.print(generations_table(result, narrow=out.width < _NARROW))
        print_readings(out, [reading_of(one) for one in run.get("readings", ())])
        out.print()


def print_readings(out: Console, found: Iterable[CountedReading]) -> None:
    """By which reading the verdicts above are, a line each; nothing for most graders."""
    for one in found:
        out.print(styled(one_line(one.sentence(), 400), "dim"), soft_wrap=True)


def reading_of(data: Mapping[str, Any]) -> CountedReading:
    """A CountedReading from what ``Run.plain`` makes of it."""
    from evolve_llm.analysis.readings import CountedReading, Parting

    return CountedReading(data["name"], data["answers"], tuple(Parting(**one) for one in data["others"]))


def print_answers(out: Console, result: Mapping[str, Any], shown: int | None) -> None:
    """The answers; ``shown`` of them, None for all."""
    run = result["run"]
    out.print(answers_table(result["problems"][:shown], complete=run["complete"]))
    hidden = 0 if shown is None else len(result["problems"]) - shown
    if hidden > 0:
        out.print(
            styled(f"… {hidden} more: evolve-llm show {one_line(run['path'], 400)} --all"), soft_wrap=True
        )


def generations_table(result: Mapping[str, Any], *, narrow: bool = False) -> Table:
    """One row a generation. Accuracy columns are left out where nothing has a reference."""
    rows: Sequence[_Row] = result["generations"]
    columns: list[tuple[str, Callable[[_Row], str]]] = [("gen", lambda row: str(row["generation"]))]
    if any(row["problems"] != result["run"]["problems"] for row in rows):
        columns.append(("problems", lambda row: str(row["problems"])))
    if graded(result):
        columns += [
            ("pass@1", lambda row: share(row["pass@1"])),
            ("95 %", lambda row: _interval(row["pass@1_interval"])),
            ("pass@N", lambda row: share(row["pass@N"])),
            ("majority", lambda row: share(row["majority"])),
        ]
        if result["run"].get("attempts", 1) == 2:
            columns.append(("pass@2", lambda row: share(row["pass@2"])))
    columns += [
        ("distinct", lambda row: "-" if row["distinct"] is None else f"{row['distinct']:.1f}"),
        ("truncated", lambda row: str(row["truncated"])),
        ("failed", lambda row: str(row["failed"])),
    ]
    if any(row["ungraded"] for row in rows):
        columns.append(("ungraded", lambda row: str(row["ungraded"])))
    columns += [
        ("prompt tokens", lambda row: f"{row['prompt_tokens']:,}"),
        ("completion tokens", lambda row: f"{row['completion_tokens']:,}"),
    ]
    table = make_table([(_SHORT.get(name, name) if narrow else name, "right") for name, _ in columns])
    for row in rows:
        table.add_row(*(cell(row) for _, cell in columns))
    return table


def answers_table(problems: Sequence[_Row], *, complete: bool) -> Table:
    """The answer of each problem, with its verdict where there is one. ``complete``: all have ended."""
    has_verdicts = any(one["verdict"] is not None for one in problems)
    several = any(one.get("further") for one in problems)
    names = ["problem", "answer", *(["verdict", "rule"] if has_verdicts else [])]
    names += ["next attempts"] if several else []
    table = make_table([(name, "left") for name in names])
    for one in problems:
        cells = [styled(one_line(one["id"], 40)), _answer(one, complete)]
        if has_verdicts:
            cells += [verdict_cell(one["verdict"]), styled(one_line(one["rule"] or "", 24))]
        if several:
            further = [f"{one_line(a['answer'] or '-', 40)} ({a['verdict'] or '-'})" for a in one["further"]]
            cells.append(styled("; ".join(further) or "-"))
        table.add_row(*cells)
    return table


def make_table(columns: Iterable[tuple[str, Any]]) -> Table:
    """An empty table in the house style; columns are (header, justification)."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, justify in columns:
        table.add_column(styled(name), justify=justify)
    return table


def styled(text: str, style: str = "") -> Any:
    """Plain text as a cell: Rich reads no markup in it."""
    from rich.text import Text

    return Text(text, style=style)


def _answer(one: _Row, complete: bool) -> Any:
    if one["answer"] is not None:
        return styled(one_line(one["answer"]))
    if one["candidate"] is not None:
        return styled("no answer in the chain", "dim")
    return styled("every candidate failed" if complete else "-", "dim")


def verdict_cell(verdict: str | None) -> Any:
    """A table cell with a grade in its colour."""
    return styled(verdict or "-", _STYLES.get(verdict or "", "dim"))


def graded(result: Mapping[str, Any]) -> bool:
    """Whether anything in the run has a verdict."""
    return any(row["pass@1"] is not None or row["ungraded"] for row in result["generations"]) or any(
        one["verdict"] is not None for one in result["problems"]
    )


def share(value: float | None) -> str:
    """A rate in [0, 1] with three decimals."""
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.2f}–{interval[1]:.2f}"


def _title(run: Mapping[str, Any]) -> str:
    return f"{run['preset']} on {run['model']}, seed {run['seed']}: {run['finished']} of {run['problems']} problems"
