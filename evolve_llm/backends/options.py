"""Reading a backend's options: from keyword arguments and from ``--set engine.KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.registry import unknown


class Options(BaseModel):
    """Base of every backend's options: frozen, no unknown names, values from strings where they fit."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True, protected_namespaces=()
    )


Seeds = Literal["request", "none"]
"""Whether a request carries its seed: with ``none`` an engine may draw faster, and no text can be had again."""

Chosen = TypeVar("Chosen", bound=Options)


def read_options(kind: type[Chosen], backend: str, given: Mapping[str, object]) -> Chosen:
    """The options of ``backend`` as an object of ``kind``.

    Raises UserError that names every unknown or impossible option at once and lists those that exist.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise UserError(_complaint(kind, backend, error)) from None


def _complaint(kind: type[Options], backend: str, error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False):
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(unknown(f"option of the backend {backend}", name, kind.model_fields))
        elif name:
            lines.append(f"option {name} of the backend {backend}: {fault['msg']}, got {fault['input']!r}")
        else:
            lines.append(f"options of the backend {backend}: {fault['msg']}")
    return "\n".join(lines)
