"""Verdict: a grade against the reference. Measured, never fed back unless the fitness is the checker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_READING = re.compile(r"([a-z][a-z0-9_]*)=([a-z-]+)")


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

    A grader that reads an answer in several ways says what each came to, ``pass`` or how it failed:
    ``script=pass,lcb=exception``. The reading that counts bears the grader's name.
    """

    grade: Grade
    rule: str
    score: float | None = None
    detail: str = ""

    @property
    def correct(self) -> bool:
        """Whether the grade is ``correct``."""
        return self.grade is Grade.CORRECT

    @property
    def readings(self) -> dict[str, bool]:
        """Whether the answer passed, by the name of each reading; empty where the rule names none."""
        parts = self.rule.split(",") if "=" in self.rule else []
        found = [_READING.fullmatch(part) for part in parts]
        return {one[1]: one[2] == "pass" for one in found if one is not None}
