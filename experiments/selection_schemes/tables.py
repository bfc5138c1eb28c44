"""The analysis as Markdown, and its place in README.md and docs/selection_study.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemes import NULL, SCHEMES

EXPECTED = {one.name: one.direction for one in SCHEMES}
BEGIN, END = "<!-- from here: analyse.py -->", "<!-- to here -->"


def markdown(found: Mapping[str, Any]) -> str:
    """Tables of arms, and of the two tested outcomes."""
    parts = [_arms(found)]
    parts += [_contrasts(found["contrasts"][outcome], outcome) for outcome in ("pass@1", "majority", "speed")]
    parts.append(_exploratory(found["exploratory"]))
    return "\n\n".join(parts)


def fill(page: Path, text: str) -> None:
    """Put a text between the two marks of a page. Raises ValueError where they are not there."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the results: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def story(found: Mapping[str, Any]) -> str:
    """What differed, what did not, and how small a difference could have been seen, as a list."""
    settings, tested = found["settings"], found["contrasts"]["pass@1"]
    questions = [one for one in tested if one["scheme"] != NULL]
    seen = [one for one in questions if one["p (Holm)"] < 0.05]
    unseen = [one for one in questions if one["p (Holm)"] >= 0.05]
    majority = [
        one for one in found["contrasts"]["majority"] if one["scheme"] != NULL and one["p (Holm)"] < 0.05
    ]
    right = [one for one in questions if (one["difference"] > 0) == (EXPECTED[one["scheme"]] == "+")]
    unequal, starts = found["unequal generations 0"]
    blocks, planned = settings["blocks"], settings["blocks planned"]
    unfinished = f" **Unfinished: {blocks} of {planned} blocks.**" if blocks < planned else ""
    lines = [
        f"{found['problems']} problems, {settings['date']}, {settings['machine']}.{unfinished}",
        f"**Pass@1 differs from uniform** (p < .05 after Holm): {_listed(_with_interval(one) for one in seen)}.",
        f"**No difference was seen**: {_listed(_name(one) for one in unseen)}.{_limits(unseen)}",
        f"**The majority differs**: {_listed(_with_interval(one) for one in majority)}.",
        f"Expected directions that the estimates have: {len(right)} of {len(questions)}; not "
        f"{_listed(_name(one) for one in questions if one not in right)}.",
    ]
    lines += [_checked(one) for one in tested if one["scheme"] == NULL]
    lines.append(
        f"Generation 0 was not the same in all arms in {unequal} of {starts} cases; {found['failed']} chains failed, "
        f"{found['truncated']} were cut."
    )
    return "\n".join(f"- {line}" for line in lines)


def _checked(null: Mapping[str, Any]) -> str:
    verdict = (
        "as it should be"
        if null["p"] >= 0.05
        else "so no other difference of that size is to be believed (DESIGN.md)"
    )
    return f"**The null contrast**, whose truth is 0: {_with_interval(null)}, p = {null['p']:.3f}: {verdict}."


def _name(one: Mapping[str, Any]) -> str:
    return f"`{one['scheme']}` at K = {one['K']}"


def _with_interval(one: Mapping[str, Any]) -> str:
    return f"{_name(one)} {points(one['difference'])} ({_interval(one)})"


def _limits(unseen: Sequence[Mapping[str, Any]]) -> str:
    """How small a true difference such studies find, at the two levels."""
    found = [(one["detectable"], one["detectable (Holm)"]) for one in unseen if one["detectable"]]
    if not found:
        return ""
    plain, strict = zip(*found, strict=True)
    return (
        f" True differences of {100 * min(plain):.1f} to {100 * max(plain):.1f} points, by scheme, would have been "
        f"found in 80 % of such studies without the correction, {100 * min(strict):.1f} to {100 * max(strict):.1f} "
        "at Holm's first step."
    )


def _listed(names: Iterable[str]) -> str:
    return "; ".join(names) or "none"


def points(value: float | None) -> str:
    """A difference in points, with its sign."""
    return "-" if value is None else f"{100 * value:+.1f}"


def _interval(one: Mapping[str, Any]) -> str:
    return "-" if one["interval"] is None else f"{points(one['interval'][0])} to {points(one['interval'][1])}"


def _arms(found: Mapping[str, Any]) -> str:
    lines = [
        "| K | scheme | gen 0 | 1 | 2 | 3 | 4 | 5 | majority | pass@N | distinct | effective ancestors |",
        "|" + "---|" * 12,
    ]
    for one in found["arms"]:
        curve = " | ".join(f"{value:.3f}" for value in one["by generation"])
        lines.append(
            f"| {one['K']} | {one['scheme']} | {curve} | {one['majority']:.3f} | {one['pass@N']:.3f} "
            f"| {one['distinct']:.2f} | {one['ancestors']:.1f} |"
        )
    return "\n".join(lines)


def _exploratory(parts: Mapping[str, list[Mapping[str, Any]]]) -> str:
    lines = [
        "pass@1 by part, to explore: difference to uniform in points, 95 % without any correction",
        "",
        f"| K | scheme | {' | '.join(parts)} |",
        "|" + "---|" * (2 + len(parts)),
    ]
    for column in zip(*parts.values(), strict=True):
        cells = " | ".join(f"{points(one['difference'])} ({_interval(one)})" for one in column)
        lines.append(f"| {column[0]['K']} | {column[0]['scheme']} | {cells} |")
    return "\n".join(lines)


def _contrasts(rows: list[Mapping[str, Any]], outcome: str) -> str:
    lines = [
        f"{outcome}: difference to uniform in points",
        "",
        "| K | scheme | expected | difference | 95 % | p | p (Holm) | could be seen | with Holm | for 2 points |",
        "|" + "---|" * 10,
    ]
    for one in rows:
        adjusted = f"{one['p (Holm)']:.4f}" if "p (Holm)" in one else "-"
        strict = f"{100 * one['detectable (Holm)']:.1f}" if one.get("detectable (Holm)") else "-"
        could = f"{100 * one['detectable']:.1f}" if one["detectable"] else "-"
        needed = f"{one['problems for 2 points']:,}" if one["problems for 2 points"] else "-"
        lines.append(
            f"| {one['K']} | {one['scheme']} | {EXPECTED[one['scheme']]} | {points(one['difference'])} "
            f"| {_interval(one)} | {one['p']:.4f} | {adjusted} | {could} | {strict} | {needed} |"
        )
    return "\n".join(lines)
