"""Everything that plugs in: entry points by group, with errors that list what exists."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from evolve_llm.basics.nearest import did_you_mean
from evolve_llm.nouns.errors import UserError

GROUPS = {
    "operator": "evolve_llm.operators",
    "problem set": "evolve_llm.problems",
    "backend": "evolve_llm.backends",
    "grader": "evolve_llm.graders",
    "answer format": "evolve_llm.formats",
}


@cache
def available(kind: str) -> dict[str, EntryPoint]:
    """All plug-ins of a kind (a key of GROUPS), by name, sorted.

    Raises UserError when two installed packages give one name to different things.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUPS[kind]), key=lambda point: (point.name, point.value)):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise UserError(
                f"two installed packages define the {kind} {point.name!r}: {other.value} and {point.value}; "
                "uninstall one of them"
            )
    return found


@cache
def load(kind: str, name: str) -> Any:
    """The object a plug-in names. Raises UserError for an unknown name or a plug-in that cannot be imported."""
    points = available(kind)
    if name not in points:
        raise UserError(unknown(kind, name, points))
    point = points[name]
    try:
        return point.load()
    except AttributeError as error:
        raise UserError(f"the {kind} {name!r} names {point.value}, which does not exist: {error}") from error
    except Exception as error:  # somebody else's module may fail in any way
        raise UserError(f"the {kind} {name!r} ({point.value}) cannot be imported: {error}") from error


def imported(reference: str, kind: str = "") -> Any:
    """The object that ``module:name`` names; the current folder counts as a place for modules.

    Raises UserError, which says what ``kind`` of thing it was to be, where it cannot be imported.
    """
    module, _, attribute = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not see the folder it is called from
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # the module is the user's and may fail in any way
        raise UserError(f"{kind} {reference!r} cannot be imported: {error}".lstrip()) from error
    return found


def unknown(kind: str, name: str, names: Any) -> str:
    """The message for a name that does not exist: the nearest ones first, then all."""
    listed = sorted(names)
    return f"unknown {kind} {name!r}.{did_you_mean(name, listed)} Available: {', '.join(listed) or '(none)'}"
