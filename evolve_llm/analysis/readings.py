"""Which reading the numbers of a run are by, and on how many answers another reading says otherwise.

A grader of programs runs each of them as a judge does and as the official grader does. Both verdicts are stored, one
counts, and a number is of no use to anybody who does not know which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evolve_llm.nouns.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Parting:
    """How one more reading differs from the one that counts, in distinct answers.

    ``answers``: those read in both ways. ``stricter``: right by the reading that counts alone; ``laxer``: right by
    the other alone.
    """

    other: str
    answers: int
    stricter: int
    laxer: int

    @property
    def parted(self) -> int:
        """On how many answers the two readings part."""
        return self.stricter + self.laxer


@dataclass(frozen=True, slots=True)
class CountedReading:
    """A reading that counts: its name (the grader's), the distinct answers it judged, and the other readings."""

    name: str
    answers: int
    others: tuple[Parting, ...]

    def sentence(self) -> str:
        """For the foot of a table."""
        said = f"verdicts are by the reading {self.name!r} ({self.answers:,} distinct answers)"
        for one in self.others:
            said += f"; {one.other!r} parts from it on {one.parted:,} of {one.answers:,}"
            if one.parted:
                said += (
                    f": {one.stricter:,} right by {self.name!r} alone, {one.laxer:,} by {one.other!r} alone"
                )
        return said


def readings(graded: Iterable[tuple[str | None, Verdict]]) -> tuple[CountedReading, ...]:
    """The readings that count among graded answers, by name.

    ``graded`` holds, for each distinct answer of a problem, the name of the problem's grader and the verdict.
    Verdicts that name no reading, or none of their grader's name, are passed over.
    """
    counts: dict[str, Counter[tuple[str, str]]] = {}
    totals: Counter[str] = Counter()
    for grader, verdict in graded:
        found = verdict.readings
        if grader is None or grader not in found:
            continue
        totals[grader] += 1
        kinds = counts.setdefault(grader, Counter())
        for other, passed in found.items():
            if other != grader:
                kinds[other, "both"] += 1
                kinds[other, "stricter"] += found[grader] and not passed
                kinds[other, "laxer"] += passed and not found[grader]
    return tuple(
        CountedReading(
            name,
            totals[name],
            tuple(
                Parting(other, kinds[other, "both"], kinds[other, "stricter"], kinds[other, "laxer"])
                for other in sorted({other for other, _ in kinds})
            ),
        )
        for name, kinds in sorted(counts.items())
    )
