"""Crossover: several parents become the prompt for one child, at once or after more calls to the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import RequestError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Prompt
from evolve_llm.scheme.decorators import variation
from evolve_llm.scheme.operator import Consult, Copy, Steps
from evolve_llm.scheme.templates import Templates
from evolve_llm_operators.prompts import PROMPTS

AGGREGATE = Templates(builtin=PROMPTS, names=("aggregate",))
ANSWERS = Templates(builtin=PROMPTS, names=("aggregate_answers",))
SUMMARIES = Templates(builtin=PROMPTS, names=("summarize", "summarize_aggregate"))
DISTILLED = Templates(builtin=PROMPTS, names=("distill", "refine_distilled", "refine"))
DEBATE = Templates(builtin=PROMPTS, names=("defend", "debate", "refine"))


@variation(arity=None)
def aggregate(problem: Problem, parents: Sequence[Candidate], *, templates: Templates = AGGREGATE) -> Prompt:
    """Show the model all parents, in the order given, and ask for one better solution.

    Source: Recursive Self-Aggregation, arXiv 2509.26626, section 3; the wording is ours.
    """
    return templates.render(problem, "aggregate", candidates=[parent.text for parent in parents])


@variation(arity=None)
def aggregate_answers(
    problem: Problem, parents: Sequence[Candidate], *, templates: Templates = ANSWERS
) -> Prompt:
    """The same as ``aggregate``, but the model sees only the parents' final answers: the control for the chains.

    What ``aggregate`` gains over this operator, the chains are worth. A parent without an answer is shown
    as one. Source: the control is ours; RSA (arXiv 2509.26626) aggregates whole chains.
    """
    return templates.render(
        problem, "aggregate_answers", candidates=[parent.answer or "" for parent in parents]
    )


@variation(arity=None, needs_classes=True)
def consensus(
    problem: Problem, parents: Sequence[Candidate], *, templates: Templates = AGGREGATE
) -> Prompt | Copy:
    """If all parents have the same answer, reproduce the first of them; otherwise ``aggregate``.

    Saves the calls that could only confirm what is agreed. It takes two to agree: a parent left alone is
    aggregated. Parents are in the plan's order, which is random unless the selection says otherwise, so
    the first is any of them. Source: ours; Adaptive-Consistency, arXiv 2305.11860, spends no
    samples on what is agreed either.
    """
    classes = {parent.answer_class for parent in parents}
    if len(parents) > 1 and len(classes) == 1 and None not in classes:
        return Copy(parents[0])
    return aggregate(problem, parents, templates=templates)


@variation(arity=None, needs_classes=True)
def aggregate_adaptive(
    problem: Problem,
    parents: Sequence[Candidate],
    *,
    few: Annotated[int, Field(ge=1)] = 2,
    templates: Templates = AGGREGATE,
) -> Prompt:
    """Aggregate as many of the parents as their answers differ: ``few`` where all agree, all K where none do.

    With d different answers among K parents, ``few + (K - few) * (d - 1) / (K - 1)`` are shown, rounded up (a
    chain without an answer is an answer of its own): the first parent of each answer, then the others in the
    order of the plan, and all of them stand in that order. So every answer is still shown, prompts shrink as the
    population agrees, and no prompt is longer than that of ``aggregate``, which is what estimates assume. The
    child is stored with all the parents it was planned with.

    Source: ours; as Adaptive-Consistency, arXiv 2305.11860, it spends less on what is agreed.
    """
    k = len(parents)
    firsts: dict[object, int] = {}
    for place, parent in enumerate(parents):
        firsts.setdefault(place if parent.answer_class is None else parent.answer_class, place)
    if k <= few or len(firsts) == k:
        return aggregate(problem, parents, templates=templates)
    shown = few + math.ceil((k - few) * (len(firsts) - 1) / (k - 1))
    rest = [place for place in range(k) if place not in firsts.values()]
    kept = sorted([*firsts.values(), *rest][:shown])
    return aggregate(problem, [parents[place] for place in kept], templates=templates)


@variation(arity=None)
def summarize_aggregate(
    problem: Problem, parents: Sequence[Candidate], *, templates: Templates = SUMMARIES
) -> Steps:
    """Have the model summarize each parent, once however many children it has, and aggregate the summaries.

    One call a child, and one a parent in a generation. Prompts stay short where chains are long. A parent
    whose summary failed or came back empty is shown whole: its children have other parents to live from.
    Source: ours; the aggregation is RSA's (arXiv 2509.26626).
    """
    shown = []
    for parent in parents:
        question = templates.render(problem, "summarize", candidates=[parent.text])
        try:
            answer = yield Consult(parent, "summarize", question)
        except RequestError:
            shown.append(parent.text)
        else:
            shown.append(answer.text if answer.text.strip() else parent.text)
    return templates.render(problem, "summarize_aggregate", candidates=shown)


@variation(arity=None)
def distill(problem: Problem, parents: Sequence[Candidate], *, templates: Templates = DISTILLED) -> Steps:
    """Have the model distil all parents into one short workspace, and solve the problem from that: two calls per child.

    The second prompt is as short for 32 parents as for 2. Every child distils for itself, so that there are as
    many workspaces as children; where all children have all N members as parents, they differ by sampling alone.
    Where the distillation fails, so does the child; a workspace that came back empty is no help, and the child is
    made from the question and its first parent, as by ``refine``.

    Source: Parallel-Distill-Refine, arXiv 2510.01123, with a summary as the workspace; the wording is ours.
    """
    texts = [parent.text for parent in parents]
    workspace = yield templates.render(problem, "distill", candidates=texts)
    if not workspace.text.strip():
        return templates.render(problem, "refine", candidates=texts[:1])
    return templates.render(problem, "refine_distilled", candidates=[workspace.text])


@variation(arity=2)
def debate(problem: Problem, parents: Sequence[Candidate], *, templates: Templates = DEBATE) -> Steps:
    """Each of two parents is defended against the other, then the model concludes: three calls per child.

    Neither side sees the other's defence, so the order of the parents favours none. A parent whose
    opponent had failed is refined instead. Where a defence fails, so does the child.
    Source: AI safety via debate, arXiv 1805.00899; multi-agent debate, arXiv 2305.14325.
    """
    texts = [parent.text for parent in parents]
    if len(texts) < 2:
        return templates.render(problem, "refine", candidates=texts)
    defences = []
    for own, other in (texts, texts[::-1]):
        answer = yield templates.render(problem, "defend", candidates=[own, other])
        defences.append(answer.text)
    return templates.render(problem, "debate", candidates=[*texts, *defences])
