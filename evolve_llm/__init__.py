"""evolve-llm: evolutionary search for LLM reasoning.

A population of reasoning chains is evolved per problem: DEAP selects, the language model varies.

    from evolve_llm import evolve
    run = evolve("reasoning_gym:chain_sum", preset="rsa", population=4, parents=2, generations=3, limit=4)
    for row in run.generations():
        print(row.generation, row.plain()["pass@1"])

Names are imported when first used, so ``import evolve_llm`` costs nothing.
"""

from __future__ import annotations

import importlib

# Type checkers take this name for True. Nothing is imported for it, so that `python -m evolve_llm` can take the
# current folder, and a re.py of the user's in it, off the search path before anything else is imported.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from evolve_llm.analysis.genealogy import genealogy
    from evolve_llm.analysis.logbook import Observer
    from evolve_llm.analysis.run import Run
    from evolve_llm.engine.evolution import Generation
    from evolve_llm.nouns.candidate import Candidate, Fitness
    from evolve_llm.nouns.errors import (
        BackendError,
        EvolveError,
        OperatorError,
        RequestError,
        StoreError,
        UserError,
    )
    from evolve_llm.nouns.problem import Problem
    from evolve_llm.nouns.request import Completion, Message, Prompt, Request, Sampling
    from evolve_llm.nouns.verdict import Grade, Verdict
    from evolve_llm.scheme.decorators import (
        adaptation,
        evaluation,
        finishing,
        replacement,
        selection,
        stopping,
        variation,
    )
    from evolve_llm.scheme.operator import Ask, Consult, Copy, Final, Steps
    from evolve_llm.scheme.penalty import delta_penalty
    from evolve_llm.scheme.plan import Plan
    from evolve_llm.scheme.preset import Preset, load_preset
    from evolve_llm.scheme.problem_sets import load_problems
    from evolve_llm.session.session import Session, evolve

__version__ = "0.1.0"

_HOMES = {
    "nouns.candidate": ("Candidate", "Fitness"),
    "nouns.errors": ("BackendError", "EvolveError", "OperatorError", "RequestError", "StoreError", "UserError"),
    "engine.evolution": ("Generation",),
    "scheme.decorators": (
        "adaptation", "evaluation", "finishing", "replacement", "selection", "stopping", "variation",
    ),
    "scheme.operator": ("Ask", "Consult", "Copy", "Final", "Steps"),
    "scheme.penalty": ("delta_penalty",),
    "scheme.plan": ("Plan",),
    "scheme.preset": ("Preset", "load_preset"),
    "nouns.problem": ("Problem",),
    "scheme.problem_sets": ("load_problems",),
    "nouns.request": ("Completion", "Message", "Prompt", "Request", "Sampling"),
    "analysis.genealogy": ("genealogy",),
    "analysis.logbook": ("Observer",),
    "analysis.run": ("Run",),
    "session.session": ("Session", "evolve"),
    "nouns.verdict": ("Grade", "Verdict"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Ask", "BackendError", "Candidate", "Completion", "Consult", "Copy", "EvolveError", "Final", "Fitness",
    "Generation", "Grade", "Message", "Observer", "OperatorError", "Plan", "Preset", "Problem", "Prompt",
    "Request", "RequestError", "Run", "Sampling", "Session", "Steps", "StoreError", "UserError", "Verdict",
    "adaptation", "delta_penalty", "evaluation", "evolve", "finishing", "genealogy", "load_preset", "load_problems",
    "replacement", "selection", "stopping", "variation",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"evolve_llm.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'evolve_llm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
