"""What an operator is: a plain function, with what the machine must know of it declared by attribute.

The decorators below only set attributes, so a decorated operator is still the function it was and
``functools.partial`` or DEAP's ``Toolbox.register`` keep working. A bare function (a stock DEAP selector,
say) works too and gets the cautious defaults of ``declared``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from evolve_llm.candidate import Candidate
from evolve_llm.errors import OperatorError

F = TypeVar("F", bound=Callable[..., Any])
Item = TypeVar("Item")

DEFAULTS: dict[str, dict[str, Any]] = {
    "select": {
        "blind": False,
        "needs_fitness": True,
        "whole_generation": False,
        "distinct": True,
        "arity": None,
    },
    "vary": {"arity": None},
    "evaluate": {"weights": (1.0,), "oracle": False},
    "replace": {"positional": False, "needs_fitness": False},
    "finish": {"needs_fitness": False},
}


@dataclass(frozen=True, slots=True)
class Copy:
    """What a variation operator returns instead of a Prompt to reproduce a parent without asking the model."""

    parent: Candidate


def declared(kind: str, function: Callable[..., Any], attribute: str) -> Any:
    """The value of an operator's attribute, looking through partials; the kind's default where undeclared."""
    inner: Any = function
    while inner is not None:
        if hasattr(inner, attribute):
            return getattr(inner, attribute)
        inner = getattr(inner, "func", None)
    return DEFAULTS[kind][attribute]


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
    distinct: bool = True,
    arity: int | None = None,
) -> Callable[[F], F]:
    """Declare a selection operator ``(individuals, k) -> list`` of k members.

    ``blind``: chooses by index alone, never looks at the individuals, so parents can be drawn before
    they exist (they are then opaque tokens). ``whole_generation``: the second argument is the list of
    group sizes, one per child in slot order, and the result a list of such groups. ``distinct=False``:
    draws with replacement, as DEAP's selectors do; the machine then draws a group's parents one by one
    from the members not yet in it. ``arity``: the only number of parents it can give, where there is one.
    """
    return _declare(
        blind=blind,
        needs_fitness=needs_fitness,
        whole_generation=whole_generation,
        distinct=distinct,
        arity=arity,
    )


def variation(*, arity: int | None) -> Callable[[F], F]:
    """Declare a variation operator ``(problem, parents) -> Prompt | Copy`` of this many parents.

    None means the preset's ``parents`` (K); 1 is a mutation; 0 is sampling from scratch.
    """
    return _declare(arity=arity)


def evaluation(*, weights: Sequence[float] = (1.0,), oracle: bool = False) -> Callable[[F], F]:
    """Declare a fitness ``async (problem, candidates, ask) -> list[tuple[float, ...]]``.

    ``weights`` are +1 (maximise) or -1 (minimise), one per value. An ``oracle`` sees the verdicts
    against the reference, as the keyword ``verdicts``; nothing else ever does (invariant I3).
    """
    return _declare(weights=tuple(weights), oracle=oracle)


def replacement(*, positional: bool = False, needs_fitness: bool = False) -> Callable[[F], F]:
    """Declare a replacement ``(parents, offspring, n) -> list`` of n members.

    ``positional``: member i is always offspring i, so the next generation can be planned ahead.
    """
    return _declare(positional=positional, needs_fitness=needs_fitness)


def finishing(*, needs_fitness: bool = False) -> Callable[[F], F]:
    """Declare a finish ``(problem, population) -> Candidate``: who gives the answer."""
    return _declare(needs_fitness=needs_fitness)


def select_groups(
    select: Callable[..., Any], individuals: Sequence[Item], sizes: Sequence[int]
) -> list[tuple[Item, ...]]:
    """Parents for each child: one group of ``sizes[i]`` *different* members per child (invariant I7).

    Must run inside ``seeding.rng_scope``. Raises OperatorError where the operator gives strangers,
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
    if declared("select", select, "whole_generation"):
        groups = select(list(individuals), list(sizes))
    elif declared("select", select, "distinct") and not _from_deap(select):
        groups = [select(list(individuals), k) if k else [] for k in sizes]
    else:
        groups = [_one_by_one(select, individuals, k) for k in sizes]
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
    while not hasattr(inner, "__name__") and hasattr(inner, "func"):
        inner = inner.func
    return str(getattr(inner, "__name__", repr(inner)))


def _from_deap(function: Callable[..., Any]) -> bool:
    inner: Any = function
    while hasattr(inner, "func"):
        inner = inner.func
    return str(getattr(inner, "__module__", "")).startswith("deap.")
