"""The decorators that declare an operator, one for each of the seven kinds.

Each refuses, under a type checker, a function of another signature (see the protocols in ``operator``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from evolve_llm.scheme.declarations import (
    Adaptation,
    Calls,
    Evaluation,
    Finishing,
    Flag,
    Replacement,
    Requires,
    Selection,
    Stopping,
    Variation,
    Weights,
    declare,
)
from evolve_llm.scheme.operator import (
    Adapter,
    Evaluator,
    Finisher,
    Replacer,
    Selector,
    StoppingRule,
    Variator,
)

AnySelector = TypeVar("AnySelector", bound=Selector)
AnyVariator = TypeVar("AnyVariator", bound=Variator)
AnyEvaluator = TypeVar("AnyEvaluator", bound=Evaluator)
AnyReplacer = TypeVar("AnyReplacer", bound=Replacer)
AnyFinisher = TypeVar("AnyFinisher", bound=Finisher)
AnyRule = TypeVar("AnyRule", bound=StoppingRule)
AnyAdapter = TypeVar("AnyAdapter", bound=Adapter)


def selection(
    *,
    blind: bool,
    needs_fitness: bool = False,
    whole_generation: bool = False,
    by_generation: bool = False,
    distinct: bool = True,
    objectives: int = 1,
    arity: int | None = None,
    structured: bool = False,
    requires: Requires | None = None,
) -> Callable[[AnySelector], AnySelector]:
    """Declare a selection operator ``(individuals, k) -> list`` of k members.

    Args:
        blind: It chooses by index alone and never looks at the individuals. Parents can then be drawn before
            they exist, and the individuals are opaque tokens.
        needs_fitness: It reads the fitness of the individuals.
        whole_generation: Its second argument is the list of group sizes, one for each child in slot order, and
            its result is a list of such groups.
        by_generation: It is also given the generation of the children, as the keyword ``generation``.
        distinct: False if it draws with replacement, as DEAP's selectors do. The parents of a child are then
            drawn one by one, each from the members not yet chosen.
        objectives: The smallest number of fitness values it can work with (2 for lexicase).
        arity: The only number of parents it can give, if there is only one.
        structured: The place of a member has a meaning (an island, a node of a graph), so that the preset needs
            a replacement that puts child i in place i.
        requires: A check of the preset, see ``Requires``.
    """
    said = Selection(
        blind=blind,
        needs_fitness=needs_fitness,
        whole_generation=whole_generation,
        by_generation=by_generation,
        distinct=distinct,
        objectives=objectives,
        arity=arity,
        structured=structured,
        requires=requires,
    )

    def decorate(function: AnySelector) -> AnySelector:
        declare(function, said)
        return function

    return decorate


def variation(
    *, arity: int | None, needs_classes: bool = False, draws: bool = False
) -> Callable[[AnyVariator], AnyVariator]:
    """Declare a variation operator ``(problem, parents) -> Prompt | Copy | Steps``.

    An operator that needs several calls is a generator function (see ``Steps``).

    Args:
        arity: The number of parents. None means the preset's ``parents`` (K), 1 is a mutation, and 0 samples
            from scratch.
        needs_classes: It looks at the ``answer_class`` of its parents, which otherwise is only sure to be known
            once their whole generation has ended.
        draws: It uses the global ``random`` or ``numpy.random``. They are then seeded for it, because a prompt
            must be the same on every restart.
    """
    said = Variation(arity=arity, needs_classes=needs_classes, draws=draws)

    def decorate(function: AnyVariator) -> AnyVariator:
        declare(function, said)
        return function

    return decorate


def evaluation(
    *,
    weights: Weights,
    oracle: Flag,
    logprobs: Flag = False,
    calls: Calls = 0,
    again: Calls = 0,
    parts: str | None = None,
) -> Callable[[AnyEvaluator], AnyEvaluator]:
    """Declare a fitness ``async (problem, candidates, ask) -> list[tuple[float, ...]]``.

    Where parents can survive, they are handed in again with the offspring, so that a noisy fitness can ask
    about them once more before they are trusted.

    Args:
        weights: +1 (maximise) or -1 (minimise), one for each value. There is no default.
        oracle: Whether it sees the verdicts against the reference, as the keyword ``verdicts``. No other operator ever
            does (invariant I3).
        logprobs: Chains are generated with the log-probabilities of their tokens, which the backend must have.
        calls: How often it asks the model about a new candidate. Costs are estimated from it.
        again: How often it asks about a candidate that survived into another generation.
        parts: The parameter, if any, that is a list of other fitnesses. Each entry is a name, or a table of the
            operator and its parameters as in a preset. The operator is given them as functions with their
            parameters bound.

    All but ``parts`` may also be a function of the operator's own parameters (see ``measures``).
    """
    said = Evaluation(
        weights=weights if callable(weights) else tuple(weights),
        oracle=oracle,
        logprobs=logprobs,
        calls=calls,
        again=again,
        parts=parts,
    )

    def decorate(function: AnyEvaluator) -> AnyEvaluator:
        declare(function, said)
        return function

    return decorate


def replacement(
    *,
    positional: bool = False,
    needs_fitness: bool = False,
    varies_size: bool = False,
    narrows: bool = False,
    requires: Requires | None = None,
) -> Callable[[AnyReplacer], AnyReplacer]:
    """Declare a replacement ``(parents, offspring, n) -> list`` of n members.

    Args:
        positional: Member i is always offspring i, so that the next generation can be planned ahead.
        varies_size: It may give any number of members (an archive, or a population that accumulates).
        narrows: It may give fewer than n members and never more, and the next generation then has as few children.
        needs_fitness, requires: As for ``selection``.
    """
    said = Replacement(
        positional=positional,
        needs_fitness=needs_fitness,
        varies_size=varies_size,
        narrows=narrows,
        requires=requires,
    )

    def decorate(function: AnyReplacer) -> AnyReplacer:
        declare(function, said)
        return function

    return decorate


def finishing(
    *, needs_fitness: bool = False, calls: int = 0, attempts: int = 1, requires: Requires | None = None
) -> Callable[[AnyFinisher], AnyFinisher]:
    """Declare a finish ``(problem, population) -> Candidate | Final``, which says who gives the answer.

    Args:
        calls: 1 if it returns a Final, which costs one call.
        attempts: How many answers are handed in for a problem, one of which must be right. Those after its own are of
            the largest classes of the last population that are left.
        needs_fitness, requires: As for ``selection``.
    """
    said = Finishing(needs_fitness=needs_fitness, calls=calls, attempts=attempts, requires=requires)

    def decorate(function: AnyFinisher) -> AnyFinisher:
        declare(function, said)
        return function

    return decorate


def adaptation(*, requires: Requires | None = None) -> Callable[[AnyAdapter], AnyAdapter]:
    """Declare an adaptation ``(probabilities, rewards) -> probabilities`` of a mixture.

    ``rewards`` has one list for each operator of the mixture, with what its children were worth (see
    ``evolve_llm.engine.credit``).

    Args:
        requires: A check of the preset, see ``Requires``.
    """
    said = Adaptation(requires=requires)

    def decorate(function: AnyAdapter) -> AnyAdapter:
        declare(function, said)
        return function

    return decorate


def stopping(
    *, needs_fitness: bool = False, spending: bool = False, requires: Requires | None = None
) -> Callable[[AnyRule], AnyRule]:
    """Declare a stopping rule ``(problem, generations) -> bool``, a pure function of one problem's history.

    ``generations`` are the finished populations of the problem, oldest first.

    Args:
        spending: It is also given the tokens that the problem has cost so far, as the keyword ``spent``.
        needs_fitness, requires: As for ``selection``.
    """
    said = Stopping(needs_fitness=needs_fitness, spending=spending, requires=requires)

    def decorate(function: AnyRule) -> AnyRule:
        declare(function, said)
        return function

    return decorate
