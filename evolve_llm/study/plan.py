"""The plan of a study: on disk before anything is asked, and held against every later change of its file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evolve_llm.analysis.power import PARTED, detectable_with_answers
from evolve_llm.analysis.stats import detectable_difference
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.nouns.problem import Problem, problems_digest
from evolve_llm.session.estimate import Estimate
from evolve_llm.study.places import PILOT, PLAN
from evolve_llm.study.replay import source_of
from evolve_llm.study.spec import Study, Where

ALPHA = 0.05
_FIXED = ("places", "stopping")


def plan_of(
    study: Study,
    problems: Mapping[Where, Sequence[Problem]],
    identities: Mapping[Where, str],
    costs: Mapping[tuple[Where, str], Estimate],
    pilot: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The plan as plain data, without its history.

    ``at_most`` bounds the whole study before anything is shared. ``spread`` and the ``detectable`` difference (80 %
    power at Holm's first step) are the pilot's, where there is one, by arm; else as stated, else those of two single
    answers a problem; ``detectable`` is None where so few problems find nothing with that power. ``hours`` is foretold
    by a pilot alone. Raises UserError for a budget that may not pay for one seed.
    """
    arms: dict[str, Any] = {}
    for arm in study.arms:
        found = [costs[where, arm.name] for where in study.places]
        source = source_of(arm, study.arms[: study.arms.index(arm)])
        arms[arm.name] = {
            **arm.plain(),
            "requests": sum(one.requests for one in found),
            "tokens": sum(one.prompt_tokens + one.completion_tokens for one in found),
            "replayed_from": None if source is None else source.name,
        }
    asked = [one for one in arms.values() if one["replayed_from"] is None]
    tokens = sum(one["tokens"] for one in asked)
    if study.budget_tokens is not None and study.budget_tokens < tokens:
        raise UserError(
            f"the budget of {study.budget_tokens:,} tokens may not pay for one seed, which takes at most {tokens:,}; "
            "raise budget_tokens, or take fewer arms or problems"
        )
    seeds = len(study.seeds)
    count = min(len(each) for each in problems.values())
    plan = {
        "format": 1,
        "name": study.name,
        "places": [
            {"problems": one.problems, "model": identities[one], "count": len(problems[one]),
             "digest": problems_digest(problems[one])}
            for one in study.places
        ],
        "seeds": list(study.seeds),
        "arms": arms,
        "quoted": [str(one) for one in study.quoted],
        "correction": study.correction,
        "stopping": None if study.stopping is None else {
            "look": study.stopping.look, "halving": study.stopping.halving, "looks": study.stopping.looks(count)},
        "tests": study.tests,
        "at_most": {
            "runs": len(arms) * seeds * len(study.places),
            "requests": sum(one["requests"] for one in asked) * seeds,
            "tokens": tokens * seeds,
        },
        **_foreseen(study, pilot, count),
    }  # fmt: skip
    return dict(json.loads(json.dumps(plan)))


def _foreseen(study: Study, pilot: Mapping[str, Any] | None, count: int) -> dict[str, Any]:
    alpha = ALPHA / max(1, study.tests) if study.correction == "holm" else ALPHA
    spreads = {} if pilot is None else dict(pilot["spreads"])
    known = [one for one in spreads.values() if one]
    if known:
        spread, source = max(known), f"pilot on {pilot['problems']} problems" if pilot else ""
        seen = detectable_difference(spread, count, alpha=alpha)
    elif study.spread is not None:
        spread, source = study.spread, "stated"
        seen = detectable_difference(spread, count, alpha=alpha)
    else:
        spread, source = math.sqrt(PARTED), "two single answers a problem, as on SuperGPQA"
        seen = detectable_with_answers(count, alpha=alpha)
    foreseen: dict[str, Any] = {
        "spread": spread,
        "spread_from": source,
        "detectable": seen,
        "detectable_by_arm": {
            name: detectable_difference(one, count, alpha=alpha) for name, one in spreads.items() if one
        },
        "hours": None,
        "expected_tokens": None,
    }
    if pilot is not None and pilot["seconds"] and pilot["tokens"]:
        larger = (count * len(study.seeds) * len(study.places)) / (
            pilot["problems"] * len(pilot["seeds"]) * pilot["places"]
        )
        foreseen["expected_tokens"] = round(pilot["tokens"] * larger)
        foreseen["hours"] = round(pilot["seconds"] * larger / 3600, 3)
    return foreseen


def with_history(old: Mapping[str, Any] | None, fresh: dict[str, Any], results: int) -> dict[str, Any]:
    """The new plan with the history of the old one. Raises UserError for a change that results forbid."""
    text = json.dumps(fresh, sort_keys=True)
    now = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "results": results,
        **{key: fresh[key] for key in ("tests", "seeds", "quoted", "correction")},
        "arms": list(fresh["arms"]),
    }
    if old is None:
        return {**fresh, "history": [now]}
    if old["name"] != fresh["name"]:
        raise UserError(
            f"the folder holds the study {old['name']!r}, not {fresh['name']!r}; give another --out"
        )
    if results:
        _require_unchanged(old, fresh)
    if old["history"][-1]["hash"] == now["hash"]:
        return {**fresh, "history": old["history"]}
    return {**fresh, "history": [*old["history"], now]}


def _require_unchanged(old: Mapping[str, Any], fresh: Mapping[str, Any]) -> None:
    for key in _FIXED:
        if old[key] != fresh[key]:
            raise UserError(
                f"the {'problems or the model' if key == 'places' else key} of the study changed after results exist: "
                f"{old[key]} → {fresh[key]}; give another --out"
            )
    for name, arm in old["arms"].items():
        if name not in fresh["arms"]:
            raise UserError(f"arm {name!r} has results and is gone from the study file; put it back")
        if any(fresh["arms"][name][key] != arm[key] for key in ("preset", "expect", "null")):
            raise UserError(
                f"arm {name!r} changed after results exist; give the changed arm another name, or another --out"
            )
    if lost := sorted(set(old["seeds"]) - set(fresh["seeds"])):
        raise UserError(f"the seeds {lost} have results and are gone from the study file; put them back")
    if fresh["stopping"] is not None and old["seeds"] != fresh["seeds"]:
        raise UserError(
            "a study that stops early decided with the seeds it has: seeds cannot be added; give another --out"
        )


def read_plan(folder: Path) -> dict[str, Any] | None:
    """The plan in a study's folder, None where there is none. Raises StoreError where it cannot be read."""
    if not (folder / PLAN).is_file():
        return None
    try:
        data: dict[str, Any] = json.loads((folder / PLAN).read_text("utf-8"))
        assert data["format"] == 1
        assert data["history"]
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise StoreError(f"{folder / PLAN} cannot be read: {error}") from error
    return data


def read_pilot(folder: Path) -> dict[str, Any] | None:
    """What a pilot in the study's folder measured, None where there was none. Raises StoreError for a damaged file."""
    path = folder / PILOT / "pilot.json"
    if not path.is_file():
        return None
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        assert {"problems", "places", "seeds", "spreads", "tokens", "seconds"} <= set(data)
    except (OSError, ValueError, AssertionError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    return data


def added_later(plan: Mapping[str, Any]) -> set[str]:
    """The arms that came into the plan after results existed."""
    first = set(plan["history"][0]["arms"])
    for one in plan["history"]:
        if not one["results"]:
            first = set(one["arms"])
    return set(plan["arms"]) - first


def correction_lines(plan: Mapping[str, Any]) -> list[str]:
    """What each change of the plan after results did to the correction."""
    lines, before = [], plan["history"][0]
    for one in plan["history"][1:]:
        if one["results"]:
            if more := [name for name in one["arms"] if name not in before["arms"]]:
                lines.append(
                    f"arms {', '.join(more)} were added after results: Holm's first step went from "
                    f"{ALPHA / max(1, before['tests']):.4f} to {ALPHA / max(1, one['tests']):.4f}"
                )
            if seeds := sorted(set(one["seeds"]) - set(before["seeds"])):
                lines.append(
                    f"seeds {', '.join(map(str, seeds))} were added after results: a p-value looked at before "
                    "and after is two looks, and Holm does not pay for the second"
                )
            if one["quoted"] != before["quoted"]:
                lines.append(
                    f"what is quoted changed after results: {', '.join(before['quoted'])} → {', '.join(one['quoted'])}"
                )
            if one["correction"] != before["correction"]:
                lines.append(
                    f"the correction changed after results: {before['correction']} → {one['correction']}"
                )
        before = one
    return lines
