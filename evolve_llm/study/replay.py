"""Arms that ask nothing of their own: what another arm recorded answers all their requests."""

from __future__ import annotations

from collections.abc import Sequence

from evolve_llm.scheme.declarations import Finishing, declaration
from evolve_llm.scheme.preset import Preset
from evolve_llm.scheme.toolbox import build
from evolve_llm.study.spec import Arm

_FREE = ("name", "description", "source", "finish", "stop", "generations", "population")
_OF_CHILDREN = ("parents", "offspring", "carry", "order", "select", "vary", "replace", "adapt")


def source_of(arm: Arm, others: Sequence[Arm]) -> Arm | None:
    """The first of the others from whose record the arm can be replayed, None where it must ask.

    It can be replayed where the two differ in nothing but what takes less of the same populations: another finish that
    asks no model, fewer generations, a rule of stopping more, or, where there is one generation, fewer candidates. How
    children are made does not matter to an arm that has none.
    """
    return next((one for one in others if one is not arm and _holds(one.preset, arm.preset)), None)


def _holds(recorded: Preset, wanted: Preset) -> bool:
    """Whether every request of ``wanted`` is one of ``recorded``."""
    childless = wanted.generations == 1
    free = {*_FREE, *(_OF_CHILDREN if childless else ())}
    if childless and wanted.evaluate is None:
        free.add("evaluate")
    one, other = (
        {key: value for key, value in each.plain().items() if key not in free} for each in (recorded, wanted)
    )
    if one != other or wanted.generations > recorded.generations or _asks(wanted):
        return False
    if wanted.population != recorded.population:
        whole = wanted.initial is None is recorded.initial
        if not (childless and whole and wanted.population < recorded.population):
            return False
    rules = [rule.plain() for rule in wanted.stop]
    return all(rule.plain() in rules for rule in recorded.stop)


def _asks(preset: Preset) -> bool:
    """Whether the finish shows chains to the model."""
    return bool(declaration(Finishing, build(preset).toolbox.finish).calls)
