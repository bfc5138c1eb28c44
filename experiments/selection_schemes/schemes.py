"""What is compared: the arms of the study, as overrides of the preset ``rsa``. DESIGN.md says why these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

POPULATION, GENERATIONS, MAX_TOKENS = 16, 6, 40
BASELINE = "uniform"
NULL = "uniform again"
"""Uniform choice with other draws (children share their first parent with nobody): its true difference is 0."""

Direction = Literal["+", "-", "0"]


@dataclass(frozen=True)
class Scheme:
    """A way to choose parents. ``direction`` is what was expected of pass@1 against the baseline, beforehand."""

    name: str
    select: str | Mapping[str, Any]
    direction: Direction
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """A scheme at one number of parents."""

    scheme: Scheme
    parents: int

    @property
    def slug(self) -> str:
        """For folder names."""
        return f"k{self.parents}-" + "".join(c if c.isalnum() else "-" for c in self.scheme.name)

    @property
    def overrides(self) -> dict[str, Any]:
        """Changes to the preset ``rsa``. All arms make N * T calls to the model for each problem."""
        return {
            "population": POPULATION,
            "generations": GENERATIONS,
            "parents": self.parents,
            "select": self.scheme.select,
            "sampling": {"max_tokens": MAX_TOKENS},
            **self.scheme.settings,
        }


def _prefix(g: int, d: int) -> dict[str, Any]:
    return {"operator": "shared_prefix", "g": g, "d": d}


SCHEMES = (
    Scheme(BASELINE, "uniform", "0"),
    Scheme("balanced", "balanced", "+"),
    Scheme("diverse", "diverse", "+"),
    Scheme("tournament", {"operator": "tournament", "tournsize": 3}, "-", {"evaluate": "agreement"}),
    Scheme("islands", {"operator": "islands", "count": 2, "scheme": "merge", "every": 3}, "-"),
    Scheme("cellular", {"operator": "neighbourhood", "graph": "ring", "radius": 2}, "-"),
    Scheme("shared_prefix(4,1)", _prefix(4, 1), "-"),
    Scheme("shared_prefix(4,3)", _prefix(4, 3), "-"),
    Scheme("shared_prefix(16,4)", _prefix(16, 4), "-"),
    Scheme(NULL, _prefix(1, 1), "0"),
)

IN_FULL, IN_PART = 4, 2
"""K with all schemes, and K with those of ``PART``: what fits into the time (DESIGN.md)."""
PART = (BASELINE, "balanced", "diverse", "tournament")

ARMS = tuple(
    [Arm(one, IN_FULL) for one in SCHEMES] + [Arm(one, IN_PART) for one in SCHEMES if one.name in PART]
)
