"""Calling fitness operators by hand, with a model that is a function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from evolve_llm import Candidate, Problem
from evolve_llm.nouns.request import Completion, Prompt

PROBLEM = Problem("p", "What is 2 + 2?", "boxed", "exact", "the-secret")
Model = Callable[[Candidate, int, Prompt], Completion | None]


class Asked:
    """An ``ask`` that answers with ``model(candidate, number of the call about it, prompt)``."""

    def __init__(self, model: Model | None = None) -> None:
        self.model = model
        self.prompts: list[tuple[str, Prompt]] = []

    def __call__(self, candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]:
        number = sum(uid == candidate.uid for uid, _ in self.prompts)
        self.prompts.append((candidate.uid, prompt))
        assert self.model is not None, "this fitness must not ask"
        answer = self.model(candidate, number, prompt)

        async def reply() -> Completion | None:
            await asyncio.sleep(0)
            return answer

        return reply()


def values(
    fitness: Callable[..., Any], candidates: Sequence[Candidate], ask: Asked | None = None, **parameters: Any
) -> list[tuple[float, ...]]:
    """What a fitness gives."""

    async def work() -> list[tuple[float, ...]]:
        found: list[tuple[float, ...]] = await fitness(PROBLEM, candidates, ask or Asked(), **parameters)
        return found

    return asyncio.run(work())


def population(count: int) -> list[Candidate]:
    return [Candidate("p", 0, slot, "sample", f"chain {slot}", str(slot), str(slot)) for slot in range(count)]


def said(word: str) -> Completion:
    """A verification that ends in this verdict."""
    return Completion(f"I checked it.\nVerdict: {word}", completion_tokens=5)
