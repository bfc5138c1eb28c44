"""Stopping rules: whether a problem is done before its T generations.

Signature ``(problem, history) -> bool``: a pure function of one problem's finished populations, oldest first.
A rule is asked when a generation has ended; any rule of a preset that says yes ends that problem alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.decorators import stopping

History = Sequence[Sequence[Candidate]]


@stopping(spending=True)
def token_budget(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    tokens: Annotated[int, Field(ge=1)],
    spent: int | None = None,
) -> bool:
    """Whether the problem has cost ``tokens``, prompt and completion tokens of all its calls together.

    The engine tells what was ``spent``, on children that did not survive, fitness and consultations too;
    without it, what the candidates of the history themselves have cost. A generation is never cut short,
    so a problem may cost up to one generation more. For a budget of the whole run use --budget-tokens.
    """
    if spent is None:
        seen = {one.uid: one for members in history for one in members}
        spent = sum(
            one.prompt_tokens + one.completion_tokens + one.evaluation_tokens for one in seen.values()
        )
    return spent >= tokens


@stopping()
def consensus(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    share: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> bool:
    """Whether at least ``share`` of the live members of the last population give equivalent answers.

    A chain without an answer agrees with nobody. Source: adaptive consistency, arXiv 2305.11860, as a rule
    on the population.
    """
    live = [one for one in history[-1] if not one.failed]
    counts = Counter(one.answer_class for one in live if one.answer_class is not None)
    return bool(counts) and max(counts.values()) >= share * len(live) - 1e-9


@stopping()
def settled(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    risk: Annotated[float, Field(gt=0, le=1)] = 0.05,
    generations: Annotated[int, Field(ge=1)] = 1,
) -> bool:
    """Whether the leading answer is unlikely to lose its lead, and has led the last ``generations`` populations.

    The chance that the second answer is the more likely one, given the votes of the last population for these two
    and a uniform prior, must be at most ``risk``. A chain without an answer does not vote; at a tie for the first
    place nobody leads. ``risk=1`` asks for the lead alone.

    So tokens go to the problems that are undecided: with a larger T, and a risk chosen on other problems so that
    the total is as before, easy problems pay for hard ones. It cannot move tokens by need, as a bandit over problems
    would: every problem is judged by itself. And members are no independent draws: they descend from each other,
    so the chance is too small by far in late generations, which also settle on wrong answers.

    Source: the criterion of Adaptive-Consistency, arXiv 2305.11860; with ``risk=1``, the consensus that stays of
    Parallel-Probe, arXiv 2602.03845, between generations in place of tokens.
    """
    if len(history) < generations:
        return False
    leaders = {_leader(members) for members in history[-generations:]}
    if len(leaders) != 1 or None in leaders:
        return False
    votes = _votes(history[-1]).most_common(2)
    second = votes[1][1] if len(votes) > 1 else 0
    return chance_of_change(votes[0][1], second) <= risk


def chance_of_change(first: int, second: int) -> float:
    """P(p < 1/2) for p ~ Beta(first + 1, second + 1), exactly: that the second answer is the likelier one."""
    tosses = first + second + 1
    return float(sum(math.comb(tosses, heads) for heads in range(first + 1, tosses + 1)) / (1 << tosses))


def _votes(members: Sequence[Candidate]) -> Counter[str]:
    return Counter(one.answer_class for one in members if not one.failed and one.answer_class is not None)


def _leader(members: Sequence[Candidate]) -> str | None:
    """The answer that has more votes than any other, None where there is none."""
    top = _votes(members).most_common(2)
    if not top or (len(top) > 1 and top[0][1] == top[1][1]):
        return None
    return top[0][0]


@stopping()
def stagnation(
    problem: Problem,  # noqa: ARG001
    history: History,
    *,
    generations: Annotated[int, Field(ge=1)] = 3,
    tolerance: Annotated[float, Field(ge=0)] = 0.0,
) -> bool:
    """Whether the entropy of the answers has stayed within ``tolerance`` bits for ``generations`` generations.

    Source: the convergence of phenotypic entropy, e.g. Burke et al., Diversity in genetic programming, 2004.
    """
    if len(history) <= generations:
        return False
    recent = [class_entropy(members) for members in history[-generations - 1 :]]
    return max(recent) - min(recent) <= tolerance + 1e-9


def class_entropy(members: Sequence[Candidate]) -> float:
    """Shannon entropy of the answer classes of the live members, in bits; no answer is a class of its own."""
    counts = Counter(one.answer_class for one in members if not one.failed)
    total = counts.total()
    return math.fsum(-count / total * math.log2(count / total) for count in counts.values())
