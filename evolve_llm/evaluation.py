"""``ask``: how a fitness operator reaches the model."""

from __future__ import annotations

from typing import Protocol

from evolve_llm.candidate import Candidate
from evolve_llm.request import Completion, Prompt


class Ask(Protocol):
    """Asks the model about one candidate.

    Each call has its own address, so votes are independent, reproducible, stored before the fitness is
    used, and counted as cost. ``call`` tells several calls about one candidate apart. Returns None where
    the request failed: a fitness must decide what a missing vote is worth.
    """

    async def __call__(self, candidate: Candidate, prompt: Prompt, *, call: int = 0) -> Completion | None: ...
