"""What became of a request: the values of the store."""

from __future__ import annotations

from dataclasses import dataclass

from evolve_llm.nouns.request import Completion


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that could not be answered, and why (a ``RequestError``'s reason and detail)."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A stored outcome with the digest of the prompt it answered."""

    prompt: str
    outcome: Completion | Failure
