"""For tests, ours and yours: Hypothesis strategies, misbehaving models, and contract suites to inherit.

    from hypothesis import given
    from evolve_llm.testing import SelectionContract, populations

    class TestMySelector(SelectionContract):
        selector = staticmethod(my_selector)

Needs the package ``hypothesis``; the rest of evolve-llm never imports this one.
"""

from __future__ import annotations

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        "evolve_llm.testing needs hypothesis, which is not installed: pip install 'evolve-llm[test]'"
    ) from error

from evolve_llm.testing.behaviours import Behaviour, Ledger, Reordering
from evolve_llm.testing.contracts import SelectionContract
from evolve_llm.testing.runs import TABLES, contents, database, lineage
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

__all__ = [
    "HOSTILE", "TABLES", "Behaviour", "Ledger", "Reordering", "SelectionContract", "behaviours", "candidates",
    "contents", "database", "hostile_texts", "lineage", "orders", "populations", "presets", "problem_sets",
    "problems", "seeds",
]  # fmt: skip
