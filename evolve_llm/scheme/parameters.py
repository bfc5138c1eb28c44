"""Parameters of operators whose annotation says what would fit, checked before a token is spent.

``Annotated[int, Field(ge=1)]`` and ``Literal["worst", "similar"]`` say so, ``int`` alone does not: a plug-in's
plain annotations bind nobody. Nothing is converted: ``"3"``, ``True`` and ``2.0`` are no whole numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import annotated_types
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

_AS_IT_IS = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
_KINDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}


def wrong_parameters(function: Callable[..., Any], given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parameters given to an operator, a sentence each; nothing where they fit."""
    while hasattr(function, "func"):
        function = function.func
    try:
        hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception:  # the annotations are the user's and may name what does not exist at run time
        return []
    found = []
    for name, value in given.items():
        if name in hints and _says_what_fits(hints[name]):
            try:
                TypeAdapter(hints[name], config=_AS_IT_IS).validate_python(value)
            except ValidationError:
                found.append(f"{name} must be {_described(hints[name])}, got {value!r}")
    return found


def _says_what_fits(hint: Any) -> bool:
    return get_origin(hint) in (Annotated, Literal) or any(map(_says_what_fits, get_args(hint)))


def _described(hint: Any) -> str:
    """An annotation in words."""
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is Annotated:
        kind, *told = get_args(hint)
        rules = [rule for one in told for rule in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return " ".join(filter(None, (_described(kind), _bounds(rules))))
    options = [_described(one) for one in get_args(hint) if one is not type(None)]
    return " or ".join(options) or _KINDS.get(hint) or str(getattr(hint, "__name__", hint))


def _bounds(rules: list[Any]) -> str:
    """Bounds of a number in words."""
    low = next((one for one in rules if isinstance(one, annotated_types.Ge | annotated_types.Gt)), None)
    high = next((one for one in rules if isinstance(one, annotated_types.Le | annotated_types.Lt)), None)
    if isinstance(low, annotated_types.Ge) and isinstance(high, annotated_types.Le):
        return f"from {low.ge} to {high.le}"
    said = []
    if isinstance(low, annotated_types.Ge):
        said.append(f"of at least {low.ge}")
    elif low is not None:
        said.append(f"greater than {low.gt}")
    if isinstance(high, annotated_types.Le):
        said.append(f"of at most {high.le}" if low is None else f"at most {high.le}")
    elif high is not None:
        said.append(f"less than {high.lt}")
    return " and ".join(said)
