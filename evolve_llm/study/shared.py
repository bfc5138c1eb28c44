"""One engine and one response cache under all runs of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolve_llm.backends.base import Backend, Load, load_of, takes_pictures, token_starts
from evolve_llm.backends.recorded import Recorded
from evolve_llm.nouns.errors import BudgetReached
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request


class Paid:
    """A backend that refuses to ask once ``budget`` tokens are spent; ``spent`` counts on from an earlier session.

    ``requests``, ``prompt_tokens`` and ``completion_tokens`` count what this session was paid for.
    """

    def __init__(self, inner: Backend, budget: int | None, spent: int) -> None:
        self.inner, self.budget, self.spent = inner, budget, spent
        self.requests = self.prompt_tokens = self.completion_tokens = 0

    @property
    def identity(self) -> str:
        """The model's."""
        return self.inner.identity

    @property
    def capacity(self) -> int:
        """The model's."""
        return self.inner.capacity

    @property
    def pictures(self) -> bool:
        """The model's."""
        return takes_pictures(self.inner)

    async def start(self) -> ModelInfo:
        """Start the model."""
        return await self.inner.start()

    async def generate(self, request: Request) -> Completion:
        """Ask the model. Raises BudgetReached once the budget is spent."""
        if self.budget is not None and self.spent >= self.budget:
            raise BudgetReached(f"the study's budget of {self.budget} tokens is spent")
        found = await self.inner.generate(request)
        self.spent += found.prompt_tokens + found.completion_tokens
        self.requests += 1
        self.prompt_tokens += found.prompt_tokens
        self.completion_tokens += found.completion_tokens
        return found

    async def count_tokens(self, prompt: Prompt) -> int:
        """The model's count."""
        return await self.inner.count_tokens(prompt)

    async def token_starts(self, text: str) -> Sequence[int] | None:
        """The model's."""
        return await token_starts(self.inner, text)

    async def load(self) -> Load | None:
        """The model's."""
        return await load_of(self.inner)

    async def close(self) -> None:
        """Close the model."""
        await self.inner.close()


class Kept(Recorded):
    """A recorded backend that is started once and stays open when a run closes it; ``release`` closes it."""

    def __init__(self, path: Path, inner: Backend) -> None:
        super().__init__(path, inner)
        self._info: ModelInfo | None = None

    async def start(self) -> ModelInfo:
        """Start at the first call; later calls give what the first gave."""
        if self._info is None:
            self._info = await super().start()
        return self._info

    async def close(self) -> None:
        """Nothing: the next run of the study goes on with the same engine."""

    async def release(self) -> None:
        """Close the engine and the cache."""
        await super().close()
