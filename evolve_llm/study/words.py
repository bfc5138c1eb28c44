"""The results of a study in words and cells: for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolve_llm.study.table import as_expected, came

Row = Mapping[str, Any]


def heading(rows: Sequence[Row]) -> list[str]:
    """The columns of a table of contrasts: only those that say something of these rows."""
    stopped = any(one["why"] is not None for one in rows)
    corrected = any(one["p_holm"] is not None for one in rows)
    p = [] if stopped else ["p (Holm)" if corrected else "p"]
    level = "anytime" if stopped and not any(one["peeked"] for one in rows) else "95 %"
    return ["arm", "against", "value", "difference", level, *p, "problems", "expected", "came"]


def contrast_cells(row: Row, names: Sequence[str]) -> list[str]:
    """A row as text, in the columns of ``heading``."""
    cells = {
        "arm": row["arm"]
        + (" (added later)" if row["added"] else "")
        + (" (replayed)" if row["replayed"] else ""),
        "against": row["against"],
        "value": "-" if row["value"] is None else f"{row['value']:.3f}",
        "difference": "-" if row["difference"] is None else f"{row['difference']:+.3f}",
        "anytime": interval(row["interval"]),
        "95 %": interval(row["interval"]),
        "p": "null" if row["null"] else probability(row["p"]),
        "p (Holm)": "null" if row["null"] else probability(row["p_holm"]),
        "problems": str(row["problems"]) + (f", {row['why']}" if row["why"] not in (None, "all") else ""),
        "expected": row["expected"],
        "came": came(row),
    }
    return [cells[name] for name in names]


def interval(value: tuple[float, float] | None) -> str:
    """An interval of differences."""
    return "-" if value is None else f"{value[0]:+.3f} to {value[1]:+.3f}"


def probability(p: float | None) -> str:
    """A p-value, never rounded to nothing."""
    return "-" if p is None else "<.001" if p < 0.001 else f"{p:.3f}"


def closing_lines(data: Mapping[str, Any]) -> list[str]:
    """What a reader must be told below the tables."""
    paid, saved, replayed = data["paid"], data["saved"], data["replayed"]
    lines = [
        f"paid {paid['requests']:,} requests and {paid['tokens']:,} tokens; sharing saved {saved['requests']:,} "
        f"requests and {saved['tokens']:,} tokens"
        + (
            f", of them by replay {replayed['requests']:,} and {replayed['tokens']:,}"
            if replayed["requests"]
            else ""
        )
    ]
    rows = data["contrasts"]
    if any(one["why"] is not None for one in rows):
        lines.append(
            f"ending arms early spared {data['spared']['problems']:,} problems. The intervals hold at every look. An "
            "arm that ended early looks more different from its baseline than it is: it ended because it did"
        )
    if any(one["why"] == "halving" for one in rows):
        lines.append(
            "arms that halving ended look worse than they are, and those that are left look better: they were chosen "
            "by the same problems; run what is left on new ones before you quote it"
        )
    said = [as_expected(one) for one in rows if not one["null"]]
    if any(said):
        lines.append(f"of what was expected, {said.count('yes')} came, {said.count('no')} came otherwise, "
                     f"{said.count('open')} could not be shown")  # fmt: skip
    return [*lines, *data["correction"]]
