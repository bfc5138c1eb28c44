"""A study written up: pages, tables and figures in its folder, the expectation beside what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm.analysis.figures import Cost, cost_curves, difference_forest
from evolve_llm.analysis.pairing import Metric
from evolve_llm.analysis.tables import Table, written
from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import UserError
from evolve_llm.study.costs import Point, curves_of, seconds_a_token
from evolve_llm.study.pilot import work_of
from evolve_llm.study.spec import Study, Where
from evolve_llm.study.table import as_expected, came
from evolve_llm.study.words import closing_lines, interval, probability


def write(study: Study, folder: Path, plan: Mapping[str, Any], data: Mapping[str, Any]) -> list[Path]:
    """Write the report of a finished study and give the files: ``report/`` in its folder.

    ``report.md`` with the tables and figures, ``contrasts.tex`` and ``.csv``, ``forest`` and ``curves`` as SVG and
    PNG for each place. Figures need matplotlib; without it they are left out, and the report says so.
    """
    out = folder / "report"
    out.mkdir(parents=True, exist_ok=True)
    table = _table(data)
    files = [out / "contrasts.tex", out / "contrasts.csv"]
    write_whole(files[0], written([table], "latex"))
    write_whole(files[1], written([table], "csv"))
    pictures: dict[str, list[Path]] = {}
    missing = ""
    for number, where in enumerate(study.places):
        curves = curves_of(study, where, folder, _metric(study))
        try:
            pictures[where.name] = _figures(study, where, folder, data, curves, out, number)
        except UserError as error:
            missing = str(error)
        files += pictures.get(where.name, [])
    text = out / "report.md"
    write_whole(text, _text(study, plan, data, table, pictures, missing))
    return [text, *files]


def _metric(study: Study) -> Metric:
    return next((one.metric for one in study.quoted if one.metric != "answer"), "pass@1")


def _table(data: Mapping[str, Any]) -> Table:
    stopped = any(one["why"] is not None for one in data["contrasts"])
    columns = (
        *("place", "arm", "against", "quoted", "baseline", "value", "difference"),
        "anytime interval" if stopped else "95 %",
        *("p (Holm)", "problems", "expected", "came", "as expected"),
    )
    rows = tuple(
        (
            one["where"], one["arm"], one["against"], one["quoted"], one["baseline"], one["value"], one["difference"],
            interval(one["interval"]), "null" if one["null"] else probability(one["p_holm"] or one["p"]),
            one["problems"], one["expected"], came(one), as_expected(one),
        )
        for one in data["contrasts"]
    )  # fmt: skip
    note = "Differences are paired by problem. " + " ".join(
        f"{one[:1].upper()}{one[1:]}." for one in closing_lines(data)
    )
    return Table(data["name"], columns, rows, note)


def _figures(
    study: Study, where: Where, folder: Path, data: Mapping[str, Any], curves: Mapping[str, Sequence[Point]],
    out: Path, number: int,
) -> list[Path]:  # fmt: skip
    rows = [one for one in data["contrasts"] if one["where"] == where.name and one["difference"] is not None]
    several = len(study.quoted) > 1
    entries = [
        (
            one["arm"] + (f": {one['quoted']}" if several else ""),
            one["difference"],
            one["interval"],
            one["expected"],
        )
        for one in rows
    ]
    title = f"Difference from the baseline, {max((one['problems'] for one in rows), default=0)} problems"
    figures = {"forest": difference_forest(entries, title)} if entries else {}
    rates = seconds_a_token(one for one in work_of(folder) if one["where"] == where.name)
    costs = {
        name: [
            Cost(one.value, one.calls, one.tokens,
                 None if rates is None else one.prompt_tokens * rates[0] + one.completion_tokens * rates[1])
            for one in points
        ]
        for name, points in curves.items()
    }  # fmt: skip
    figures["curves"] = cost_curves(costs, _metric(study))
    found = []
    for name, figure in figures.items():
        for form in ("svg", "png"):
            path = out / f"{name}{'' if len(study.places) == 1 else f'-{number + 1}'}.{form}"
            metadata = {"Date": None} if form == "svg" else {"Software": None}
            figure.savefig(path, format=form, dpi=200, metadata=metadata)
            found.append(path)
    return found


def _text(
    study: Study, plan: Mapping[str, Any], data: Mapping[str, Any], table: Table,
    pictures: Mapping[str, Sequence[Path]], missing: str,
) -> str:  # fmt: skip
    seen = f"{100 * plan['detectable']:.1f} points" if plan["detectable"] else "nothing, with so few problems"
    changed = len(plan["history"]) - 1
    lines = [
        f"# {_plain(study.name)}",
        "",
        f"Planned on {plan['history'][0]['when']}, before any result"
        + (f", and changed {changed} times since." if changed else "."),
        "",
        *(
            f"- {one['count']:,} problems of `{_code(one['problems'])}` on `{_code(one['model'])}`"
            for one in plan["places"]
        ),
        f"- {len(plan['arms'])} arms, seeds {', '.join(map(str, study.seeds))}; {plan['tests']} tests, "
        f"corrected by {plan['correction']}",
        f"- what 80 % of such studies find was foreseen as {seen} "
        f"(spread {plan['spread']:.2f}: {_plain(plan['spread_from'])})",
        "",
        "## What was expected, and what came",
        "",
        written([table], "md"),
        "## What could not have been seen",
        "",
        *_unseen(data),
        "",
    ]
    if missing:
        lines += [f"Figures are missing: {_plain(missing)}", ""]
    for place, paths in pictures.items():
        lines += [f"## {_plain(place)}", ""]
        lines += [f"![{path.stem}]({path.name})\n" for path in paths if path.suffix == ".svg"]
    if pictures:
        lines += [
            "The curves count what an arm shares with others as if it had been paid for. The time is that of the "
            "engine kept busy, fitted to what each run took.",
            "",
        ]
    return "\n".join(lines)


def _unseen(data: Mapping[str, Any]) -> list[str]:
    found = [
        f"- {_plain(one['arm'])}, {one['quoted']}: a true difference below {100 * one['detectable']:.1f} points would "
        "be missed more often than in one of five such studies."
        for one in data["contrasts"]
        if one["detectable"] is not None and came(one) not in ("+", "-")
    ]
    return found or ["Every difference was shown."]


def _plain(text: str) -> str:
    return "".join("\\" + one if one in "\\`*_[]<>|#!$" else one for one in " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
