"""What passes between operators and the engine, and the signature of each of the seven kinds.

An operator is a plain function. ``declarations`` has the decorators that say what the engine must know of it, and
``applying`` calls it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt

MAX_CALLS = 16
"""Model calls one child may take: a generator operator that asks for more is stopped with an error."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a variation operator returns instead of a Prompt to reproduce a parent without asking the model."""

    parent: Candidate


@dataclass(frozen=True, slots=True)
class Consult:
    """A question about one parent that a generator operator yields, asked once however many children want it.

    ``purpose`` names the question (a lower-case word); all children that consult about the same parent
    for the same purpose must ask the same prompt and get the same completion.
    """

    about: Candidate
    purpose: str
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Final:
    """What a finish operator returns to have one last chain written from these parents.

    The chain becomes the answering candidate, outside the population. Where the call fails, the first of
    the parents answers.
    """

    parents: tuple[Candidate, ...]
    prompt: Prompt


Steps = Generator[Prompt | Consult, Completion, Prompt | Copy]
"""A variation of several calls: yields prompts, is sent their completions, returns the last prompt.

Where a call fails its ``RequestError`` is raised at the ``yield``; uncaught, the child is a failed candidate.
"""


class Ask(Protocol):
    """Asks the model about one candidate.

    Calls about one candidate are numbered in the order they are made (so call ``ask`` in a fixed order and
    await the results together), and the number is part of the call's address: votes are independent of
    each other, reproducible, stored before the fitness is used, and counted as cost. Gives None where the
    request failed: a fitness must decide what a missing vote is worth.
    """

    def __call__(self, candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]: ...


# -------------------------------------------------------------------- the seven signatures
#
# What follows the named parameters are the operator's own, with any names: presets set them.


class Selector(Protocol):
    """``k`` is a number, or the list of group sizes where ``whole_generation`` is declared."""

    def __call__(self, individuals: list[Any], k: Any, /, *args: Any, **kwargs: Any) -> list[Any]: ...


class Variator(Protocol):
    """One child's prompt from its parents; a generator function where it takes several calls."""

    def __call__(
        self, problem: Problem, parents: list[Candidate], /, *args: Any, **kwargs: Any
    ) -> Prompt | Copy | Steps: ...


class Evaluator(Protocol):
    """A coroutine function: one tuple of values a candidate, in their order."""

    def __call__(
        self, problem: Problem, candidates: list[Candidate], ask: Ask, /, *args: Any, **kwargs: Any
    ) -> Awaitable[Sequence[tuple[float, ...]]]: ...


class Replacer(Protocol):
    """Who of parents and offspring goes on."""

    def __call__(
        self, parents: list[Candidate], offspring: list[Candidate], n: int, /, *args: Any, **kwargs: Any
    ) -> Sequence[Candidate]: ...


class Finisher(Protocol):
    """Who gives the answer, or from whom a last chain is written."""

    def __call__(
        self, problem: Problem, population: list[Candidate], /, *args: Any, **kwargs: Any
    ) -> Candidate | Final: ...


class StoppingRule(Protocol):
    """Whether one problem's evolution ends now."""

    def __call__(
        self, problem: Problem, generations: list[tuple[Candidate, ...]], /, *args: Any, **kwargs: Any
    ) -> bool: ...


class Adapter(Protocol):
    """The next probability of each operator, from its present one and its rewards so far."""

    def __call__(
        self, probabilities: list[float], rewards: list[list[float]], /, *args: Any, **kwargs: Any
    ) -> Sequence[float]: ...
