"""Verdict: a grade against the reference. Measured, never fed back unless the fitness is the checker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """The three grades. An infrastructure failure is ``UNGRADED``, never ``INCORRECT``."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNGRADED = "ungraded"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grade and the rule that gave it.

    ``rule`` is a short stable name such as ``exact-text``, ``exact-rational``, ``math-verify``,
    ``no-answer``, ``no-reference``, ``deadline``. ``score`` is partial credit in [0, 1] where the
    problem set defines one (Reasoning Gym); only a score of 1.0 is ``correct``.
    """

    grade: Grade
    rule: str
    score: float | None = None
    detail: str = ""

    @property
    def correct(self) -> bool:
        """Whether the grade is ``correct``."""
        return self.grade is Grade.CORRECT
