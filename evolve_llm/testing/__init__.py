"""For tests, ours and yours: Hypothesis strategies, misbehaving models, and contract suites to inherit.

    from evolve_llm.testing import FairSelectionContract

    class TestMySelector(FairSelectionContract):
        selector = staticmethod(my_selector)

Needs the package ``hypothesis``; the rest of evolve-llm never imports this one. pytest collects the contracts,
and ``evolve-llm check`` runs them without it. See docs/testing.md.
"""

from __future__ import annotations

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"evolve_llm.testing needs {error.name}, which is not installed: pip install 'evolve-llm[check]'"
    ) from error

from evolve_llm.testing.backend import BackendContract
from evolve_llm.testing.behaviours import Behaviour, Ledger, Reordering
from evolve_llm.testing.contracts import SelectionContract
from evolve_llm.testing.fairness import FairSelectionContract
from evolve_llm.testing.finish import FinishContract
from evolve_llm.testing.fitness import FitnessContract
from evolve_llm.testing.grader import GraderContract
from evolve_llm.testing.problem_set import ProblemContract
from evolve_llm.testing.replacement import ReplacementContract, the_best
from evolve_llm.testing.rules import AdaptationContract, StoppingContract
from evolve_llm.testing.runs import TABLES, contents, database, lineage, run_directory
from evolve_llm.testing.strategies import (
    HOSTILE,
    behaviours,
    candidates,
    hostile_texts,
    orders,
    populations,
    presets,
    problem_sets,
    problems,
    seeds,
)
from evolve_llm.testing.tracker import TrackerContract
from evolve_llm.testing.variation import VariationContract
from evolve_llm.testing.wording import BrokenError

__all__ = [
    "HOSTILE", "TABLES", "AdaptationContract", "BackendContract", "Behaviour", "BrokenError",
    "FairSelectionContract", "FinishContract", "FitnessContract", "GraderContract", "Ledger", "ProblemContract",
    "Reordering", "ReplacementContract", "SelectionContract", "StoppingContract", "TrackerContract",
    "VariationContract", "behaviours",
    "candidates", "contents", "database", "hostile_texts", "lineage", "orders", "populations", "presets",
    "problem_sets", "problems", "run_directory", "seeds", "the_best",
]  # fmt: skip
