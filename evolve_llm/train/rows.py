"""One row of a training set: a prompt, and what it takes to reward a reply to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Prompt

Kind = Literal["standard", "aggregation"]


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt of a problem. The other fields tell of the candidates in it, in their order: none for a standard one.

    ``generation`` is the one all candidates come from. ``prompt_tokens`` is None where nobody could count.
    """

    kind: Kind
    problem: Problem
    prompt: Prompt
    prompt_tokens: int | None = None
    generation: int | None = None
    parents: tuple[str, ...] = ()
    parents_right: tuple[bool, ...] = ()

    @property
    def characters(self) -> int:
        """The length of all messages."""
        return sum(len(message.content) for message in self.prompt.messages)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation as chat templates take it."""
        return [{"role": one.role, "content": one.content} for one in self.prompt.messages]

    def plain(self) -> dict[str, Any]:
        """As one line of JSON holds it. ``reference`` and ``metadata`` are JSON in a text: their type varies."""
        return {
            "prompt": self.messages,
            "kind": self.kind,
            "problem": self.problem.id,
            "question": self.problem.question,
            "format": self.problem.format,
            "grader": self.problem.grader,
            "reference": json.dumps(self.problem.reference, sort_keys=True),
            "metadata": json.dumps(dict(self.problem.metadata), sort_keys=True),
            "generation": self.generation,
            "parents": list(self.parents),
            "parents_right": list(self.parents_right),
            "prompt_tokens": self.prompt_tokens,
        }


def problem_of(row: dict[str, Any]) -> Problem:
    """The problem of a plain row, with its reference: what a reward is computed with."""
    return Problem(
        id=row["problem"],
        question=row["question"],
        format=row["format"],
        grader=row["grader"],
        reference=json.loads(row["reference"]),
        metadata=json.loads(row["metadata"]),
    )
