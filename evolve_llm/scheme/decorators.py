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

    ``blind``: chooses by index alone, never looks at the individuals, so parents can be drawn before
    they exist (they are then opaque tokens). ``whole_generation``: the second argument is the list of
    group sizes, one per child in slot order, and the result a list of such groups. ``by_generation``: is
    also given the children's generation, as the keyword ``generation``. ``distinct=False``: draws with
    replacement, as DEAP's selectors do; the engine then draws a group's parents one by one from the
    members not yet in it. ``objectives``: the fewest fitness values it can work with (2 for lexicase,
    which has no cases otherwise). ``arity``: the only number of parents it can give, where there is one.
    ``structured``: a member's place means something (an island, a node of a graph), so the preset needs a
    replacement that puts child i in place i. ``requires``: see ``Requires``.
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
    """Declare a variation operator ``(problem, parents) -> Prompt | Copy | Steps`` of this many parents.

    None means the preset's ``parents`` (K); 1 is a mutation; 0 is sampling from scratch. An operator that
    needs several calls is a generator function (see ``Steps``), so it too can be tested without a model.
    ``needs_classes``: looks at its parents' ``answer_class``, which is otherwise only sure to be known once
    their whole generation has ended. ``draws``: uses the global ``random`` or ``numpy.random``, which are then
    seeded for it (a prompt must be the same on every restart).
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

    ``weights`` are +1 (maximise) or -1 (minimise), one per value. An ``oracle`` sees the verdicts against
    the reference, as the keyword ``verdicts``; nothing else ever does (invariant I3). Both must be said.
    ``logprobs``: chains are generated with the log-probabilities of their tokens, which a backend must then
    have. ``calls`` is how often it asks the model about a new candidate, ``again`` about one that survived
    into another generation: costs are estimated from them. Each of these may also be a function of the
    operator's own parameters (see ``measures``).

    ``parts`` names the parameter, if any, that is a list of other fitnesses: each entry a name or a table of
    the operator and its parameters, as in a preset; the operator is given them as functions, bound.

    Where parents can survive, they are handed in again with the offspring, so that a noisy fitness may
    ask about them once more before they are trusted.
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
    requires: Requires | None = None,
) -> Callable[[AnyReplacer], AnyReplacer]:
    """Declare a replacement ``(parents, offspring, n) -> list`` of n members.

    ``positional``: member i is always offspring i, so the next generation can be planned ahead.
    ``varies_size``: may give any number of members (an archive, or a population that accumulates).
    """
    said = Replacement(
        positional=positional, needs_fitness=needs_fitness, varies_size=varies_size, requires=requires
    )

    def decorate(function: AnyReplacer) -> AnyReplacer:
        declare(function, said)
        return function

    return decorate


def finishing(
    *, needs_fitness: bool = False, calls: int = 0, requires: Requires | None = None
) -> Callable[[AnyFinisher], AnyFinisher]:
    """Declare a finish ``(problem, population) -> Candidate | Final``: who gives the answer.

    ``calls``: 1 where it gives a Final, which costs one call.
    """
    said = Finishing(needs_fitness=needs_fitness, calls=calls, requires=requires)

    def decorate(function: AnyFinisher) -> AnyFinisher:
        declare(function, said)
        return function

    return decorate


def adaptation(*, requires: Requires | None = None) -> Callable[[AnyAdapter], AnyAdapter]:
    """Declare an adaptation ``(probabilities, rewards) -> probabilities`` of a mixture; see ``engine/credit.py``."""
    said = Adaptation(requires=requires)

    def decorate(function: AnyAdapter) -> AnyAdapter:
        declare(function, said)
        return function

    return decorate


def stopping(
    *, needs_fitness: bool = False, spending: bool = False, requires: Requires | None = None
) -> Callable[[AnyRule], AnyRule]:
    """Declare a stopping rule ``(problem, generations) -> bool``, a pure function of one problem's history.

    ``generations`` are its finished populations, oldest first. ``spending``: is also given the tokens that
    all calls for the problem have cost so far, as the keyword ``spent``.
    """
    said = Stopping(needs_fitness=needs_fitness, spending=spending, requires=requires)

    def decorate(function: AnyRule) -> AnyRule:
        declare(function, said)
        return function

    return decorate
