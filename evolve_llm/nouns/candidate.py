"""Candidate: one reasoning chain, and a DEAP individual by having a ``fitness``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from deap import base

from evolve_llm.nouns import html


class Status(StrEnum):
    """How a candidate ended. A failed one is stored, counted and shown, and is never a parent."""

    OK = "ok"
    TRUNCATED = "truncated"
    FAILED = "failed"


class Fitness(base.Fitness):  # type: ignore[misc]  # deap has no types
    """One maximised objective. ``fitness_class`` makes others; weights are only ever +1 or -1.

    DEAP's own ``creator`` makes a new class at every unpickle; here each tuple of weights has one class, which
    pickle finds by its name in any process.
    """

    weights: tuple[float, ...] = (1.0,)

    def assign(self, values: Sequence[float]) -> None:
        """Set the values. Raises ValueError on NaN or infinity (NaN beats everything inside DEAP)."""
        if len(values) != len(self.weights):
            raise ValueError(
                f"{len(values)} fitness values given, {len(self.weights)} expected: {tuple(values)}"
            )
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f"fitness must be finite, got {tuple(values)}")
        self.values = tuple(float(value) for value in values)


_KINDS: dict[str, type[Fitness]] = {}
_LETTERS = {1.0: "P", -1.0: "M"}
_PREFIX = "Fitness_"


def fitness_class(weights: Sequence[float]) -> type[Fitness]:
    """The Fitness with these weights, the same class at every call.

    It is called ``Fitness_`` and a letter for each weight, P for 1 and M for -1; the weights ``(1,)`` are Fitness
    itself. Raises ValueError on a weight other than 1 or -1.
    """
    wanted = tuple(float(weight) for weight in weights)
    if not wanted or any(weight not in (1.0, -1.0) for weight in wanted):
        raise ValueError(f"fitness weights must each be 1 or -1 (scale the values instead), got {wanted}")
    if wanted == (1.0,):
        return Fitness
    name = _PREFIX + "".join(_LETTERS[weight] for weight in wanted)
    return _KINDS.setdefault(name, _KINDS.get(name) or type(name, (Fitness,), {"weights": wanted}))


if not TYPE_CHECKING:  # a type checker would take every name for one of this module

    def __getattr__(name: str) -> type[Fitness]:
        """The fitness class of this name: how pickle finds one that this process has not made yet."""
        letters = name.removeprefix(_PREFIX)
        if letters in ("", "P", name) or set(letters) - set("PM"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return fitness_class([1.0 if letter == "P" else -1.0 for letter in letters])


UNSTORED = {"stored": False}
"""Metadata of a field that is known while the run goes on, and not kept in its directory."""


@dataclass(slots=True, eq=False)
class Candidate:
    """One reasoning chain of one problem's population.

    ``generation`` and ``slot`` say where it was born; together they are its ``uid`` within the problem.
    ``text`` is the chain without the thinking before it, which is its ``reasoning``; a chain that was cut in
    thought has no text, and so no answer. ``parents`` are the uids whose chains stand in its prompt, in the
    prompt's order, and ``cut`` how many tokens of each do not (see ``carry``); planned parents that do not stand
    there had failed (``dropped``), or there was no room for them or nothing of theirs to read (``left_out``).
    ``answer`` is the extracted final answer as written, and ``answer_class`` a canonical form that
    equivalent answers share: compare classes, never texts. Truncated chains are kept and marked. ``reason`` says
    why a failed candidate failed. ``copied``: the text is its parent's, reproduced without asking the model.

    ``completion_tokens`` are those of all calls it took to make it.

    Not stored (``UNSTORED``): ``alias``, the toolbox alias that made it; ``text_tokens``, the
    length of the chain itself, thinking included, a copy's too; ``logprobs`` of its tokens, where the fitness
    wants them; ``evaluation_tokens``, what its fitness has cost; ``evidence``, what noisy fitnesses have found
    out so far, each under a key of its own, one number a measurement: they keep their counts here, and add to
    them when the candidate survives and is looked at again.
    """

    problem: str
    generation: int
    slot: int
    operator: str
    text: str = ""
    answer: str | None = None
    answer_class: str | None = None
    parents: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    status: Status = Status.OK
    reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    copied: bool = False
    reasoning: str = ""
    left_out: tuple[str, ...] = ()
    cut: tuple[int, ...] = ()
    alias: str = field(default="", metadata=UNSTORED)
    text_tokens: int = field(default=0, metadata=UNSTORED)
    evaluation_tokens: int = field(default=0, metadata=UNSTORED)
    logprobs: tuple[float, ...] = field(default=(), metadata=UNSTORED)
    evidence: dict[str, list[float]] = field(default_factory=dict, metadata=UNSTORED)
    fitness: Fitness = field(default_factory=Fitness, metadata=UNSTORED)  # a population stores its members'

    @property
    def uid(self) -> str:
        """``generation.slot``: unique within the problem."""
        return f"{self.generation}.{self.slot}"

    @property
    def failed(self) -> bool:
        """Whether the candidate failed, so that it has no text at all."""
        return self.status is Status.FAILED

    def _repr_html_(self) -> str:
        facts = [
            ("operator", self.operator), ("parents", ", ".join(self.parents)), ("status", self.status.value),
            ("answer", self.answer), ("tokens", f"{self.prompt_tokens} + {self.completion_tokens}"),
        ]  # fmt: skip
        head = html.table(
            f"{self.problem}: candidate {self.uid}", [name for name, _ in facts], [[one for _, one in facts]]
        )
        thinking = (
            f"<details><summary>thinking</summary>{html.passage(self.reasoning)}</details>"
            if self.reasoning
            else ""
        )
        return head + thinking + html.passage(self.text)

    def __reduce__(self) -> tuple[Callable[..., Candidate], tuple[type[Candidate], dict[str, Any]]]:
        """By field, so that every protocol of pickle works and a checkpoint outlives a new field."""
        return _restored, (type(self), {one.name: getattr(self, one.name) for one in fields(self)})


def _restored(kind: type[Candidate], values: Mapping[str, Any]) -> Candidate:
    return kind(**values)
