"""Everything that plugs in: entry points by group, with errors that list what exists."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
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
    "tracker": "evolve_llm.trackers",
}


class PlugIns(dict[str, EntryPoint]):
    """The plug-ins of a kind by name, sorted; evolve-llm's own come before others of the same name.

    ``twice`` holds the names that installed packages use for different things, each with all of those.
    """

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self.twice: dict[str, list[EntryPoint]] = {}
        found: dict[str, dict[str, EntryPoint]] = {}
        for point in sorted(points, key=lambda point: (point.name, not is_ours(point), point.value)):
            found.setdefault(point.name, {}).setdefault(point.value, point)
        for name, by_value in found.items():
            first, *others = by_value.values()
            self[name] = first
            if others:
                self.twice[name] = [first, *others]


def is_ours(point: EntryPoint) -> bool:
    """Whether a plug-in is evolve-llm's own."""
    return point.dist is not None and point.dist.name == "evolve-llm"


@cache
def available(kind: str) -> PlugIns:
    """All plug-ins of a kind (a key of GROUPS), by name, sorted.

    A name that two packages use for different things is listed, and `load` refuses it: no package changes what
    another one's name means, and all other names go on working.
    """
    return PlugIns(entry_points(group=GROUPS[kind]))


@cache
def load(kind: str, name: str) -> Any:
    """The object a plug-in names.

    Raises UserError for an unknown name, a name that two installed packages use for different things, and a
    plug-in that cannot be imported.
    """
    points = available(kind)
    if name not in points:
        raise UserError(unknown(kind, name, points))
    if name in points.twice:
        raise UserError(_taken_twice(kind, name, points.twice[name]))
    point = points[name]
    try:
        return point.load()
    except AttributeError as error:
        raise UserError(f"the {kind} {name!r} names {point.value}, which does not exist: {error}") from error
    except Exception as error:  # somebody else's module may fail in any way
        raise UserError(f"the {kind} {name!r} ({point.value}) cannot be imported: {error}") from error


def _taken_twice(kind: str, name: str, points: Sequence[EntryPoint]) -> str:
    told = " and ".join(
        f"{point.value} ({point.dist.name})" if point.dist is not None else point.value for point in points
    )
    way = f"write the one you mean in full ({points[-1].value}), or " if kind == "operator" else ""
    return f"two installed packages define the {kind} {name!r}: {told}; {way}uninstall one of them"


def imported(reference: str, kind: str = "") -> Any:
    """The object that ``module:name`` names; the current folder counts as a place for modules, the last one.

    Raises UserError, which says what ``kind`` of thing it was to be, where it cannot be imported, and where a
    module of Python or of an installed package comes before a file of that name in the current folder.
    """
    module, _, attribute = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not see the folder it is called from
        sys.path.append(here)
    hidden = _hidden_file(module.partition(".")[0])
    if hidden:
        raise UserError(f"{kind} {reference!r} cannot be used: {hidden}".lstrip())
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # the module is the user's and may fail in any way
        raise UserError(f"{kind} {reference!r} cannot be imported: {error}".lstrip()) from error
    return found


def _hidden_file(module: str) -> str:
    """Which file of the current folder Python cannot see under a module's name, and what to do; empty for none.

    Whichever of the two the user meant, taking the other would be a wrong result that nobody notices.
    """
    file = next(
        (path for path in (Path(module) / "__init__.py", Path(f"{module}.py")) if path.is_file()), None
    )
    if file is None:
        return ""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a module without a specification, such as __main__
        return ""
    if spec is None or (spec.origin and Path(spec.origin).exists() and file.samefile(spec.origin)):
        return ""
    own = module in sys.stdlib_module_names
    owner = "Python's own module" if own else f"the module of that name in {Path(spec.origin or '').parent}"
    thing = file if file.name != "__init__.py" else file.parent
    return (
        f"{thing} in the current folder is hidden by {owner}; "
        f"rename it, for example to my_{thing.name}, and write my_{module}:NAME"
    )


def unknown(kind: str, name: str, names: Any) -> str:
    """The message for a name that does not exist: the nearest ones first, then all."""
    listed = sorted(names)
    return f"unknown {kind} {name!r}.{did_you_mean(name, listed)} Available: {', '.join(listed) or '(none)'}"
