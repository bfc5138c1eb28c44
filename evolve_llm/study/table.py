"""What came of a study, beside what was expected. Everything is read from its folder."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from evolve_llm.analysis.compare import compare
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import detectable_difference, holm
from evolve_llm.record.store import Store
from evolve_llm.study.run import paid_for, run_folder
from evolve_llm.study.spec import Arm, Study

ALPHA = 0.05


def results(study: Study, folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """The contrasts of a finished study as plain data.

    ``contrasts``: a row for each arm against its baseline with pass@1 at the end, the paired difference with its 95 %
    interval over problems, p after Holm over all arms that are no null arms (``p_holm``, None for those), what 80 %
    of such studies would have seen at Holm's first step (``detectable``), what was expected, and whether the arm was
    ``added`` after results existed. ``saved``: requests and tokens that the runs hold and the model was not paid for.
    Raises UserError where a run is missing or unfinished.
    """
    runs = {arm.name: [Run(run_folder(folder, arm, seed)) for seed in study.seeds] for arm in study.arms}
    grouped: dict[str, list[Arm]] = defaultdict(list)
    for base, arm in study.contrasts():
        grouped[base.name].append(arm)
    first = next((one for one in plan["history"] if one["results"]), None)
    known = set(plan["history"][0]["arms"]) if first else set(plan["arms"])
    for one in plan["history"]:
        if not one["results"]:
            known = set(one["arms"])
    rows: list[dict[str, Any]] = []
    for name, arms in grouped.items():
        found = compare([runs[name], *(runs[arm.name] for arm in arms)])
        for arm, contrast in zip(arms, found.contrasts, strict=True):
            row = next(one for one in contrast.rows if one.metric == "pass@1" and one.moment == "end")
            got = row.estimate
            alpha = ALPHA if arm.null else ALPHA / max(1, plan["tests"])
            rows.append({
                "arm": arm.name, "against": name, "expected": arm.expect, "null": arm.null,
                "added": arm.name not in known,
                "baseline": got.baseline if got else None, "value": got.value if got else None,
                "difference": got.difference if got else None, "interval": got.interval if got else None,
                "p": got.p if got else None, "p_holm": None,
                "detectable": detectable_difference(got.spread, got.problems, alpha=alpha) if got else None,
            })  # fmt: skip
    family = [one for one in rows if not one["null"] and one["p"] is not None]
    for one, p in zip(family, holm([one["p"] for one in family]), strict=True):
        one["p_holm"] = p
    held_requests = held = 0
    for run in (one for each in runs.values() for one in each):
        with Store.open_to_read(run.path) as store:
            held_requests += sum(row[2] for row in store.tokens())
            held += store.spent()
    requests, tokens = paid_for(folder)
    return {
        "name": study.name,
        "problems": plan["problems"]["count"],
        "seeds": list(study.seeds),
        "contrasts": rows,
        "paid": {"requests": requests, "tokens": tokens},
        "saved": {"requests": held_requests - requests, "tokens": held - tokens},
        "correction": _correction(plan),
    }


def _correction(plan: dict[str, Any]) -> list[str]:
    """What each change of the plan after results did to Holm's correction."""
    lines, before = [], plan["history"][0]
    for one in plan["history"][1:]:
        if one["results"]:
            said = []
            if more := [name for name in one["arms"] if name not in before["arms"]]:
                said.append(
                    f"arms {', '.join(more)} were added after results: Holm's first step went from "
                    f"{ALPHA / max(1, before['tests']):.4f} to {ALPHA / max(1, one['tests']):.4f}"
                )
            if seeds := sorted(set(one["seeds"]) - set(before["seeds"])):
                said.append(
                    f"seeds {', '.join(map(str, seeds))} were added after results: a p-value looked at before "
                    "and after is two looks, and Holm does not pay for the second"
                )
            lines += said
        before = one
    return lines


def came(row: dict[str, Any]) -> str:
    """``+`` or ``-`` where a difference was shown, else ``not shown``, with what could have been."""
    p = row["p"] if row["null"] else row["p_holm"]
    if p is not None and p < ALPHA and row["difference"]:
        return "+" if row["difference"] > 0 else "-"
    seen = row["detectable"]
    return "not shown" + ("" if seen is None or math.isnan(seen) else f" (80 %: {100 * seen:.1f} points)")
