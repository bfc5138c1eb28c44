"""``ask``: how a fitness operator reaches the model."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from evolve_llm.candidate import Candidate
from evolve_llm.request import Completion, Prompt


class Ask(Protocol):
    """Asks the model about one candidate.

    Calls about one candidate are numbered in the order they are made (so call ``ask`` in a fixed order and
    await the results together), and the number is part of the call's address: votes are independent of
    each other, reproducible, stored before the fitness is used, and counted as cost. Gives None where the
    request failed: a fitness must decide what a missing vote is worth.
    """

    def __call__(self, candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]: ...
