"""A preset made runnable: what the engine, the estimate and the record ask about its operators."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deap import base

from evolve_llm.scheme.declarations import (
    ENGINE_KEYWORDS,
    Declaration,
    Finishing,
    Measures,
    Replacement,
    Selection,
    Variation,
    declaration,
    measures,
    reference_of,
)
from evolve_llm.scheme.plan import Choice
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.templates import Templates


@dataclass(frozen=True)
class Scheme:
    """A preset made runnable: its toolbox, the mixture of variation operators, and N, K, T in the preset.

    ``kinds`` says of each alias what kind of operator belongs there. ``templates`` are the prompt templates its
    operators were bound with.
    """

    preset: Preset
    toolbox: base.Toolbox
    choices: tuple[Choice, ...]
    kinds: Mapping[str, type[Declaration]]
    templates: tuple[Templates, ...] = ()

    @property
    def plans_ahead(self) -> bool:
        """Whether every generation can be planned before any text exists: nothing that is drawn depends on it."""
        preset = self.preset
        return (
            self.blind and self.positional and not preset.stop and preset.adapt is None and not preset.initial
        )

    @property
    def selection(self) -> Selection:
        """What the selection declares."""
        return declaration(Selection, self.toolbox.select)

    @property
    def replacement(self) -> Replacement:
        """What the replacement declares."""
        return declaration(Replacement, self.toolbox.replace)

    @property
    def fitness(self) -> Measures | None:
        """What the fitness declares for its parameters; None without a fitness."""
        evaluate = self.operator("evaluate")
        return None if evaluate is None else measures(evaluate)

    @property
    def blind(self) -> bool:
        """Whether selection chooses by index alone."""
        return self.selection.blind

    @property
    def positional(self) -> bool:
        """Whether child i always becomes member i."""
        return self.replacement.positional

    @property
    def varies_size(self) -> bool:
        """Whether replacement may give any number of members."""
        return self.replacement.varies_size or self.replacement.narrows

    @property
    def stops(self) -> tuple[str, ...]:
        """The aliases of the stopping rules."""
        return tuple(f"stop_{index}" for index in range(len(self.preset.stop)))

    @property
    def children(self) -> int:
        """Children a generation: the preset's ``offspring``, or N."""
        return self.preset.offspring or self.preset.population

    def children_of(self, members: int) -> int:
        """Children of a generation that comes from so many members: fewer where the population has narrowed."""
        return min(self.children, members) if self.replacement.narrows else self.children

    @property
    def attempts(self) -> int:
        """How many answers are handed in for a problem, one of which must be right."""
        return declaration(Finishing, self.toolbox.finish).attempts

    @property
    def weights(self) -> tuple[float, ...] | None:
        """Weights of the fitness, None without one."""
        return None if self.fitness is None else self.fitness.weights

    @property
    def logprobs(self) -> bool:
        """Whether the fitness needs the log-probabilities of the chains' tokens."""
        return self.fitness is not None and self.fitness.logprobs

    @property
    def oracle(self) -> bool:
        """Whether the fitness reads the verdicts."""
        return self.fitness is not None and self.fitness.oracle

    @property
    def needs_classes(self) -> bool:
        """Whether a variation operator looks at its parents' answer classes."""
        used = (getattr(self.toolbox, choice.alias) for choice in self.choices)
        return any(declaration(Variation, operator).needs_classes for operator in used)

    def operator(self, alias: str) -> Callable[..., Any] | None:
        """The operator behind an alias, None where there is none."""
        found: Callable[..., Any] | None = getattr(self.toolbox, alias, None)
        return found

    def operators(self) -> dict[str, str]:
        """Which function stands behind each alias, as ``module:qualname``, and the parameters bound to it."""
        bound = {alias: self.operator(alias) for alias in sorted(self.kinds)}
        return {alias: _described(function) for alias, function in bound.items() if function is not None}


def _described(function: Callable[..., Any]) -> str:
    """``module:qualname``, with the arguments that partials bound: another tournament size is another run."""
    bound: list[str] = []
    inner: Any = function
    while isinstance(inner, functools.partial):
        bound += [_shown(value) for value in inner.args]
        bound += [f"{k}={_shown(v)}" for k, v in sorted(inner.keywords.items()) if k not in ENGINE_KEYWORDS]
        inner = inner.func
    return reference_of(function) + (f"({', '.join(bound)})" if bound else "")


def _shown(value: Any) -> str:
    if callable(value):
        return _described(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return type(value).__qualname__  # its repr may hold an address, which no two processes share
