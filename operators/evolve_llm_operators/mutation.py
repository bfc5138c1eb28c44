"""Variation with one parent or none: refinement, sampling from scratch, reproduction."""

from __future__ import annotations

from collections.abc import Sequence

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Prompt
from evolve_llm.scheme.decorators import variation
from evolve_llm.scheme.operator import Copy, Steps
from evolve_llm.scheme.templates import Templates
from evolve_llm_operators.prompts import PROMPTS

REFINE = Templates(builtin=PROMPTS, names=("refine",))
CRITIQUE = Templates(builtin=PROMPTS, names=("critique", "critique_refine"))
SAMPLE = Templates(builtin=PROMPTS, names=("sample",))


@variation(arity=1)
def refine(problem: Problem, parents: Sequence[Candidate], *, templates: Templates = REFINE) -> Prompt:
    """Show the model one parent and ask it to check, correct and rewrite it.

    Source: Self-Refine, arXiv 2303.17651, without its separate feedback call.
    """
    return templates.render(problem, "refine", candidates=[parent.text for parent in parents])


@variation(arity=1)
def critique_refine(
    problem: Problem, parents: Sequence[Candidate], *, templates: Templates = CRITIQUE
) -> Steps:
    """Ask the model what is wrong with one parent, then to rewrite it with that critique: two calls per child.

    Where the critique fails, so does the child. Source: Self-Refine, arXiv 2303.17651, one round of it.
    """
    parent = parents[0].text
    critique = yield templates.render(problem, "critique", candidates=[parent])
    return templates.render(problem, "critique_refine", candidates=[parent, critique.text])


@variation(arity=0)
def sample(problem: Problem, parents: Sequence[Candidate] = (), *, templates: Templates = SAMPLE) -> Prompt:  # noqa: ARG001
    """Ask the question itself: generation 0, immigrants, and children whose parents all failed."""
    return templates.render(problem, "sample")


@variation(arity=1)
def reproduce(problem: Problem, parents: Sequence[Candidate]) -> Copy:  # noqa: ARG001
    """The parent itself, without asking the model: what is left of DEAP's varOr when nothing is varied."""
    return Copy(parents[0])
