"""What of a parent's chain its children read: all of it, its tail, or its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.thinking import join_thinking

Policy = Literal["full", "tail", "answer", "drop"]
Starts = Callable[[str], Awaitable[Sequence[int] | None]]
"""Where each token of a text starts, in characters, ascending; None where the engine cannot tell."""


@dataclass(frozen=True, slots=True)
class Read:
    """A parent as its children see it: its ``text`` is what they read. ``cut``: tokens of the chain they do not."""

    parent: Candidate
    cut: int = 0

    @property
    def nothing(self) -> bool:
        """Whether nothing of the parent is left to be read."""
        return self.cut > 0 and not self.parent.text.strip()


@dataclass(frozen=True, slots=True)
class Carry:
    """``full``: thinking and answer. ``tail``: their last ``tokens`` (Markovian RSA, arXiv 2605.05365).
    ``answer``: without the thinking. ``drop``: as full, from as many parents as fit the window."""

    policy: Policy = "full"
    tokens: int | None = None

    def most(self, max_tokens: int) -> int:
        """The most tokens that children read of a chain of up to ``max_tokens``, its thinking tags included."""
        return min(max_tokens, self.tokens or max_tokens)

    def leaves(self, parent: Candidate) -> bool:
        """Whether children read the parent's text just as it is, without a look at its tokens."""
        return self.policy != "tail" and not parent.reasoning

    async def read(self, parent: Candidate, max_tokens: int, starts: Starts) -> Read:
        """The parent as its children see it, by the engine's own tokens where it tells where they start."""
        if self.leaves(parent):
            return Read(parent)
        chain, limit = join_thinking(parent.reasoning, parent.text), self.most(max_tokens)
        at = await starts(chain)
        left: int | None = None
        if self.policy == "answer":
            kept, found = parent.text, await starts(parent.text)
            left = None if found is None else len(found)
        elif at is not None:
            kept, left = await last_tokens(chain, limit, starts, at)
        else:
            kept = tail(chain, limit / by_characters(parent, chain)) if parent.text_tokens else chain
        if kept == chain:
            return Read(replace(parent, text=kept, reasoning="") if parent.reasoning else parent)
        if at is None or left is None:
            cut = round(by_characters(parent, chain) * (1 - len(kept) / len(chain)))
        else:
            cut = len(at) - left
        return Read(replace(parent, text=kept, reasoning=""), max(1, cut))


WHOLE = Carry()


def by_characters(parent: Candidate, chain: str) -> float:
    """Tokens of a chain at its own rate: as many a character as the model's own count of it has."""
    return parent.text_tokens * (len(chain) / (len(parent.reasoning) + len(parent.text)))


async def last_tokens(text: str, limit: int, starts: Starts, at: Sequence[int]) -> tuple[str, int | None]:
    """The end of a text whose tokens start ``at``, from a line on: of at most ``limit`` tokens as the engine
    counts it again; and how many these are, None where it does not tell of that end.

    A text cut where a token starts may be split otherwise than before, so it is cut further until it fits.
    """
    found, margin = at, 0
    while len(found) > limit:
        index = len(found) - limit + margin
        place = found[index] if index < len(found) else len(text)
        text = from_line(text, max(place, 1))
        again = await starts(text)
        if again is None:
            return text, None
        found, margin = again, 2 * margin + 1
    return text, len(found)


def tail(text: str, share: float) -> str:
    """The last ``share`` of a text's characters (all of them from 1 on), from a line on."""
    return from_line(text, max(0, len(text) - int(len(text) * share)))


def from_line(text: str, start: int) -> str:
    """A text from ``start`` on; from the next line on, where that leaves at least half of it."""
    kept = text[start:]
    if start == 0 or text[start - 1] == "\n":
        return kept
    _, _, whole_lines = kept.partition("\n")
    return whole_lines if whole_lines.strip() and 2 * len(whole_lines) >= len(kept) else kept
