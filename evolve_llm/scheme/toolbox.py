"""A preset becomes a ``deap.base.Toolbox``: aliases bound to operators with their parameters.

Aliases: ``init``, ``truncate`` (where the first generation is larger), ``select``, ``mate`` (the first K-ary
operator of the mixture), ``mutate`` (the first of one parent), further variation operators under their own names,
``reproduce``, ``evaluate`` (where the preset has one), ``replace``, ``finish``, ``adapt``, ``stop_0``, … Re-register
any of them, with any DEAP operator of the same signature, before the run starts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deap import base
from pydantic import ValidationError

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme import registry
from evolve_llm.scheme.declarations import (
    ENGINE_KEYWORDS,
    KINDS,
    Adaptation,
    Declaration,
    Evaluation,
    Finishing,
    Replacement,
    Selection,
    Stopping,
    Variation,
    declaration,
    reference_of,
)
from evolve_llm.scheme.fitting import check, refuse_wrong
from evolve_llm.scheme.plan import Choice
from evolve_llm.scheme.preset import OperatorSpec, Preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.templates import Templates


def build(preset: Preset, prompts: Path | None = None) -> Scheme:
    """Bind every operator of a preset; ``prompts`` is a folder of templates that go before the built-in ones.

    Raises UserError on an unknown operator, an unknown or missing parameter, a selector, replacement or
    finish that needs a fitness the preset does not have, or a number of parents the operators cannot take.
    """
    toolbox = base.Toolbox()
    toolbox.unregister("map")
    binder = _Binder(toolbox, Templates(prompts))
    binder.bind("init", Variation, preset.init, "[init]")
    binder.bind("select", Selection, preset.select, "[select]")
    binder.bind("replace", Replacement, preset.replace, "[replace]")
    binder.bind("finish", Finishing, preset.finish, "[finish]")
    if preset.truncate is not None:
        binder.bind("truncate", Replacement, preset.truncate, "[truncate]")
    if preset.evaluate is not None:
        binder.bind("evaluate", Evaluation, preset.evaluate, "[evaluate]")
    if preset.adapt is not None:
        binder.bind("adapt", Adaptation, preset.adapt, "[adapt]")
    for index, spec in enumerate(preset.stop):
        binder.bind(f"stop_{index}", Stopping, spec, f"[[stop]] {index}")
    choices = _choices(preset, binder)
    scheme = Scheme(preset, toolbox, choices, binder.kinds, tuple(binder.used))
    check(scheme)
    return scheme


def resolve(kind: str, reference: str | Callable[..., Any]) -> Callable[..., Any]:
    """An operator from its name, from ``module:function``, or given as the object.

    Raises UserError listing the operators of the kind that exist.
    """
    if callable(reference):
        return reference
    if ":" in reference:
        return _import(reference)
    names = {name.split(".", 1)[1] for name in registry.available("operator") if name.startswith(f"{kind}.")}
    if reference not in names:
        raise UserError(registry.unknown(f"{kind} operator", reference, names) + "; or module:function")
    function: Callable[..., Any] = registry.load("operator", f"{kind}.{reference}")
    return function


def _import(reference: str) -> Callable[..., Any]:
    found = registry.imported(reference, "operator")
    if not callable(found):
        raise UserError(f"operator {reference!r} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


_POSITIONAL = {"select": 2, "vary": 2, "finish": 2, "evaluate": 3, "replace": 3, "stop": 2, "adapt": 2}


class _Binder:
    """Registers operators with their parameters, and notes the templates they use."""

    def __init__(self, toolbox: base.Toolbox, templates: Templates) -> None:
        self.toolbox = toolbox
        self.templates = templates
        self.used: list[Templates] = []
        self.kinds: dict[str, type[Declaration]] = {}

    def bind(self, alias: str, kind: type[Declaration], spec: OperatorSpec, where: str) -> None:
        function, given = self._bound(kind.kind, spec, where)
        self.toolbox.register(alias, function, **given)
        self.kinds[alias] = kind

    def _bound(self, kind: str, spec: OperatorSpec, where: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The operator and the parameters to bind to it."""
        function = resolve(kind, spec.operator)
        try:
            declaration(KINDS[kind], function)
        except UserError as error:
            raise UserError(f"{where} {error}") from error
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError) as error:
            raise UserError(f"{where} {reference_of(function)} cannot be an operator: {error}") from error
        given = spec.parameters
        settable = set(list(parameters)[_POSITIONAL[kind] :]) - ENGINE_KEYWORDS
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        for name in given:
            if name not in settable and not takes_any:
                listed = ", ".join(sorted(settable)) or "none"
                raise UserError(
                    f"{where} {reference_of(function)} has no parameter {name!r}; it takes: {listed}"
                )
        empty = inspect.Parameter.empty
        missing = sorted(
            name
            for name in settable - set(given)
            if parameters[name].default is empty
            and parameters[name].kind is not inspect.Parameter.VAR_KEYWORD
        )
        if missing:
            raise UserError(f"{where} {reference_of(function)} needs the parameter(s) {', '.join(missing)}")
        refuse_wrong(where, function, given)
        if "templates" in parameters:
            given["templates"] = self.templates.over(parameters["templates"].default)
            self.used.append(given["templates"])
        parts = declaration(Evaluation, function).parts if kind == "evaluate" else None
        if parts in given and isinstance(given[parts], list | tuple):
            given[parts] = [
                self._part(kind, one, f"{where} {parts} {index}") for index, one in enumerate(given[parts])
            ]
        return function, given

    def _part(self, kind: str, part: Any, where: str) -> Callable[..., Any]:
        """An operator within another's parameters, itself with its parameters bound."""
        try:
            spec = OperatorSpec.model_validate(part if isinstance(part, Mapping) else {"operator": part})
        except ValidationError as error:
            raise UserError(
                f'{where} must be an operator, given by its name or as {{ operator = "…", … }}, got {part!r}'
            ) from error
        function, given = self._bound(kind, spec, where)
        return functools.partial(function, **given) if given else function


def _choices(preset: Preset, binder: _Binder) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    for index, spec in enumerate(preset.vary):
        arity = declaration(Variation, resolve("vary", spec.operator)).arity
        role = "mate" if arity is None or arity > 1 else "mutate" if arity == 1 else "init"
        if (spec.operator, spec.parameters) == (preset.init.operator, preset.init.parameters):
            alias = "init"
        else:
            alias = role if not hasattr(binder.toolbox, role) else f"vary_{index}"
            binder.bind(alias, Variation, spec, f"[[vary]] {index}")
        probability = 1.0 if spec.probability is None else spec.probability
        anneal = 1.0 if spec.anneal is None else spec.anneal
        choices.append(Choice(alias, preset.parents if arity is None else arity, probability, anneal))
    rest = 1.0 - sum(choice.probability for choice in choices)
    if rest > 1e-9:
        binder.bind("reproduce", Variation, OperatorSpec(operator="reproduce"), "[[vary]]")
        choices.append(Choice("reproduce", 1, rest))
    largest = max(choice.arity for choice in choices)
    if preset.generations > 1 and largest > preset.population:
        raise UserError(
            f"preset {preset.name!r}: an operator takes {largest} parents, but the population has only "
            f"{preset.population} members"
        )
    return tuple(choices)
