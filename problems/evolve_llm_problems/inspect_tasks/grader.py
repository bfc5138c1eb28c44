"""The grader ``inspect``: a task's own scorer, in a process that is killed at its deadline."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm.grading.normalize import folded
from evolve_llm_problems.inspect_tasks.replay import Replay, ReplayError

_STATED = re.compile(r"ANSWER\s*:[ \t]*(\S.*)", re.IGNORECASE)
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


class InspectGrader:
    """Replays an answer as a completion. Two whole chains agree when they state one answer, ``ANSWER: ...``."""

    name = "inspect"

    def isolation(self, reference: Any) -> Isolation:  # noqa: ARG002 - the contract's signature
        """A killable process: the scorer is the task author's code, as trusted as their task."""
        return "worker"

    def deadline(self, reference: Any) -> float:
        """Seconds for one answer: longer where a model is asked for the verdict."""
        return 180.0 if isinstance(reference, Mapping) and reference.get("judge") else 30.0

    def warm(self, reference: Any) -> None:
        """Load the task, and have Inspect score once: its first time in a process takes seconds."""
        if not isinstance(reference, Mapping) or "task" not in reference:
            return  # grade says so
        replay = _replay(*_where(reference))
        if not replay.warmed:
            replay.warmed = True
            try:
                replay.score(str(reference.get("sample")), "", scorer=reference.get("scorer"))
            except ReplayError:
                return  # an empty reply need not be one that the scorer understands

    def quick(self, answer: str, reference: Any) -> Verdict | None:  # noqa: ARG002 - the contract's signature
        """Never: only the task's scorer knows."""
        return None

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The verdict of the task's scorer, its name as the rule; ``ungraded`` where it fails or scores no share."""
        if not isinstance(reference, Mapping) or "task" not in reference:
            return Verdict(Grade.UNGRADED, "bad-reference", detail="the reference names no Inspect task")
        name = str(reference.get("scorer"))
        text = str(reference.get("completion") or "{answer}").replace("{answer}", answer, 1)
        replay = _replay(*_where(reference))
        if replay.has_choices(str(reference.get("sample"))) and re.fullmatch(r"\s*\(?[A-Za-z]\)?\s*", answer):
            text = f"ANSWER: {answer.strip(' ()').upper()}"
        try:
            score = replay.score(
                str(reference.get("sample")), text, scorer=name, judge=reference.get("judge")
            )
        except ReplayError as error:
            return Verdict(Grade.UNGRADED, "scorer-failed", detail=str(error)[:400])
        return verdict(score, name, reference.get("score"))

    def quick_canonical(self, answer: str) -> str | None:
        """What the last ``ANSWER:`` line states, else the text, without regard to case and white space."""
        stated = _STATED.findall(answer)
        return folded(stated[-1] if stated else answer)

    def canonical(self, answer: str) -> str:
        """As ``quick_canonical``, which always knows."""
        return self.quick_canonical(answer) or ""


def verdict(score: Any, rule: str, key: str | None) -> Verdict:
    """A verdict from Inspect's ``Score``: C, P, I, N, a truth value, or a number from 0 to 1.

    ``key`` picks an entry of a score that is a mapping. Anything else is ``ungraded``: ``score-unclear``.
    """
    value = score.value
    if isinstance(value, Mapping) and key is not None:
        value = value.get(key)
    if isinstance(value, str):
        value = _LETTERS.get(value, value)
    if isinstance(value, bool):
        value = float(value)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        told = f"{value!r}"[:120]
        hint = (
            "; choose an entry with ?score=NAME" if isinstance(score.value, Mapping) and key is None else ""
        )
        return Verdict(Grade.UNGRADED, "score-unclear", detail=f"the scorer gave {told}{hint}")
    detail = str(score.explanation or "")[:200] if value < 1 else ""
    return Verdict(Grade.CORRECT if value == 1 else Grade.INCORRECT, rule, float(value), detail)


def _where(reference: Mapping[str, Any]) -> tuple[str, str]:
    return str(reference["task"]), json.dumps(reference.get("arguments") or {}, sort_keys=True)


@functools.lru_cache(maxsize=8)
def _replay(spec: str, arguments: str) -> Replay:
    return Replay(spec, json.loads(arguments))


grader = InspectGrader()
