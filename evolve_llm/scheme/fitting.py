"""Whether the operators of a scheme fit each other and the preset: found before a token is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evolve_llm.nouns.errors import OperatorError, UserError
from evolve_llm.scheme.applying import needs_fitness
from evolve_llm.scheme.declarations import (
    Replacement,
    Variation,
    declaration,
    own_parameters,
    reference_of,
)
from evolve_llm.scheme.parameters import wrong_parameters
from evolve_llm.scheme.plan import plan_generation
from evolve_llm.scheme.scheme import Scheme


def check(scheme: Scheme) -> None:
    """Whether the operators fit each other. Raises UserError; also to be called after re-registering."""
    preset, toolbox = scheme.preset, scheme.toolbox
    if not hasattr(toolbox, "evaluate"):
        for alias in (
            "select",
            "replace",
            "finish",
            *(["truncate"] if preset.truncate else []),
            *scheme.stops,
        ):
            function = getattr(toolbox, alias)
            unused = alias in ("select", "replace") and preset.generations == 1
            if needs_fitness(scheme.kinds[alias], function) and not unused:
                raise UserError(
                    f"preset {preset.name!r}: [{alias}] {reference_of(function)} needs a fitness, but the "
                    "preset has no [evaluate]; add one, for example --set evaluate=agreement"
                )
    fewest, weights = scheme.selection.objectives, scheme.weights
    if preset.generations > 1 and weights is not None and len(weights) < fewest:
        raise UserError(
            f"preset {preset.name!r}: [select] {reference_of(toolbox.select)} needs a fitness of at least {fewest} "
            f"values, but [evaluate] {reference_of(toolbox.evaluate)} gives {len(weights)}; use several objectives "
            'or cases, for example evaluate = { operator = "self_verify", votes = 4, cases = true }'
        )
    if preset.truncate is not None:
        said = declaration(Replacement, toolbox.truncate)
        if said.positional or said.varies_size:
            raise UserError(
                f"preset {preset.name!r}: [truncate] {reference_of(toolbox.truncate)} does not choose N of more; "
                'use one that does, for example truncate = "plus"'
            )
    if scheme.positional and scheme.children != preset.population:
        raise UserError(
            f"preset {preset.name!r}: [replace] {reference_of(toolbox.replace)} puts each child into its own slot, so "
            f"offspring ({scheme.children}) must equal population ({preset.population})"
        )
    if scheme.selection.structured and not scheme.positional and preset.generations > 1:
        raise UserError(
            f"preset {preset.name!r}: [select] {reference_of(toolbox.select)} gives each slot a meaning, but [replace] "
            f'{reference_of(toolbox.replace)} does not keep the slots; use replace = "generational"'
        )
    only = scheme.selection.arity
    if only is not None and preset.generations > 1:
        wrong = [choice for choice in scheme.choices if choice.arity > only]
        if wrong:
            raise UserError(
                f"preset {preset.name!r}: [select] {reference_of(toolbox.select)} gives {only} parent(s), but "
                f"{wrong[0].alias!r} takes {wrong[0].arity}; set parents = {only} or choose another operator"
            )
    if declaration(Variation, toolbox.init).arity not in (0, None):
        raise UserError(
            f"preset {preset.name!r}: [init] must sample from scratch, but {reference_of(toolbox.init)} needs parents"
        )
    _require(scheme)
    _rehearse(scheme)


def _require(scheme: Scheme) -> None:
    """Ask operators that have conditions of their own whether they can work in this preset."""
    preset = scheme.preset
    for alias in ("truncate", "select", "replace", "finish", "adapt", *scheme.stops):
        function = getattr(scheme.toolbox, alias, None) if alias in scheme.kinds else None
        requires = function and getattr(declaration(scheme.kinds[alias], function), "requires", None)
        if function is not None:
            refuse_wrong(f"preset {preset.name!r}: [{alias}]", function, own_parameters(function))
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


def refuse_wrong(where: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raises UserError where a parameter is not what its annotation asks for."""
    if wrong := wrong_parameters(function, given):
        raise UserError(f"{where} {reference_of(function)}: {'; '.join(wrong)}")


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
