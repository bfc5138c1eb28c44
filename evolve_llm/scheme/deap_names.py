"""What DEAP's users register that cannot work here: refused before the run, with the reason and what to do.

Pure: reads a toolbox, calls nothing in it. docs/deap.md has the same as a table.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

from deap import base

from evolve_llm.nouns.errors import UserError

NEVER_CALLED = {
    "map": "chains are written by an asynchronous engine that keeps the model busy by itself; set concurrency=… "
    "for the number of calls in flight, or use ModelToolbox, whose map DEAP's algorithms call",
    "individual": "an individual is a chain that the model writes; register 'init'",
    "population": "the first generation is written by 'init'; set population=… for its size",
    "generate": "a generation is bred by 'select', 'mate' and 'mutate'; for eaGenerateUpdate use ModelToolbox",
    "update": "what is learnt from a generation is 'adapt'; for eaGenerateUpdate use ModelToolbox",
    "migrate": 'migration is part of selection; use select="islands"',
}
"""Aliases that DEAP's algorithms call and this engine does not, each with what takes its place."""

FOREIGN = {
    "deap.tools.support": (
        "a History reads the individuals that an operator returns, and here an operator returns the prompt of a chain "
        "that is not written yet; every birth is stored anyway: use evolve_llm.genealogy(run, problem), which gives a "
        "filled History, or run.lineage(problem)"
    ),
    "deap.tools.constraint": (
        "it decorates a fitness of one individual, and here a fitness measures a whole population and is awaited; use "
        "evolve_llm.delta_penalty(feasibility, delta, distance) in its place"
    ),
    "deap.tools.crossover": "it recombines lists of numbers in place; a chain is recombined by a model that reads it: "
    "use 'aggregate' or an operator of your own that returns a Prompt",
    "deap.tools.mutation": "it changes lists of numbers in place; a chain is mutated by a model that reads it: "
    "use 'refine' or an operator of your own that returns a Prompt",
    "deap.tools.init": "it fills containers with values; a chain is written by the model: use 'sample' or an operator "
    "of your own that returns a Prompt",
    "deap.tools.migration": 'it moves individuals between lists; use select="islands"',
    "deap.gp": "it works on expression trees, and an individual here is a text; the length of chains is bounded by "
    "sampling.max_tokens",
    "deap.benchmarks": "it measures one list of numbers, and here a fitness measures a population of chains",
}
"""Modules of DEAP none of whose functions fits an alias of this toolbox, each with the reason."""


DECORATORS = ("deap.tools.support", "deap.tools.constraint", "deap.gp")
"""Those that decorate operators, and are found inside other decorators."""


def refuse_what_cannot_work(toolbox: base.Toolbox) -> None:
    """Look for aliases that are never called, and for DEAP's functions and decorators that do not fit.

    Decorators are found under others as well, whether these use ``functools.wraps`` or not.

    Raises UserError for the first that cannot work, with the reason and what to use in its place.
    """
    for alias, reason in NEVER_CALLED.items():
        if hasattr(toolbox, alias):
            raise UserError(f"toolbox.{alias} would never be called: {reason}")
    for alias, function in vars(toolbox).items():
        if alias == "clone":
            continue
        for layer, enclosed in _layers(function):
            module = str(layer.__globals__.get("__name__", ""))
            if enclosed and (module not in DECORATORS or "<locals>" not in layer.__code__.co_qualname):
                continue  # an operator of one's own may well call a function of DEAP that it was given
            for name, why in FOREIGN.items():
                if module == name or module.startswith(f"{name}."):
                    raise UserError(f"toolbox.{alias}: {_name(layer)} of {module} cannot work here: {why}")


def _name(function: FunctionType) -> str:
    """What a user calls it: a decorator's inner function says ``wrapper`` and has the name of what it wraps."""
    return function.__code__.co_qualname.partition(".")[0]


def _layers(function: Callable[..., Any]) -> Iterator[tuple[FunctionType, bool]]:
    """The plain functions that an alias is made of, and whether one is only enclosed by another.

    Looks through partials, bound methods, ``__wrapped__``, and what decorators without ``functools.wraps`` enclose.
    """
    waiting: list[tuple[Any, bool]] = [(function, False)]
    seen: set[int] = set()
    while waiting:
        one, enclosed = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, functools.partial):
            waiting.append((one.func, enclosed))
        elif isinstance(one, MethodType):
            waiting.append((one.__func__, enclosed))
        elif isinstance(one, FunctionType):
            yield one, enclosed
            waiting.append((getattr(one, "__wrapped__", None), enclosed))
            waiting += [(value, True) for value in _enclosed(one)]


def _enclosed(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a name that the enclosing function has not bound yet
            yield cell.cell_contents
