"""Where a completion belongs, and what is known of it: the key and the values of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from evolve_llm.nouns.request import Completion


class Address(NamedTuple):
    """Where a completion belongs within its problem."""

    generation: int
    slot: int
    purpose: str
    call: int


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
