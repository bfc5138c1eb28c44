"""Parent tokens of prompts that read ``<chain|chain|…|question>``, a token a character: how many had to be computed.

Pure functions over the children of a run. A prefix cache can hold the head ``<`` and the parents of a prompt that
another prompt began with; the question comes last and is always computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

HEAD, SEPARATOR = 1, 1
"""Tokens before the first chain, and after each."""


@dataclass(frozen=True)
class Child:
    """A child as it was asked for: its parents in the prompt's order, and the engine's own count of its prompt."""

    parents: tuple[str, ...]
    chains: tuple[int, ...]
    """Tokens of each parent's chain."""
    cached: int
    """Tokens at the beginning of the prompt that the engine had."""

    @property
    def parent_tokens(self) -> int:
        """Tokens of the prompt that belong to parents."""
        return sum(length + SEPARATOR for length in self.chains)

    @property
    def computed(self) -> int:
        """Those of them that the engine computed."""
        return self.parent_tokens - min(self.parent_tokens, max(0, self.cached - HEAD))


def distinct_tokens(children: Sequence[Child]) -> int:
    """Parent tokens that a cache of single tokens would compute for children of one population, whatever
    they write and in whatever order they come: each beginning once."""
    beginnings = {
        child.parents[: place + 1]: length + SEPARATOR
        for child in children
        for place, length in enumerate(child.chains)
    }
    return sum(beginnings.values())


@dataclass(frozen=True)
class Share:
    """Parent tokens of a run: in its prompts, computed by the engine, and by a cache of single tokens."""

    tokens: int
    computed: int
    least: int

    def plain(self) -> dict[str, float]:
        """With both as shares of the parent tokens in the prompts."""
        return {
            "parent tokens": self.tokens,
            "computed": self.computed,
            "share computed": round(self.computed / max(1, self.tokens), 4),
            "share in a cache of single tokens": round(self.least / max(1, self.tokens), 4),
        }


def share(populations: Iterable[Sequence[Child]]) -> Share:
    """Over the children of many populations, each population by itself."""
    tokens = computed = least = 0
    for children in populations:
        tokens += sum(child.parent_tokens for child in children)
        computed += sum(child.computed for child in children)
        least += distinct_tokens(children)
    return Share(tokens, computed, least)


def fewer(share: float, base: float) -> float:
    """By how much a share lies under another, as a part of it."""
    return round(1 - share / base, 4)


ParentSets = Mapping[tuple[str, str], frozenset[str]]
"""Who is read, by (problem, child)."""


def same_sets(one: ParentSets, other: ParentSets) -> bool:
    """Whether two runs' children read the same parents, in whatever order."""
    return dict(one) == dict(other)
