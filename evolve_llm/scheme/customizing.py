"""A toolbox that its user has changed, written back into the preset: the record names what runs (invariant I10)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deap import base

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.deap_names import refuse_what_cannot_work
from evolve_llm.scheme.declarations import (
    ENGINE_KEYWORDS,
    Adaptation,
    Declaration,
    Evaluation,
    declared,
    from_deap,
    name_of,
)
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.scheme import Scheme
from evolve_llm.scheme.toolbox import build

_NEW: dict[str, type[Declaration]] = {"evaluate": Evaluation, "adapt": Adaptation}
"""Aliases that a preset may lack, and that can be registered all the same."""


def customized(
    scheme: Scheme, customize: Callable[[base.Toolbox], None], prompts: Path | None = None
) -> Scheme:
    """The scheme after ``customize`` has re-registered or decorated what it likes.

    It is built anew from a preset that names the operators now behind the aliases: the preset says what runs, and
    a run can be repeated from it. ``prompts`` is as in ``build``. Raises UserError for an operator that lost its
    declaration, for parameters bound by position, for an alias that nothing would ever call, and where the
    operators no longer fit each other.
    """
    toolbox = scheme.toolbox
    before = {alias: scheme.operator(alias) for alias in scheme.kinds}
    customize(toolbox)
    refuse_what_cannot_work(toolbox)
    for alias, function in vars(toolbox).items():
        unused = alias not in scheme.kinds and alias not in _NEW
        if unused and (alias in _ROLES or alias.startswith(("vary_", "stop_"))):
            raise UserError(
                f"nothing would ever call {alias!r} ({name_of(function)}): the preset {scheme.preset.name!r} has "
                f"the aliases {', '.join(sorted(scheme.kinds))}; add the operator to the preset instead"
            )
    for alias, kind in scheme.kinds.items():
        if alias not in _NEW and not hasattr(toolbox, alias):
            raise UserError(f"the toolbox has no {alias!r} any more; the preset needs a {kind.noun}")
    changed = {
        alias: kind
        for alias, kind in {**scheme.kinds, **_NEW}.items()
        if scheme.operator(alias) not in (None, before.get(alias))
    }
    for alias, kind in changed.items():
        _declared_still(alias, kind, before.get(alias), getattr(toolbox, alias))
    return build(_rewritten(scheme, toolbox, list(changed)), prompts)


_ROLES = ("mate", "mutate", "reproduce")


def _declared_still(
    alias: str, kind: type[Declaration], before: Callable[..., Any] | None, now: Callable[..., Any]
) -> None:
    """Raises UserError where an alias has an operator that declares nothing and is none of DEAP's own."""
    if declared(now) is not None or from_deap(now):
        return
    was = None if before is None else declared(before)
    line = was.line() if was is not None else f"@{kind.decorator}(…)"
    raise UserError(
        f"what was registered or decorated as {alias!r}, {name_of(now)}, does not declare what it is. In a "
        f"decorator, put @functools.wraps(function) above the inner function, which keeps the declaration; above an "
        f"operator of your own, write {line}"
    )


def _rewritten(scheme: Scheme, toolbox: base.Toolbox, changed: list[str]) -> Preset:
    """The preset with the operators that stand behind the changed aliases."""
    preset, changes = scheme.preset, dict[str, Any]()
    if preset.evaluate is not None and not hasattr(toolbox, "evaluate"):
        changes["evaluate"] = "none"
    if preset.adapt is not None and not hasattr(toolbox, "adapt"):
        changes["adapt"] = "none"
    for alias in changed:
        spec = _spec(alias, getattr(toolbox, alias))
        places = [index for index, one in enumerate(scheme.choices[: len(preset.vary)]) if one.alias == alias]
        for index in places:
            place = preset.vary[index]
            changes[f"vary.{index}"] = {**spec, "probability": place.probability, "anneal": place.anneal}
        if alias.startswith("stop_"):
            changes[f"stop.{alias.removeprefix('stop_')}"] = spec
        elif alias == "reproduce":
            raise UserError(
                "'reproduce' is what the probabilities of [[vary]] leave, and has no place of its own in a preset: "
                "add an operator of one parent to [[vary]] instead"
            )
        elif alias not in _ROLES and not alias.startswith("vary_"):
            changes[alias] = spec
    return preset.override(changes, "the customized toolbox") if changes else preset


def _spec(alias: str, function: Callable[..., Any]) -> dict[str, Any]:
    """A registered operator as a preset writes it. Raises UserError for parameters bound by position."""
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        if function.args:
            raise UserError(
                f"bind the parameters of {alias!r} by name, not by position: the preset could not name them"
            )
        keywords = {**function.keywords, **keywords}
        function = function.func
    own = {name: value for name, value in keywords.items() if name not in ENGINE_KEYWORDS}
    return {"operator": function, **own}
