"""A preset becomes a ``deap.base.Toolbox``: aliases bound to operators with their parameters.

Aliases: ``init``, ``select``, ``mate`` (the first K-ary operator of the mixture), ``mutate`` (the first of
one parent), further variation operators under their own names, ``reproduce``, ``evaluate`` (where the
preset has one), ``replace``, ``finish``, ``adapt``, ``stop_0``, … Re-register any of them, with any DEAP
operator of the same signature, before the run starts.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deap import base
from pydantic import ValidationError

from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.scheme import registry
from evolve_llm.scheme.operator import MACHINE_KEYWORDS, declared, own_parameters, settled
from evolve_llm.scheme.plan import Choice, plan_generation
from evolve_llm.scheme.preset import OperatorSpec, Preset, reference_of
from evolve_llm.scheme.templates import Templates

KINDS = ("select", "vary", "evaluate", "replace", "finish", "stop", "adapt")


@dataclass(frozen=True)
class Scheme:
    """A preset made runnable: its toolbox, the mixture of variation operators, and N, K, T in the preset.

    ``templates`` are the prompt templates its operators were bound with.
    """

    preset: Preset
    toolbox: base.Toolbox
    choices: tuple[Choice, ...]
    templates: tuple[Templates, ...] = ()

    @property
    def plans_ahead(self) -> bool:
        """Whether every generation can be planned before any text exists."""
        return self.blind and self.positional and not self.preset.stop and self.preset.adapt is None

    @property
    def blind(self) -> bool:
        """Whether selection chooses by index alone."""
        return bool(declared("select", self.toolbox.select, "blind"))

    @property
    def positional(self) -> bool:
        """Whether child i always becomes member i."""
        return bool(declared("replace", self.toolbox.replace, "positional"))

    @property
    def varies_size(self) -> bool:
        """Whether replacement may give any number of members."""
        return bool(declared("replace", self.toolbox.replace, "varies_size"))

    @property
    def stops(self) -> tuple[str, ...]:
        """The aliases of the stopping rules."""
        return tuple(f"stop_{index}" for index in range(len(self.preset.stop)))

    @property
    def children(self) -> int:
        """Children a generation: the preset's ``offspring``, or N."""
        return self.preset.offspring or self.preset.population

    @property
    def attempts(self) -> int:
        """Answers handed in for a problem, one of which must be right."""
        return int(declared("finish", self.toolbox.finish, "attempts"))

    @property
    def weights(self) -> tuple[float, ...] | None:
        """Weights of the fitness, None without one."""
        evaluate = getattr(self.toolbox, "evaluate", None)
        if evaluate is None:
            return None
        return tuple(settled("evaluate", evaluate, "weights"))

    @property
    def logprobs(self) -> bool:
        """Whether the fitness needs the log-probabilities of the chains' tokens."""
        evaluate = getattr(self.toolbox, "evaluate", None)
        return evaluate is not None and bool(settled("evaluate", evaluate, "logprobs"))

    def operators(self) -> dict[str, str]:
        """Which function stands behind each alias, as ``module:qualname``, and the parameters bound to it."""
        aliases = {"init", "select", "replace", "finish", "evaluate", "adapt"}
        aliases |= {choice.alias for choice in self.choices} | set(self.stops)
        bound = {alias: getattr(self.toolbox, alias, None) for alias in sorted(aliases)}
        return {alias: _described(function) for alias, function in bound.items() if function is not None}

    @property
    def oracle(self) -> bool:
        """Whether the fitness reads the verdicts."""
        evaluate = getattr(self.toolbox, "evaluate", None)
        return evaluate is not None and bool(settled("evaluate", evaluate, "oracle"))

    @property
    def needs_classes(self) -> bool:
        """Whether a variation operator looks at its parents' answer classes."""
        used = (getattr(self.toolbox, choice.alias) for choice in self.choices)
        return any(declared("vary", operator, "needs_classes") for operator in used)


def _described(function: Callable[..., Any]) -> str:
    """``module:qualname``, with the arguments that partials bound: another tournament size is another run."""
    bound: list[str] = []
    inner: Any = function
    while hasattr(inner, "func"):
        bound += [_shown(value) for value in inner.args]
        bound += [f"{k}={_shown(v)}" for k, v in sorted(inner.keywords.items()) if k not in MACHINE_KEYWORDS]
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


def build(preset: Preset, prompts: Path | None = None) -> Scheme:
    """Bind every operator of a preset; ``prompts`` is a folder of templates that go before the built-in ones.

    Raises UserError on an unknown operator, an unknown or missing parameter, a selector, replacement or
    finish that needs a fitness the preset does not have, or a number of parents the operators cannot take.
    """
    toolbox = base.Toolbox()
    toolbox.unregister("map")
    binder = _Binder(toolbox, Templates(prompts))
    binder.bind("init", "vary", preset.init, "[init]")
    binder.bind("select", "select", preset.select, "[select]")
    binder.bind("replace", "replace", preset.replace, "[replace]")
    binder.bind("finish", "finish", preset.finish, "[finish]")
    if preset.evaluate is not None:
        binder.bind("evaluate", "evaluate", preset.evaluate, "[evaluate]")
    if preset.adapt is not None:
        binder.bind("adapt", "adapt", preset.adapt, "[adapt]")
    for index, spec in enumerate(preset.stop):
        binder.bind(f"stop_{index}", "stop", spec, f"[[stop]] {index}")
    choices = _choices(preset, binder)
    scheme = Scheme(preset, toolbox, choices, tuple(binder.used))
    check(scheme)
    return scheme


def check(scheme: Scheme) -> None:
    """Whether the operators fit each other. Raises UserError; also to be called after re-registering."""
    preset, toolbox = scheme.preset, scheme.toolbox
    if not hasattr(toolbox, "evaluate"):
        for alias in ("select", "replace", "finish", *scheme.stops):
            function = getattr(toolbox, alias)
            unused = alias in ("select", "replace") and preset.generations == 1
            if declared(alias.partition("_")[0], function, "needs_fitness") and not unused:
                raise UserError(
                    f"preset {preset.name!r}: [{alias}] {reference_of(function)} needs a fitness and the preset "
                    "has no [evaluate]; add one, for example --set evaluate=agreement"
                )
    fewest, weights = declared("select", toolbox.select, "objectives"), scheme.weights
    if preset.generations > 1 and weights is not None and len(weights) < fewest:
        raise UserError(
            f"preset {preset.name!r}: [select] {reference_of(toolbox.select)} needs a fitness of at least {fewest} "
            f"values, [evaluate] {reference_of(toolbox.evaluate)} gives {len(weights)}; use several objectives "
            'or cases, for example evaluate = { operator = "self_verify", votes = 4, cases = true }'
        )
    if declared("replace", toolbox.replace, "positional") and scheme.children != preset.population:
        raise UserError(
            f"preset {preset.name!r}: [replace] {reference_of(toolbox.replace)} takes each child to its own slot, so "
            f"offspring ({scheme.children}) must equal population ({preset.population})"
        )
    structured = declared("select", toolbox.select, "structured")
    if structured and not scheme.positional and preset.generations > 1:
        raise UserError(
            f"preset {preset.name!r}: [select] {reference_of(toolbox.select)} gives places a meaning and [replace] "
            f'{reference_of(toolbox.replace)} does not keep them; use replace = "generational"'
        )
    only = declared("select", toolbox.select, "arity")
    if only is not None and preset.generations > 1:
        wrong = [choice for choice in scheme.choices if choice.arity > only]
        if wrong:
            raise UserError(
                f"preset {preset.name!r}: [select] {reference_of(toolbox.select)} gives {only} parent(s), but "
                f"{wrong[0].alias!r} takes {wrong[0].arity}; set parents = {only} or choose another operator"
            )
    if declared("vary", toolbox.init, "arity") not in (0, None):
        raise UserError(
            f"preset {preset.name!r}: [init] must sample from scratch, {reference_of(toolbox.init)} needs parents"
        )
    _require(scheme)
    _rehearse(scheme)


def _require(scheme: Scheme) -> None:
    """Ask operators that have conditions of their own whether they can work in this preset."""
    preset = scheme.preset
    for alias in ("select", "replace", "finish", "adapt", *scheme.stops):
        function = getattr(scheme.toolbox, alias, None)
        requires = function and declared(alias.partition("_")[0], function, "requires")
        if (
            function is None
            or requires is None
            or (alias in ("select", "replace") and preset.generations == 1)
        ):
            continue
        try:
            requires(preset, **own_parameters(function))
        except (ValueError, TypeError) as error:
            raise UserError(f"preset {preset.name!r}: [{alias}] {reference_of(function)}: {error}") from error


def _rehearse(scheme: Scheme) -> None:
    """Draw parents for the first generations of a blind scheme, so that what cannot work is known at once."""
    preset = scheme.preset
    if not scheme.blind or scheme.varies_size:
        return
    for generation in range(1, min(preset.generations, 8)):
        members = [f"{generation - 1}.{slot}" for slot in range(preset.population)]
        try:
            plan_generation(
                scheme.toolbox,
                scheme.choices,
                members,
                generation=generation,
                n=scheme.children,
                seed=0,
                problem="rehearsal",
            )
        except OperatorError as error:
            raise UserError(f"preset {preset.name!r}: [select] {error}") from error


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

    def bind(self, alias: str, kind: str, spec: OperatorSpec, where: str) -> None:
        function, given = self._bound(kind, spec, where)
        self.toolbox.register(alias, function, **given)

    def _bound(self, kind: str, spec: OperatorSpec, where: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The operator and the parameters to bind to it."""
        function = resolve(kind, spec.operator)
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError) as error:
            raise UserError(f"{where} {reference_of(function)} cannot be an operator: {error}") from error
        given = spec.parameters
        settable = set(list(parameters)[_POSITIONAL[kind] :]) - MACHINE_KEYWORDS
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
        if "templates" in parameters:
            given["templates"] = self.templates.over(parameters["templates"].default)
            self.used.append(given["templates"])
        parts = declared(kind, function, "parts") if kind == "evaluate" else None
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
                f'{where} must be an operator, by its name or as {{ operator = "…", … }}, got {part!r}'
            ) from error
        function, given = self._bound(kind, spec, where)
        return functools.partial(function, **given) if given else function


def _choices(preset: Preset, binder: _Binder) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    for index, spec in enumerate(preset.vary):
        arity = declared("vary", resolve("vary", spec.operator), "arity")
        role = "mate" if arity is None or arity > 1 else "mutate" if arity == 1 else "init"
        if (spec.operator, spec.parameters) == (preset.init.operator, preset.init.parameters):
            alias = "init"
        else:
            alias = role if not hasattr(binder.toolbox, role) else f"vary_{index}"
            binder.bind(alias, "vary", spec, f"[[vary]] {index}")
        probability = 1.0 if spec.probability is None else spec.probability
        choices.append(Choice(alias, preset.parents if arity is None else arity, probability))
    rest = 1.0 - sum(choice.probability for choice in choices)
    if rest > 1e-9:
        binder.bind("reproduce", "vary", OperatorSpec(operator="reproduce"), "[[vary]]")
        choices.append(Choice("reproduce", 1, rest))
    largest = max(choice.arity for choice in choices)
    if preset.generations > 1 and largest > preset.population:
        raise UserError(
            f"preset {preset.name!r}: an operator takes {largest} parents of a population of {preset.population}"
        )
    return tuple(choices)
