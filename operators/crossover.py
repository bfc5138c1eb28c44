"""Crossover: several parents' chains become the prompt for one child."""

from __future__ import annotations

from collections.abc import Sequence

from evolve_llm.candidate import Candidate
from evolve_llm.operator import variation
from evolve_llm.problem import Problem
from evolve_llm.request import Prompt
from evolve_llm.templates import Templates
from operators.prompts import PROMPTS

AGGREGATE = Templates(builtin=PROMPTS, names=("aggregate",))


@variation(arity=None)
def aggregate(problem: Problem, parents: Sequence[Candidate], *, templates: Templates = AGGREGATE) -> Prompt:
    """Show the model all parents, in the order given, and ask for one better solution.

    Source: Recursive Self-Aggregation, arXiv 2509.26626, section 3; the wording is ours.
    """
    return templates.render(problem, "aggregate", candidates=[parent.text for parent in parents])
