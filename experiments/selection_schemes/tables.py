"""The analysis as Markdown: what README.md and docs/selection_study.md show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemes import SCHEMES

EXPECTED = {one.name: one.direction for one in SCHEMES}


def markdown(found: Mapping[str, Any]) -> str:
    """Tables of arms, and of the two tested outcomes."""
    parts = [_arms(found)]
    parts += [_contrasts(found["contrasts"][outcome], outcome) for outcome in ("pass@1", "majority", "speed")]
    same, starts = found["unequal generations 0"]
    parts.append(f"Generation 0 differs between arms in {same} of {starts} (problem, seed).")
    return "\n\n".join(parts)


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
