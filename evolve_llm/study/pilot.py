"""A pilot: the same arms on a few other problems, for what cannot be known beforehand: the spread, and the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.study.places import PILOT, WORK
from evolve_llm.study.run import carry_out, paid_for, problems_of
from evolve_llm.study.spec import Study, Where
from evolve_llm.study.table import results


async def carry_out_pilot(
    study: Study, folder: Path, *, told: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Run every arm on the study's pilot problems in a folder of its own, and write down what that measured.

    ``spreads``: by arm, the standard deviation over problems of the paired difference in what is quoted (the largest
    where several numbers are); ``tokens`` paid and ``seconds`` taken, from which the plan foretells the study's. No
    difference is in it: a pilot is too small to find one, and its problems are not the study's. Raises UserError
    where the file names no pilot, or where a problem of the pilot is one of the study's.
    """
    if study.pilot is None:
        raise UserError('the study file names no pilot: add pilot = "SPEC", a set of other problems')
    models = dict.fromkeys(one.model for one in study.places)
    small = replace(
        study,
        places=tuple(Where(study.pilot, one) for one in models),
        stopping=None,
        limit=None,
        budget_tokens=None,
    )
    _require_others(study)
    plan = await carry_out(small, folder / PILOT, told=told)
    found = results(small, folder / PILOT, plan)
    spreads: dict[str, float] = {}
    for row in found["contrasts"]:
        if row["spread"] is not None:
            spreads[row["arm"]] = max(row["spread"], spreads.get(row["arm"], 0.0))
    data = {
        "problems": plan["places"][0]["count"],
        "places": len(small.places),
        "seeds": list(small.seeds),
        "spreads": spreads,
        "tokens": paid_for(folder / PILOT)[1],
        "seconds": round(sum(one["seconds"] for one in work_of(folder / PILOT)), 1),
    }
    write_whole(folder / PILOT / "pilot.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return data


def work_of(folder: Path) -> Iterable[dict[str, Any]]:
    """What each run asked the model for: a line for each time it was carried on."""
    path = folder / WORK
    if not path.is_file():
        return
    for line in path.read_text("utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the line that a kill cut short
            continue


def _require_others(study: Study) -> None:
    assert study.pilot is not None
    tried = {one.question for one in load_problems(study.pilot)}
    for where in study.places:
        if shared := sum(one.question in tried for one in problems_of(study, where)):
            raise UserError(
                f"{shared} problems of the pilot {study.pilot} are problems of the study ({where.problems}): what is "
                "learnt from a pilot may not be learnt from the study's own problems"
            )
