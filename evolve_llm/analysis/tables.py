"""The tables of a paper: runs by generation and comparisons, as Markdown, LaTeX (booktabs) or CSV.

Whatever stands in a cell is escaped for the language: names of runs, models and presets are free text. A CSV cell
that a spreadsheet would take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from evolve_llm.analysis.compare import Comparison
from evolve_llm.analysis.run import Run
from evolve_llm.nouns.errors import UserError

Format = Literal["md", "latex", "csv"]
Cell = str | int | float | None | tuple[float, float]
"""A number, a name, an interval, or nothing."""

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of any of the formats. ``columns``: their headings; ``note`` stands below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def run_table(run: Run, name: str | None = None) -> Table:
    """A row a generation: accuracies with their 95 % intervals over problems, classes, losses and tokens."""
    rows = [row.plain() for row in run.generations()]
    graded = any(row["pass@1"] is not None for row in rows)
    keys = ["generation", *(["pass@1", "pass@1_interval", "pass@N", "majority"] if graded else [])]
    keys += ["distinct", "entropy", "truncated", "failed", "prompt_tokens", "completion_tokens"]
    preset = run.config["preset"]
    count = rows[0]["problems"] if rows else 0
    sizes = f"N={preset['population']}, K={preset['parents']}, T={preset['generations']}"
    title = (
        f"{name or run.path.name}: {preset['name']} ({sizes}) on {run.config['model']}, "
        f"seed {run.config['seed']}, {count} problems"
    )
    headings = tuple(
        {"pass@1_interval": "95 %", "distinct": "classes"}.get(key, key.replace("_", " ")) for key in keys
    )
    cells = tuple(tuple(_cell(row[key]) for key in keys) for row in rows)
    return Table(title, headings, cells, "Intervals are over problems." if graded else "")


def comparison_table(found: Comparison, names: Sequence[str] | None = None) -> Table:
    """A row for each run and metric, at the end and at equal tokens: the paired difference with its 95 % interval."""
    labels = list(names[1:]) if names else [one.label for one in found.contrasts]
    rows: list[tuple[Cell, ...]] = []
    for label, contrast in zip(labels, found.contrasts, strict=True):
        for row in contrast.rows:
            one = row.estimate
            if one is not None and row.moment != "generation":
                rows.append(
                    (
                        label,
                        row.metric,
                        row.moment,
                        one.baseline,
                        one.value,
                        one.difference,
                        one.interval,
                        one.p_holm,
                    )
                )
    base = names[0] if names else found.baseline
    columns = ("run", "metric", "moment", base, "value", "difference", "95 %", "p (Holm)")
    note = "Differences are paired by problem, and intervals are by bootstrap over problems. " + " ".join(
        f"{one[:1].upper()}{one[1:]}." for one in found.notes
    )
    return Table(f"Against {base}, {found.problems} problems", columns, tuple(rows), note.strip())


def written(tables: Sequence[Table], form: Format) -> str:
    """The tables in one text. Raises UserError for another format."""
    if form not in get_args(Format):
        raise UserError(f"a table is written as one of {', '.join(get_args(Format))}, not as {form!r}")
    write = {"md": _markdown, "latex": _latex, "csv": _csv}[form]
    return "\n".join(write(one) for one in tables)


def _cell(value: object) -> Cell:
    if isinstance(value, list | tuple) and len(value) == 2:
        return float(value[0]), float(value[1])
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _shown(cell: Cell, *, between: str = "–") -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, tuple):
        signed = any(one < 0 for one in cell)
        return f"{cell[0]:+.3f} to {cell[1]:+.3f}" if signed else f"{cell[0]:.3f}{between}{cell[1]:.3f}"
    return f"{cell:.3f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell


def _line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _markdown(table: Table) -> str:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_escaped(one) for one in cells) + " |"

    aligned = ["---:" if isinstance(cell, int | float | tuple) else "---" for cell in _first(table)]
    lines = [f"**{_escaped(table.title)}**", "", row(table.columns), "| " + " | ".join(aligned) + " |"]
    lines += [row([_shown(cell) for cell in cells]) for cells in table.rows]
    return "\n".join(lines) + "\n" + (f"\n{_escaped(table.note)}\n" if table.note else "")


def _escaped(text: str) -> str:
    return "".join("\\" + one if one in "\\`*_[]<>|#!$" else one for one in _line(text))


def _latex(table: Table) -> str:
    columns = "".join("r" if isinstance(cell, int | float | tuple) else "l" for cell in _first(table))
    lines = [
        "% \\usepackage{booktabs}", "\\begin{table}", "\\centering", f"\\caption{{{_tex(table.title)}}}",
        f"\\begin{{tabular}}{{{columns}}}", "\\toprule",
        " & ".join(_tex(one) for one in table.columns) + " \\\\", "\\midrule",
    ]  # fmt: skip
    lines += [
        " & ".join(_tex(_shown(cell, between="--")) for cell in cells) + " \\\\" for cells in table.rows
    ]
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\n\\smallskip\\footnotesize {_tex(table.note)}"] if table.note else []
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _tex(text: str) -> str:
    return "".join(_LATEX.get(one, one) for one in _line(text)).replace("–", "--")


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    wide = [
        any(isinstance(cells[place], tuple) for cells in table.rows) for place in range(len(table.columns))
    ]
    head: list[str] = []
    for name, two in zip(table.columns, wide, strict=True):
        head += [f"{name} low", f"{name} high"] if two else [name]
    writer.writerow([_plain(one) for one in ("table", *head)])
    for cells in table.rows:
        row: list[object] = [_plain(table.title)]
        for cell, two in zip(cells, wide, strict=True):
            row += (cell if isinstance(cell, tuple) else ("", "")) if two else [_plain(cell)]
        writer.writerow(row)
    return out.getvalue()


def _plain(cell: Cell) -> object:
    if not isinstance(cell, str):
        return "" if cell is None else cell
    text = _line(cell)
    return "'" + text if text.startswith(_FORMULA) else text


def _first(table: Table) -> Sequence[Cell]:
    """A cell of each column that is not empty, to tell numbers from names."""
    return [
        next((row[place] for row in table.rows if row[place] is not None), "")
        for place in range(len(table.columns))
    ]
