"""What the page that compares runs asks for: the table of ``compare``, and where problems changed sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evolve_llm.analysis.compare import compare
from evolve_llm.analysis.run import Run
from evolve_llm.nouns.errors import UserError
from evolve_llm.record.paging import PagedReader

MOST = 8
"""Runs that are compared with the first one on a page."""

CHANGED = 200
"""Problems that changed sides, as many as are listed of each run."""

_Ends = dict[str, dict[str, Any]]


def comparison(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Each run against the first one, over the problems that all have finished.

    Raises UserError for fewer than two runs, for too many, and for what ``compare`` refuses.
    """
    if not 2 <= len(runs) <= MOST + 1:
        raise UserError(
            f"a comparison is of two to {MOST + 1} runs, the first being the baseline, not of {len(runs)}"
        )
    try:
        found = compare(
            [Run(path) for path in runs.values()],
            partial=True,
            allow_different_models=True,
            allow_different_seeds=True,
        )
    except UserError as error:
        raise UserError(_named(str(error), runs)) from error
    first, *others = runs
    ends = {name: _ends(path) for name, path in runs.items()}
    pairs = [{"run": name, **_pair(ends[first], ends[name])} for name in others]
    return {
        "runs": list(runs),
        "problems": found.problems,
        "notes": [_named(note, runs) for note in found.notes],
        "contrasts": [
            {"rows": [asdict(row) for row in one.rows], "changed": one.changed, "notes": one.notes}
            for one in found.contrasts
        ],
        "pairs": pairs,
    }


def _named(text: str, runs: Mapping[str, Path]) -> str:
    """Runs by the names the pages call them: where they lie is nobody's business who reads a report."""
    for name, path in sorted(runs.items(), key=lambda one: -len(str(one[1]))):
        text = text.replace(str(path), name)
    return text


def _ends(path: Path) -> _Ends:
    with PagedReader(path) as reader:
        return {one["id"]: one for one in reader.ends()}


def _pair(first: _Ends, other: _Ends) -> dict[str, Any]:
    both = [(first[name], other[name]) for name in first if name in other]
    points = Counter(
        (a["correct"] / a["graded"], b["correct"] / b["graded"])
        for a, b in both
        if a["graded"] and b["graded"]
    )
    changed = [(a, b) for a, b in both if {a["grade"], b["grade"]} == {"correct", "incorrect"}]
    return {
        "points": [[*where, count] for where, count in sorted(points.items())],
        "gained": sum(b["grade"] == "correct" for _, b in changed),
        "lost": sum(a["grade"] == "correct" for a, _ in changed),
        "changed": [
            {"id": a["id"], "places": [a["place"], b["place"]], "grades": [a["grade"], b["grade"]]}
            for a, b in changed[:CHANGED]
        ],
    }
