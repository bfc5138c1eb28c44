"""What an operator is: a plain function, with what the machine must know of it declared by attribute.

The decorators below only set attributes, so a decorated operator is still the function it was and
``functools.partial`` or DEAP's ``Toolbox.register`` keep working. A bare function (a stock DEAP selector,
say) works too and gets the cautious defaults of ``declared``.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from evolve_llm.nouns.candidate import Candidate
from evolve_llm.nouns.errors import EvolveError, OperatorError, UserError
from evolve_llm.nouns.request import Completion, Prompt

F = TypeVar("F", bound=Callable[..., Any])
Item = TypeVar("Item")

MAX_CALLS = 16
"""Model calls one child may take: a generator operator that asks for more is stopped with an error."""

MACHINE_KEYWORDS = frozenset({"templates", "verdicts", "generation", "spent"})
"""Keyword parameters of operators that the machine gives, not presets."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "select": {
        "blind": False,
        "needs_fitness": True,
        "whole_generation": False,
        "by_generation": False,
        "distinct": True,
        "objectives": 1,
        "arity": None,
        "structured": False,
        "requires": None,
    },
    "vary": {"arity": None, "needs_classes": False, "draws": False},
    "evaluate": {
        "weights": (1.0,),
        "oracle": False,
        "logprobs": False,
        "calls": 0,
        "again": 0,
        "parts": None,
    },
    "replace": {"positional": False, "needs_fitness": False, "varies_size": False, "requires": None},
    "finish": {"needs_fitness": False, "calls": 0, "attempts": 1, "requires": None},
    "stop": {"needs_fitness": False, "spending": False, "requires": None},
    "adapt": {"requires": None},
}


@dataclass(frozen=True, slots=True)
class Copy:
    """What a variation operator returns instead of a Prompt to reproduce a parent without asking the model."""

    parent: Candidate


@dataclass(frozen=True, slots=True)
class Consult:
    """A question about one parent that a generator operator yields, asked once however many children want it.

    ``purpose`` names the question (a lower-case word); all children that consult about the same parent
    for the same purpose must ask the same prompt and get the same completion.
    """

    about: Candidate
    purpose: str
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Final:
    """What a finish operator returns to have one last chain written from these parents.

    The chain becomes the answering candidate, outside the population. Where the call fails, the first of
    the parents answers.
    """

    parents: tuple[Candidate, ...]
    prompt: Prompt


Steps = Generator[Prompt | Consult, Completion, Prompt | Copy]
"""A variation of several calls: yields prompts, is sent their completions, returns the last prompt.

Where a call fails its ``RequestError`` is raised at the ``yield``; uncaught, the child is a failed candidate.
"""


def declared(kind: str, function: Callable[..., Any], attribute: str) -> Any:
    """The value of an operator's attribute, looking through partials; the kind's default where undeclared."""
    inner: Any = function
    while inner is not None:
        if hasattr(inner, attribute):
            return getattr(inner, attribute)
        inner = getattr(inner, "func", None)
    return DEFAULTS[kind][attribute]


def settled(kind: str, function: Callable[..., Any], attribute: str) -> Any:
    """As ``declared``; and where the attribute is a function of the operator's parameters, what it gives for them.

    Raises UserError where that function refuses the parameters.
    """
    value = declared(kind, function, attribute)
    if not callable(value):
        return value
    try:
        return value(**own_parameters(function))
    except EvolveError:
        raise
    except Exception as error:
        raise UserError(
            f"operator {name_of(function)!r} cannot work with these parameters: {error}"
        ) from error


def own_parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters bound to an operator, without those that the machine gives."""
    bound: dict[str, Any] = {}
    inner: Any = function
    while hasattr(inner, "func"):
        bound = {**inner.keywords, **bound}
        inner = inner.func
    return {name: value for name, value in bound.items() if name not in MACHINE_KEYWORDS}


def _declare(**attributes: Any) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for name, value in attributes.items():
            setattr(function, name, value)
        return function

    return decorate


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
) -> Callable[[F], F]:
    """Declare a selection operator ``(individuals, k) -> list`` of k members.

    ``blind``: chooses by index alone, never looks at the individuals, so parents can be drawn before
    they exist (they are then opaque tokens). ``whole_generation``: the second argument is the list of
    group sizes, one per child in slot order, and the result a list of such groups. ``by_generation``: is
    also given the children's generation, as the keyword ``generation``. ``distinct=False``: draws with
    replacement, as DEAP's selectors do; the machine then draws a group's parents one by one from the
    members not yet in it. ``objectives``: the fewest fitness values it can work with (2 for lexicase,
    which has no cases otherwise). ``arity``: the only number of parents it can give, where there is one.
    ``structured``: a member's place means something (an island, a node of a graph), so the preset needs a
    replacement that puts child i in place i. ``requires``: see ``Requires``.
    """
    return _declare(
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


def variation(*, arity: int | None, needs_classes: bool = False, draws: bool = False) -> Callable[[F], F]:
    """Declare a variation operator ``(problem, parents) -> Prompt | Copy | Steps`` of this many parents.

    None means the preset's ``parents`` (K); 1 is a mutation; 0 is sampling from scratch. An operator that
    needs several calls is a generator function (see ``Steps``), so it too can be tested without a model.
    ``needs_classes``: looks at its parents' ``answer_class``, which is otherwise only sure to be known once
    their whole generation has ended. ``draws``: uses the global ``random`` or ``numpy.random``, which are then
    seeded for it (a prompt must be the same on every restart).
    """
    return _declare(arity=arity, needs_classes=needs_classes, draws=draws)


Weights = Sequence[float] | Callable[..., Sequence[float]]
Flag = bool | Callable[..., bool]
Calls = int | Callable[..., int]
Requires = Callable[..., None]
"""``(preset, **parameters)``, the parameters being those the preset sets: raises ValueError (or UserError) saying
what would fit, where the operator cannot work in that preset. Called before a token is spent."""


def evaluation(
    *,
    weights: Weights = (1.0,),
    oracle: Flag = False,
    logprobs: Flag = False,
    calls: Calls = 0,
    again: Calls = 0,
    parts: str | None = None,
) -> Callable[[F], F]:
    """Declare a fitness ``async (problem, candidates, ask) -> list[tuple[float, ...]]``.

    ``weights`` are +1 (maximise) or -1 (minimise), one per value. An ``oracle`` sees the verdicts against
    the reference, as the keyword ``verdicts``; nothing else ever does (invariant I3). ``logprobs``: chains
    are generated with the log-probabilities of their tokens, which a backend must then have. ``calls`` is
    how often it asks the model about a new candidate, ``again`` about one that survived into another
    generation: costs are estimated from them. Each of these may also be a function of the operator's own
    parameters (``settled``).

    ``parts`` names the parameter, if any, that is a list of other fitnesses: each entry a name or a table of
    the operator and its parameters, as in a preset; the operator is given them as functions, bound.

    Where parents can survive, they are handed in again with the offspring, so that a noisy fitness may
    ask about them once more before they are trusted.
    """
    fixed = weights if callable(weights) else tuple(weights)
    return _declare(weights=fixed, oracle=oracle, logprobs=logprobs, calls=calls, again=again, parts=parts)


def replacement(
    *,
    positional: bool = False,
    needs_fitness: bool = False,
    varies_size: bool = False,
    requires: Requires | None = None,
) -> Callable[[F], F]:
    """Declare a replacement ``(parents, offspring, n) -> list`` of n members.

    ``positional``: member i is always offspring i, so the next generation can be planned ahead.
    ``varies_size``: may give any number of members (an archive, or a population that accumulates).
    """
    return _declare(
        positional=positional, needs_fitness=needs_fitness, varies_size=varies_size, requires=requires
    )


def finishing(
    *, needs_fitness: bool = False, calls: int = 0, attempts: int = 1, requires: Requires | None = None
) -> Callable[[F], F]:
    """Declare a finish ``(problem, population) -> Candidate | Final``: who gives the answer.

    ``calls``: 1 where it gives a Final, which costs one call. ``attempts``: how many answers are handed in, as
    ARC allows two. The finish gives the first; the others are the largest other classes of equivalent answers in
    the last population, and the problem counts as solved when one of them is right.
    """
    return _declare(needs_fitness=needs_fitness, calls=calls, attempts=attempts, requires=requires)


def adaptation(*, requires: Requires | None = None) -> Callable[[F], F]:
    """Declare an adaptation ``(probabilities, rewards) -> probabilities`` of a mixture; see ``credit``."""
    return _declare(requires=requires)


def stopping(
    *, needs_fitness: bool = False, spending: bool = False, requires: Requires | None = None
) -> Callable[[F], F]:
    """Declare a stopping rule ``(problem, generations) -> bool``, a pure function of one problem's history.

    ``generations`` are its finished populations, oldest first. ``spending``: is also given the tokens that
    all calls for the problem have cost so far, as the keyword ``spent``.
    """
    return _declare(needs_fitness=needs_fitness, spending=spending, requires=requires)


def select_groups(
    select: Callable[..., Any], individuals: Sequence[Item], sizes: Sequence[int], *, generation: int = 1
) -> list[tuple[Item, ...]]:
    """Parents for each child: one group of ``sizes[i]`` *different* members per child (invariant I7).

    Must run inside ``seeding.rng_scope``. Raises OperatorError where the operator raises, gives strangers,
    repeats or the wrong number, or where it needs a fitness that was not assigned.
    """
    name = name_of(select)
    if sizes and max(sizes) > len(individuals):
        raise OperatorError(f"selection {name!r} is asked for {max(sizes)} of {len(individuals)} individuals")
    if declared("select", select, "needs_fitness"):
        for one in individuals:
            if not getattr(getattr(one, "fitness", None), "valid", False):
                raise OperatorError(
                    f"selection {name!r} needs a fitness and {getattr(one, 'uid', one)!r} has none; "
                    "give the preset an [evaluate] operator"
                )
    if declared("select", select, "by_generation"):
        select = functools.partial(select, generation=generation)
    try:
        if declared("select", select, "whole_generation"):
            groups = select(list(individuals), list(sizes))
        elif declared("select", select, "distinct") and not _from_deap(select):
            groups = [select(list(individuals), k) if k else [] for k in sizes]
        else:
            groups = [_one_by_one(select, individuals, k) for k in sizes]
    except OperatorError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"raised {type(error).__name__}: "
        raise OperatorError(f"selection {name!r}: {kind}{error}") from error
    return _checked(name, groups, individuals, sizes)


def _checked(
    name: str, groups: Any, individuals: Sequence[Item], sizes: Sequence[int]
) -> list[tuple[Item, ...]]:
    if not isinstance(groups, list) or not all(isinstance(group, list | tuple) for group in groups):
        raise OperatorError(f"selection {name!r} must return a list of individuals, got {groups!r:.200}")
    if [len(group) for group in groups] != list(sizes):
        raise OperatorError(
            f"selection {name!r} was asked for groups of {list(sizes)} and gave {[len(group) for group in groups]}"
        )
    members = {id(one) for one in individuals}
    for group in groups:
        chosen = {id(one) for one in group}
        if not chosen <= members:
            raise OperatorError(f"selection {name!r} returned something that is not in the population")
        if len(chosen) != len(group):
            raise OperatorError(
                f"selection {name!r} returned a parent twice in one group; "
                "declare it with @selection(distinct=False) to have groups drawn one by one"
            )
    return [tuple(group) for group in groups]


def _one_by_one(select: Callable[..., Any], individuals: Sequence[Item], k: int) -> list[Item]:
    """k different members from a selector that repeats: each is drawn from those not yet chosen."""
    chosen: list[Item] = []
    remaining = list(individuals)
    for _ in range(k):
        drawn = select(list(remaining), 1)
        position = next(
            (
                i
                for i, one in enumerate(remaining)
                if isinstance(drawn, list) and len(drawn) == 1 and one is drawn[0]
            ),
            None,
        )
        if position is None:
            raise OperatorError(
                f"selection {name_of(select)!r} was asked for 1 of {len(remaining)} individuals and gave {drawn!r:.200}"
            )
        chosen.append(remaining.pop(position))
    return chosen


def name_of(function: Callable[..., Any]) -> str:
    """The name to show for an operator, looking through partials."""
    inner: Any = function
    while hasattr(inner, "func"):  # DEAP's toolbox names its partials after the alias
        inner = inner.func
    return str(getattr(inner, "__name__", repr(inner)))


def _from_deap(function: Callable[..., Any]) -> bool:
    inner: Any = function
    while hasattr(inner, "func"):
        inner = inner.func
    return str(getattr(inner, "__module__", "")).startswith("deap.")


class Ask(Protocol):
    """Asks the model about one candidate.

    Calls about one candidate are numbered in the order they are made (so call ``ask`` in a fixed order and
    await the results together), and the number is part of the call's address: votes are independent of
    each other, reproducible, stored before the fitness is used, and counted as cost. Gives None where the
    request failed: a fitness must decide what a missing vote is worth.
    """

    def __call__(self, candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]: ...
