"""``evolve-llm list``: what is installed, by kind, with what each thing takes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolve_llm.cli.console import console, print_json
from evolve_llm.cli.failures import reported
from evolve_llm.cli.options import JsonFlag
from evolve_llm.nouns.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from evolve_llm.scheme.preset import Preset


class Kind(StrEnum):
    """What can be listed."""

    OPERATORS = "operators"
    PRESETS = "presets"
    PROBLEMS = "problems"
    BACKENDS = "backends"
    GRADERS = "graders"
    FORMATS = "formats"
    TRACKERS = "trackers"


@reported
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    *,
    json: JsonFlag = False,
) -> None:
    """List what can be named here: operators, presets, problem sets, backends, graders, formats or trackers."""
    entries = _presets() if kind is Kind.PRESETS else _plugins(kind)
    if json:
        print_json({kind.value: entries})
    else:
        _print(entries)


def _presets() -> list[dict[str, Any]]:
    from evolve_llm.scheme.preset import builtin_presets
    from evolve_llm.scheme.toolbox import build
    from evolve_llm.session.estimate import count_requests

    def requests(preset: Preset) -> int | None:
        try:
            return count_requests(build(preset)).total
        except UserError:  # what it needs is not installed
            return None

    return [
        {
            "name": name,
            "summary": preset.description,
            "parameters": {"N": preset.population, "K": preset.parents, "T": preset.generations},
            "requests per problem": requests(preset),
            "source": preset.source,
        }
        for name, preset in builtin_presets().items()
    ]


def _plugins(kind: Kind) -> list[dict[str, Any]]:
    from evolve_llm.scheme import registry

    group, describe = {
        Kind.OPERATORS: ("operator", _operator),
        Kind.PROBLEMS: ("problem set", _problem_set),
        Kind.BACKENDS: ("backend", _backend),
        Kind.GRADERS: ("grader", _instance),
        Kind.FORMATS: ("answer format", _format),
        Kind.TRACKERS: ("tracker", lambda _, factory: {"summary": summary(factory), "parameters": {}}),
    }[kind]
    return [_entry(group, name, point, describe) for name, point in registry.available(group).items()]


def _entry(
    group: str, name: str, point: EntryPoint, describe: Callable[[str, Any], dict[str, Any]]
) -> dict[str, Any]:
    from evolve_llm.scheme import registry

    package = point.dist.name if point.dist is not None else "?"
    try:
        loaded = registry.load(group, name)
        described = describe(name, loaded)
    except UserError as error:  # one broken plug-in must not hide the others
        described = {"summary": f"cannot be used: {error}", "parameters": {}}
    return {"name": name, **described, "package": package, "object": point.value}


def _operator(name: str, function: Any) -> dict[str, Any]:
    from evolve_llm.scheme.declarations import KINDS, declaration

    kind = name.partition(".")[0]
    declares = declaration(KINDS[kind], function) if kind in KINDS else None
    attributes = {one.name: getattr(declares, one.name) for one in fields(declares)} if declares else {}
    said = [
        attribute
        if value is True
        else f"{attribute} by its parameters"
        if callable(value)
        else f"{attribute}={value}"
        for attribute, value in attributes.items()
        if value is True or attribute == "arity" or (attribute == "weights" and value != (1.0,))
    ]
    if kind == "select":
        said = [one for one in said if one not in ("distinct", "arity=None")]
    said = ["arity=K" if one == "arity=None" else one for one in said]
    return {"summary": summary(function), "parameters": keywords(function), "attributes": said}


def _problem_set(_: str, loader: Any) -> dict[str, Any]:
    return {"summary": summary(loader), "parameters": keywords(loader)}


def _backend(_: str, factory: Any) -> dict[str, Any]:
    """Options of a factory are the fields of the one Options class its module defines."""
    from evolve_llm.backends.options import Options

    module = sys.modules[factory.__module__]
    kinds = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Options) and one.__module__ == module.__name__
    ]
    options = kinds[0].model_fields if len(kinds) == 1 else {}
    return {
        "summary": summary(factory),
        "parameters": {
            name: _json_value(field.get_default(call_default_factory=True)) for name, field in options.items()
        },
        "options": {name: field.description for name, field in options.items()},
    }


def _instance(_: str, one: Any) -> dict[str, Any]:
    return {"summary": summary(type(one)), "parameters": {}}


def _format(_: str, one: Any) -> dict[str, Any]:
    return {"summary": summary(one.extract), "parameters": {}}


def summary(thing: Any) -> str:
    """The first paragraph of a docstring, on one line, up to its first full stop."""
    first = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    line = " ".join(first.replace("``", "").split())
    end = line.find(". ")
    return (line if end < 0 else line[:end]).rstrip(".")


def keywords(function: Any) -> dict[str, Any]:
    """Keyword parameters with their defaults; those the engine gives are left out."""
    from evolve_llm.scheme.declarations import ENGINE_KEYWORDS

    found: dict[str, Any] = {}
    for name, one in inspect.signature(function).parameters.items():
        if one.kind is one.VAR_KEYWORD:
            found[f"**{name}"] = None
        elif one.kind is one.KEYWORD_ONLY and name not in ENGINE_KEYWORDS:
            found[name] = "(required)" if one.default is one.empty else one.default
    return {name: _json_value(value) for name, value in found.items()}


def _json_value(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _print(entries: list[dict[str, Any]]) -> None:
    from rich.padding import Padding

    from evolve_llm.cli.tables import styled
    from evolve_llm.cli.text import one_line

    out = console()
    for one in entries:
        out.print(styled(one_line(one["name"], 200), "bold"))
        for line in (one["summary"], *_details(one)):
            out.print(Padding(styled(one_line(line, 1000)), (0, 0, 0, 4), expand=False))


def _details(one: dict[str, Any]) -> Iterator[str]:
    if one["parameters"]:
        yield "takes " + ", ".join(_parameter(*pair) for pair in one["parameters"].items())
    if one.get("attributes"):
        yield "is " + ", ".join(one["attributes"])
    if "requests per problem" in one:
        cost = one["requests per problem"]
        yield f"{'an unknown number of' if cost is None else cost} requests per problem; from {one['source']}"
    if "package" in one:
        yield f"from {one['package']}: {one['object']}"


def _parameter(name: str, default: Any) -> str:
    if name.startswith("**"):
        return "any other key"
    return f"{name}={_default(default)}"


def _default(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)
