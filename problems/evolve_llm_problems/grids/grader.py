"""The grader of grids: all cells right or not correct; the share of right cells is the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm.grading.normalize import spaced
from evolve_llm_problems.grids.reading import LARGEST, Rows, grids_in, written

_LONGEST = 100_000  # characters; 30 by 30 cells are a few thousand however they are written


def fault(rows: Any) -> str | None:
    """What keeps rows from being a grid of at most 30 by 30 colours, each 0 to 9; None where nothing does."""
    if (
        not isinstance(rows, list | tuple)
        or not rows
        or not all(isinstance(row, list | tuple) for row in rows)
    ):
        return "it is not a list of rows"
    if len({len(row) for row in rows}) > 1:
        return f"its rows are of different lengths ({', '.join(str(len(row)) for row in rows[:6])})"
    if not rows[0]:
        return "its rows are empty"
    if len(rows) > LARGEST or len(rows[0]) > LARGEST:
        return f"it has {len(rows)} by {len(rows[0])} cells; the most are {LARGEST} by {LARGEST}"
    wrong = [cell for row in rows for cell in row if type(cell) is not int or not 0 <= cell <= 9]
    return f"it holds {wrong[0]!r:.40}, which is no colour from 0 to 9" if wrong else None


@dataclass(frozen=True)
class GridGrader:
    """Correct when the grid is the reference, cell for cell.

    The score is the share of cells that are right, and 0 where the shape is wrong. ARC itself counts only whole
    grids (arXiv 1911.01547, section III).
    """

    name: str = "grid"

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """Cells are compared, never executed."""
        return "worker"

    def quick(self, answer: str, reference: Any) -> Verdict:
        """Always settled here.

        Rules ``grid``, ``grid-shape``, ``not-a-grid``, ``ragged-grid``, ``grid-too-large``; ``bad-reference`` is
        ungraded.
        """
        bad = fault(reference)
        if bad is not None:
            return Verdict(Grade.UNGRADED, "bad-reference", detail=bad)
        rows = _read(answer)
        if rows is None:
            return Verdict(Grade.INCORRECT, "not-a-grid", 0.0)
        wrong = fault(rows)
        if wrong is not None:
            even = len({len(row) for row in rows}) == 1
            return Verdict(Grade.INCORRECT, "grid-too-large" if even else "ragged-grid", 0.0, wrong)
        if (len(rows), len(rows[0])) != (len(reference), len(reference[0])):
            shapes = f"{len(rows)} by {len(rows[0])}, not {len(reference)} by {len(reference[0])}"
            return Verdict(Grade.INCORRECT, "grid-shape", 0.0, shapes)
        pairs = [
            (a, b)
            for row, other in zip(rows, reference, strict=True)
            for a, b in zip(row, other, strict=True)
        ]
        same = sum(a == b for a, b in pairs)
        grade = Grade.CORRECT if same == len(pairs) else Grade.INCORRECT
        return Verdict(grade, "grid", same / len(pairs), "" if grade is Grade.CORRECT else
                       f"{len(pairs) - same} of {len(pairs)} cells differ")  # fmt: skip

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The same as `quick`."""
        return self.quick(answer, reference)

    def quick_canonical(self, answer: str) -> str:
        """Rows of digits, or the text where it holds no grid."""
        rows = _read(answer)
        return written(rows) if rows is not None else spaced(answer)

    def canonical(self, answer: str) -> str:
        """The same as `quick_canonical`."""
        return self.quick_canonical(answer)


def _read(answer: str) -> Rows | None:
    found = grids_in(answer) if len(answer) <= _LONGEST else []
    return found[-1].rows if found else None


grader = GridGrader()
