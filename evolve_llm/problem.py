"""Problem: one question, with what is needed to grade it, if anything is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One question of a problem set.

    ``id`` is unique in its set and stable between runs: seeds are derived from it.
    ``format`` names how an answer is written (``boxed``, ``tags``, ``option``, ``code``, ``text`` or
    a plug-in's own): it picks the prompt templates and how the final answer is taken out of a chain.
    ``grader`` names who grades (``math``, ``option``, ``exact``, ``reasoning_gym`` or a plug-in's own);
    ``reference`` is whatever JSON value that grader needs. Either may be None: then nothing is graded.
    ``metadata`` is free, JSON-serialisable, and may be shown to operators: no reference belongs in it.
    """

    id: str
    question: str
    format: str = "text"
    grader: str | None = None
    reference: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def public(self) -> Problem:
        """The same problem without its reference: the only form an operator ever sees (invariant I3)."""
        return replace(self, reference=None)
