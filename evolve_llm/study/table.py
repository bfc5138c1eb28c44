"""What came of a study, beside what was expected. Everything is read from its folder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm.analysis.compare import Contrast, Difference, compare
from evolve_llm.analysis.run import Run
from evolve_llm.analysis.stats import detectable_difference, holm
from evolve_llm.record.store import Store
from evolve_llm.study.places import run_folder
from evolve_llm.study.plan import ALPHA, added_later, correction_lines
from evolve_llm.study.run import paid_for, values_of
from evolve_llm.study.spec import Arm, Quoted, Study, Where
from evolve_llm.study.stopping import End, ends, level

Row = dict[str, Any]


def results(study: Study, folder: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The contrasts of a finished study as plain data.

    ``contrasts``: a row for each arm against its baseline, place and quoted number, with the paired difference, its
    95 % interval over problems, ``p``, the p-value after Holm over all that is quoted of arms that are no null arms
    (``p_holm``, None for those and where nothing is corrected), the ``spread`` over problems, what 80 % of such
    studies would have seen at Holm's first step (``detectable``), what was expected, whether the arm was ``added``
    after results existed and from which arm it was ``replayed``. In a study that stops early the number it looks at
    has the anytime-valid interval at the study's own level instead, no p-value, and ``problems`` and ``why`` it ended;
    other numbers keep an ordinary interval, which ``peeked`` says is not one. ``saved``: requests and tokens that the
    runs hold and the model was not paid for, by sharing and by replay, and those that ending early spared. Raises
    UserError where a run is missing or unfinished.
    """
    later = added_later(plan)
    rows: list[Row] = []
    ended: dict[Where, dict[str, End]] = {}
    for where in study.places:
        ended[where] = _ended(study, where, folder, plan)
        rows += _rows(study, where, folder, plan, ended[where], later)
    family = [one for one in rows if not one["null"] and one["p"] is not None]
    if study.correction == "holm":
        for one, p in zip(family, holm([one["p"] for one in family]), strict=True):
            one["p_holm"] = p
    requests, tokens = paid_for(folder)
    held = _held(study, folder)
    asked = sum(one[0] for one in held.values())
    replays = [one for name, one in held.items() if plan["arms"][name]["replayed_from"] is not None]
    return {
        "name": study.name,
        "places": plan["places"],
        "seeds": list(study.seeds),
        "quoted": [str(one) for one in study.quoted],
        "contrasts": rows,
        "paid": {"requests": requests, "tokens": tokens},
        "saved": {"requests": asked - requests, "tokens": sum(one[1] for one in held.values()) - tokens},
        "replayed": {"requests": sum(one[0] for one in replays), "tokens": sum(one[1] for one in replays)},
        "spared": _spared(study, plan, ended),
        "correction": correction_lines(plan),
    }


def _ended(study: Study, where: Where, folder: Path, plan: Mapping[str, Any]) -> dict[str, End]:
    if study.stopping is None:
        return {}
    count = _count(study, where, plan)
    values = {arm.name: values_of(study, where, arm, folder, count) for arm in study.arms}
    return ends(study, values, count, count)


def _count(study: Study, where: Where, plan: Mapping[str, Any]) -> int:
    return int(plan["places"][study.places.index(where)]["count"])


def _rows(
    study: Study,
    where: Where,
    folder: Path,
    plan: Mapping[str, Any],
    ended: Mapping[str, End],
    later: set[str],
) -> list[Row]:
    runs = {
        arm.name: [Run(run_folder(folder, where, arm, seed)) for seed in study.seeds] for arm in study.arms
    }
    grouped: dict[str, list[Arm]] = defaultdict(list)
    for base, arm in study.contrasts():
        grouped[base.name].append(arm)
    found: list[Row] = []
    for name, arms in grouped.items():
        for arm, contrast in zip(arms, _contrasts(runs, name, arms, stopped=bool(ended)), strict=True):
            for quoted in study.quoted:
                row = _row(study, where, name, arm, quoted, _quoted(contrast, quoted))
                row["added"] = arm.name in later
                row["replayed"] = plan["arms"][arm.name]["replayed_from"]
                if arm.name in ended:
                    _sequential(study, row, ended[arm.name], quoted)
                found.append(row)
    return found


def _contrasts(
    runs: Mapping[str, Sequence[Run]], base: str, arms: Sequence[Arm], *, stopped: bool
) -> Sequence[Contrast]:
    """Each arm against the baseline, on the problems that both have run."""
    if not stopped:
        return compare([runs[base], *(runs[arm.name] for arm in arms)]).contrasts
    return [compare([runs[base], runs[arm.name]], partial=True).contrasts[0] for arm in arms]


def _quoted(contrast: Contrast, quoted: Quoted) -> tuple[Difference | None, tuple[int, int] | None]:
    for row in contrast.rows:
        if row.metric != quoted.metric:
            continue
        of_generation = row.moment == "generation" and row.generations == (quoted.moment, quoted.moment)
        if row.moment == quoted.moment or of_generation:
            return row.estimate, row.tokens
    return None, None


def _row(
    study: Study, where: Where, base: str, arm: Arm, quoted: Quoted,
    found: tuple[Difference | None, tuple[int, int] | None],
) -> Row:  # fmt: skip
    got, tokens = found
    corrected = study.correction == "holm" and not arm.null
    alpha = ALPHA / max(1, study.tests) if corrected else ALPHA
    return {
        "where": where.name, "arm": arm.name, "against": base, "quoted": str(quoted),
        "expected": arm.expect, "null": arm.null,
        "baseline": got.baseline if got else None, "value": got.value if got else None,
        "difference": got.difference if got else None, "interval": got.interval if got else None,
        "tokens": tokens, "problems": got.problems if got else 0, "spread": got.spread if got else None,
        "p": got.p if got else None, "p_holm": None, "why": None, "peeked": False,
        "detectable": detectable_difference(got.spread, got.problems, alpha=alpha) if got else None,
    }  # fmt: skip


def _sequential(study: Study, row: Row, end: End, quoted: Quoted) -> None:
    row["why"], row["p"] = end.why, None
    if quoted == study.quoted[0]:
        row["interval"], row["problems"] = end.interval, end.problems
        row["level"] = ALPHA if row["null"] else level(study)
    else:
        row["peeked"] = True


def _held(study: Study, folder: Path) -> dict[str, tuple[int, int]]:
    """Requests and tokens that the runs of each arm hold, shared ones in each."""
    found: dict[str, tuple[int, int]] = {}
    for arm in study.arms:
        requests = tokens = 0
        for where in study.places:
            for seed in study.seeds:
                with Store.open_to_read(run_folder(folder, where, arm, seed)) as store:
                    requests += sum(row[2] for row in store.tokens())
                    tokens += store.spent()
        found[arm.name] = (requests, tokens)
    return found


def _spared(
    study: Study, plan: Mapping[str, Any], ended: Mapping[Where, Mapping[str, End]]
) -> dict[str, int]:
    """Problems of arms, over all seeds, that did not have to be run."""
    spared = sum(
        (_count(study, where, plan) - end.problems) * len(study.seeds)
        for where, each in ended.items()
        for end in each.values()
    )
    return {"problems": spared}


def came(row: Mapping[str, Any]) -> str:
    """``+`` or ``-`` where a difference was shown, else ``not shown``, with what could have been."""
    if row["why"] is not None and not row["peeked"]:
        low, high = row["interval"] or (0, 0)
        shown = low > 0 or high < 0
    else:
        p = row["p_holm"] if row["p_holm"] is not None else row["p"]
        shown = p is not None and p < ALPHA
    if shown and row["difference"]:
        return "+" if row["difference"] > 0 else "-"
    seen = row["detectable"]
    if row["peeked"]:
        return "not tested"
    if row["why"] == "halving":
        return f"ended at {row['problems']} problems"
    return "not shown" + ("" if seen is None or math.isnan(seen) else f" (80 %: {100 * seen:.1f} points)")


def as_expected(row: Mapping[str, Any]) -> str:
    """Whether it came as expected: ``yes``, ``no``, ``open`` where nothing was shown, empty where nothing was said."""
    if row["expected"] == "?":
        return ""
    result = came(row)
    if result in ("+", "-"):
        return "yes" if result == row["expected"] else "no"
    return "open"
