"""The suite catches what is broken: a mutant of every kind here, all of them in experiments/contract_mutants."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutant_suite import suite

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = suite.MUTANTS
NAMES = {one.name: one for one in MUTANTS}
REDUCED = {
    "one_too_many": "gives different members in the sizes asked for",
    "favours_the_first": "favours no place",
    "by_the_set": "chooses the same in every process",
    "drops_a_parent": "shows every parent exactly and in order",
    "interprets": "shows every parent exactly and in order",
    "peeks": "never sees the reference",
    "keeps_the_failed": "never prefers the failed",
    "forgets_the_elite": "never loses an elite",
    "votes_on_texts": "compares answers by class",
    "stops_by_chance": "is a function of its arguments",
    "forgets_to_normalise": "gives a probability for each operator",
    "tells_in_metadata": "keeps the reference out of sight",
    "lenient": "a wrong answer is not",
    "counts_nothing": "a life",
}


@pytest.mark.parametrize("name", REDUCED)
def test_a_mutant_is_caught_by_the_property_that_is_meant_for_it(name: str) -> None:
    assert REDUCED[name] in suite.caught_by(suite.examined(NAMES[name]))


def test_there_are_enough_of_them_and_the_page_lists_each() -> None:
    assert len(MUTANTS) >= 25
    assert {NAMES[name].kind for name in REDUCED} == {one.kind for one in MUTANTS}
    page = (ROOT / "docs" / "testing.md").read_text("utf-8")
    for one in MUTANTS:
        row = next(
            (line for line in page.splitlines() if line.startswith(f"| {one.kind} | {one.fault} |")), None
        )
        assert row is not None, (
            f"docs/testing.md lacks {one.name!r}: run experiments/contract_mutants/run.py --docs"
        )
        assert "nothing" not in row.rpartition("| ")[0].rpartition("| ")[2]


def test_the_table_says_so_where_nothing_caught_it() -> None:
    assert "**nothing**" in suite.table([{"kind": "select", "fault": "x", "caught_by": []}])
