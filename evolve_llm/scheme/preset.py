"""Presets: a whole evolutionary scheme as data. Schema, loading, overriding, and the round trip to TOML."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.request import Sampling
from evolve_llm.scheme.carry import Carry, Policy
from evolve_llm.scheme.declarations import name_of, reference_of
from evolve_llm.scheme.ordering import Order

OperatorRef = str | Callable[..., Any]
_FROZEN = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


_SINGLE = ("init", "truncate", "select", "evaluate", "replace", "finish", "adapt")


class OperatorSpec(BaseModel):
    """An operator by name, by ``module:function``, or (from Python) as the object, with its parameters.

    Every further key is a parameter of the operator.
    """

    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)
    operator: OperatorRef

    @property
    def parameters(self) -> dict[str, Any]:
        """The operator's own keyword parameters."""
        return dict(self.model_extra or {})

    def plain(self) -> dict[str, Any]:
        """As plain data; an operator given as an object is written ``module:qualname``, also in a parameter."""
        return {key: _plain(value) for key, value in self.model_dump().items()}


class VariationSpec(OperatorSpec):
    """A variation operator of the mixture. ``probability`` as in DEAP's varOr: the rest of 1 reproduces.

    ``anneal`` multiplies it from one generation to the next; the others share what is freed.
    """

    probability: float | None = Field(default=None, gt=0.0, le=1.0)
    anneal: float | None = Field(default=None, ge=0.0, lt=1.0)


class SamplingSpec(BaseModel):
    """How completions are sampled; see ``request.Sampling``."""

    model_config = _FROZEN
    temperature: float = Field(default=1.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, ge=0.0, le=1.0)
    max_tokens: int = Field(default=8192, ge=1)
    stop: tuple[str, ...] = ()

    def sampling(self) -> Sampling:
        """The same settings as the ``Sampling`` of a request."""
        return Sampling(**self.model_dump())


class CarrySpec(BaseModel):
    """What of a parent its children read; see ``carry``. ``tokens`` is the length of a ``tail``."""

    model_config = _FROZEN
    policy: Policy = "full"
    tokens: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> CarrySpec:
        if (self.policy == "tail") != (self.tokens is not None):
            raise ValueError('tokens must be set with policy = "tail", and with no other policy')
        return self

    def carry(self) -> Carry:
        """The same settings as a ``Carry``."""
        return Carry(self.policy, self.tokens)


class Preset(BaseModel):
    """One evolutionary scheme: N candidates, K parents of a child, T generations, and the operators.

    ``generations`` counts generation 0, so the paper's T=10 means nine rounds of aggregation. ``offspring`` is
    the number of children in a generation, which is N if it is not given. ``initial`` is how many candidates are
    sampled at first, where that is more than N: ``truncate``, a replacement, keeps N of them. ``carry`` says what
    of a parent its children read, and ``order`` how parents stand in a prompt (see ``ordering``). ``adapt``
    changes the probabilities of ``vary`` as the run learns. Any rule of ``stop`` ends a problem before its T
    generations.
    """

    model_config = _FROZEN
    name: str
    description: str = ""
    source: str = ""
    population: int = Field(ge=1)
    parents: int = Field(default=1, ge=1)
    generations: int = Field(ge=1)
    offspring: int | None = Field(default=None, ge=1)
    initial: int | None = Field(default=None, ge=2)
    sampling: SamplingSpec = SamplingSpec()
    carry: CarrySpec = CarrySpec()
    order: Order = "random"
    init: OperatorSpec = OperatorSpec(operator="sample")
    truncate: OperatorSpec | None = None
    select: OperatorSpec = OperatorSpec(operator="uniform")
    vary: tuple[VariationSpec, ...] = (VariationSpec(operator="aggregate"),)
    evaluate: OperatorSpec | None = None
    replace: OperatorSpec = OperatorSpec(operator="generational")
    finish: OperatorSpec = OperatorSpec(operator="random")
    adapt: OperatorSpec | None = None
    stop: tuple[OperatorSpec, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _truncated(cls, value: Any) -> Any:
        """A larger first generation keeps the best where nothing else is said; without one nobody is chosen."""
        if not isinstance(value, Mapping):
            return value
        return {
            **value,
            "truncate": (value.get("truncate") or "plus") if value.get("initial") is not None else None,
        }

    @field_validator("init", "truncate", "select", "evaluate", "replace", "finish", "adapt", mode="before")
    @classmethod
    def _operator_shorthand(cls, value: Any) -> Any:
        """``select = "uniform"`` and ``select=function`` are short for an operator without parameters."""
        if value == "none":  # for evaluate and adapt: no such operator
            return None
        return _spelled(value)

    @field_validator("vary", "stop", mode="before")
    @classmethod
    def _list_shorthand(cls, value: Any) -> Any:
        if isinstance(value, str | Mapping | OperatorSpec) or callable(value):
            value = [value]
        return [_spelled(one) for one in value]

    @model_validator(mode="after")
    def _consistent(self) -> Preset:
        if self.generations > 1 and self.parents > self.population:
            raise ValueError(
                f"parents (K={self.parents}) cannot exceed population (N={self.population}): "
                "K different parents are drawn from N candidates"
            )
        if self.initial is not None and self.initial <= self.population:
            raise ValueError(
                f"initial ({self.initial}) must be more than population (N={self.population}): N of the candidates "
                "that are sampled at first are kept; leave it out where all of them are"
            )
        if self.adapt is not None and len(self.vary) < 2:
            raise ValueError("adapt chooses between [[vary]] operators, and there is only one")
        if self.adapt is not None and self.evaluate is None:
            raise ValueError("adapt rewards operators by the fitness of their children; add [evaluate]")
        if not self.vary:
            raise ValueError("vary needs at least one operator")
        probabilities = [one.probability for one in self.vary]
        if len(self.vary) > 1 and None in probabilities:
            raise ValueError("with several [[vary]] operators, each needs a probability")
        fading = [one.anneal is not None for one in self.vary]
        if all(fading) or (any(fading) and self.adapt is not None):
            raise ValueError("anneal in [[vary]] needs another operator that takes over its share; no adapt")
        if sum(one or 1.0 for one in probabilities) > 1.0 + 1e-9:
            raise ValueError(f"the probabilities of [[vary]] sum to more than 1: {probabilities}")
        return self

    @property
    def first(self) -> int:
        """How many candidates are sampled at first: ``initial``, or N."""
        return self.initial or self.population

    def plain(self) -> dict[str, Any]:
        """The preset as plain data that TOML can hold, as the run directory records it (invariant I10).

        Returns:
            The keys that are set; an operator object is written ``module:qualname``.
        """
        data: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "source": self.source,
            "population": self.population,
            "parents": self.parents,
            "generations": self.generations,
            "offspring": self.offspring,
            "sampling": self.sampling.model_dump(mode="json"),
            "carry": self.carry.model_dump(mode="json"),
        }
        if self.initial is not None:
            data["initial"] = self.initial
        if self.order != "random":  # runs older than the key do not have it
            data["order"] = self.order
        for key in _SINGLE:
            spec: OperatorSpec | None = getattr(self, key)
            if spec is not None:
                data[key] = spec.plain()
        data["vary"] = [one.plain() for one in self.vary]
        if self.stop:
            data["stop"] = [one.plain() for one in self.stop]
        found: dict[str, Any] = _without_none(data)
        return found

    def to_toml(self) -> str:
        """The preset as a TOML document. ``from_toml`` reads an equal preset from it."""
        return tomlkit.dumps(self.plain())

    @classmethod
    def from_toml(cls, text: str, origin: str = "preset") -> Preset:
        """Read a preset from a TOML document.

        Args:
            text: The document.
            origin: What to call the document in an error.

        Raises:
            UserError: The document is not TOML or not a preset. The error names the key and what was expected.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{origin} is not valid TOML: {error}") from error
        return cls.from_plain(data, origin)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any], origin: str = "preset") -> Preset:
        """Make a preset from plain data.

        Args:
            data: The keys of the preset, as in a TOML file.
            origin: What to call the data in an error.

        Raises:
            UserError: The data are not a preset. The error names the key and what was expected.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise UserError(f"{origin}: {_explain(error, cls)}") from error

    def override(self, changes: Mapping[str, Any], origin: str = "the settings") -> Preset:
        """A copy of the preset with some keys changed.

        Setting ``select`` itself (or ``select.operator``) to another operator drops the parameters of the old one.
        Setting ``carry.policy`` drops its tokens.

        Args:
            changes: Values by dotted keys: ``{"population": 8, "select.tournsize": 2, "vary.0.probability": .5}``.
            origin: What to call the changes in an error.

        Raises:
            UserError: A key does not exist, or a value does not fit.
        """
        data = self.model_dump(exclude_unset=False)
        for key in _SINGLE:  # keep operator objects as objects
            spec: OperatorSpec | None = getattr(self, key)
            data[key] = None if spec is None else {**spec.parameters, "operator": spec.operator}
        data["vary"] = [
            {**one.parameters, "operator": one.operator, "probability": one.probability, "anneal": one.anneal}
            for one in self.vary
        ]
        data["stop"] = [{**one.parameters, "operator": one.operator} for one in self.stop]
        # An operator or policy is named before its parameters are set, whatever the order they were given in.
        names = ("operator", "policy")
        for key in sorted(changes, key=lambda key: (not key.endswith(names), key.count("."))):
            _assign(data, key.split("."), changes[key], key)
        return Preset.from_plain(data, origin)


def _spelled(value: Any) -> Any:
    """An operator given by its name or as a function, as a table; what a partial binds becomes its parameters."""
    if isinstance(value, functools.partial):
        if value.args:
            raise ValueError(f"bind the parameters of {name_of(value)!r} by name, not by position")
        return {**_spelled(value.func), **value.keywords}
    return {"operator": value} if isinstance(value, str) or callable(value) else value


def builtin_presets() -> dict[str, Preset]:
    """The built-in presets by name, in alphabetical order of their files."""
    folder = files("evolve_llm") / "presets"
    texts = {
        entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")
    }
    found = [Preset.from_toml(texts[name], name) for name in sorted(texts)]
    return {preset.name: preset for preset in found}


def load_preset(name: str) -> Preset:
    """Load a preset.

    Args:
        name: The name of a built-in preset, or the path of a TOML file.

    Raises:
        UserError: There is no such preset or file (the error lists the names), or the file is not a preset.
    """
    path = Path(name)
    if path.suffix == ".toml" or "/" in name:
        try:
            return Preset.from_toml(path.read_text("utf-8"), name)
        except FileNotFoundError:
            raise UserError(f"no such preset file: {name}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the preset file {name} cannot be read: {error}") from error
    presets = builtin_presets()
    if name not in presets:
        hint = did_you_mean(name, presets)
        raise UserError(
            f"unknown preset {name!r}.{hint} Available: {', '.join(presets)}. You can also give the path of "
            "a .toml file"
        )
    return presets[name]


def _assign(data: dict[str, Any], path: list[str], value: Any, whole: str) -> None:
    node: Any = data
    for depth, key in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise UserError(
                    f"--set {whole}: {'.'.join(path[:depth])} has entries 0 to {len(node) - 1}, not {key!r}"
                )
            if last:
                node[int(key)] = value
            else:
                node = node[int(key)]
        elif isinstance(node, dict):
            if key == "operator" and last and node.get("operator") != value:
                kept = {name: node[name] for name in ("probability", "anneal") if node.get(name) is not None}
                node.clear()
                node.update(kept)
            if path[:-1] == ["carry"] and key == "policy" and node.get("policy") != value:
                node["tokens"] = None
            if depth == 0 and key not in data:
                hint = did_you_mean(key, data)
                raise UserError(
                    f"--set {whole}: a preset has no key {key!r}.{hint} Keys: {', '.join(sorted(data))}"
                )
            if last:
                node[key] = value
            else:
                if node.get(key) is None:
                    node[key] = {}
                elif key in _SINGLE and not isinstance(node[key], Mapping):  # set just now, by its name alone
                    node[key] = {"operator": node[key]}
                node = node[key]
        else:
            raise UserError(
                f"--set {whole}: {'.'.join(path[:depth])} is a plain value and has no key {key!r}"
            )


_TABLES: dict[str, type[BaseModel]] = {"sampling": SamplingSpec, "carry": CarrySpec}


def _explain(error: ValidationError, schema: type[BaseModel]) -> str:
    lines = []
    for one in error.errors():
        where = ".".join(str(part) for part in one["loc"])
        message = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            inner: type[BaseModel] = _TABLES.get(where.partition(".")[0], schema)
            message = f"no such key; keys are {', '.join(inner.model_fields)}"
        elif one["type"] == "missing":
            message = "is required"
        elif "input" in one and not isinstance(one["input"], dict):
            message = f"{message}, got {one['input']!r}"
        lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return reference_of(value) if callable(value) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_none(inner) for inner in value]
    return value
