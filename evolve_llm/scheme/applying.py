"""Where operators are applied: called safely, and held to their contract.

The engine, the estimate before a run, ``ModelToolbox`` and the contract suites all call operators through these
functions, so what is accepted in one place is accepted in all. Whatever an operator raises, or gives wrongly,
becomes an OperatorError that names it. Nothing here waits for a model or reads a store: a variation of several calls
is a generator that the caller feeds, and a fitness is given the caller's ``ask``.

Lists are handed on as they are: give an operator lists of its own.

Operators draw from the global generators: the functions that call one that may draw say "inside ``rng_scope``",
and the caller chooses the seed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from evolve_llm.nouns.candidate import Candidate, Fitness, fitness_class
from evolve_llm.nouns.errors import EvolveError, OperatorError, RequestError, first_of
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.seeding import rng_scope
from evolve_llm.nouns.verdict import Verdict
from evolve_llm.scheme.declarations import (
    Declaration,
    Replacement,
    Selection,
    Stopping,
    Variation,
    declaration,
    from_deap,
    measures,
    name_of,
)
from evolve_llm.scheme.operator import MAX_CALLS, Ask, Consult, Copy, Final

Item = TypeVar("Item")

RESERVED_PURPOSES = frozenset({"vary", "evaluate", "finish"})
"""Purposes of the engine's own calls: a Consult needs a word of its own."""


@contextlib.contextmanager
def blamed(noun: str, function: Callable[..., Any], tried: str = "") -> Iterator[None]:
    """What an operator raises becomes an OperatorError that names it; our own errors pass.

    ``tried`` says on what it was tried, where that is not a run.
    """
    try:
        yield
    except (EvolveError, RequestError):
        raise
    except Exception as error:
        if isinstance(error, ExceptionGroup) and (ours := error.subgroup(EvolveError)) is not None:
            raise first_of(ours) from error  # a fitness that asks from a TaskGroup
        raised = f"raised {type(error).__name__}: {error}"
        raise OperatorError(
            f"{noun} {name_of(function)!r} {f'{tried}, ' if tried else ''}{raised}"
        ) from error


# -------------------------------------------------------------------- selection


def select_groups(
    select: Callable[..., Any], individuals: Sequence[Item], sizes: Sequence[int], *, generation: int = 1
) -> list[tuple[Item, ...]]:
    """Parents for each child: one group of ``sizes[i]`` *different* members per child (invariant I7).

    Must run inside ``rng_scope``. Raises OperatorError where the operator raises, gives strangers,
    repeats or the wrong number, or where it needs a fitness that was not assigned.
    """
    name, said = name_of(select), declaration(Selection, select)
    if sizes and max(sizes) > len(individuals):
        raise OperatorError(f"selection {name!r} is asked for {max(sizes)} of {len(individuals)} individuals")
    if said.needs_fitness:
        for one in individuals:
            if not getattr(getattr(one, "fitness", None), "valid", False):
                raise OperatorError(
                    f"selection {name!r} needs a fitness and {getattr(one, 'uid', one)!r} has none; "
                    "give the preset an [evaluate] operator"
                )
    if said.by_generation:
        select = functools.partial(select, generation=generation)
    try:
        if said.whole_generation:
            groups = select(list(individuals), list(sizes))
        elif said.distinct and not from_deap(select):
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
        one = drawn[0] if isinstance(drawn, list) and len(drawn) == 1 else None
        position = next((i for i, other in enumerate(remaining) if drawn and other is one), None)
        if position is None:
            raise OperatorError(
                f"selection {name_of(select)!r} was asked for 1 of {len(remaining)} individuals and gave {drawn!r:.200}"
            )
        chosen.append(remaining.pop(position))
    return chosen


# -------------------------------------------------------------------- variation


def conversation(
    operator: Callable[..., Any],
    problem: Problem,
    parents: Sequence[Candidate],
    *,
    seed: Callable[[int], int] | None = None,
    tried: str = "",
) -> Generator[Prompt | Consult, Completion | RequestError, Prompt | Copy]:
    """What a variation makes of its parents, its calls yielded on the way.

    Send the completion of each Prompt or Consult that is yielded, or the RequestError it ended in; what is
    returned is the child's last prompt, or the copy of a parent. ``seed`` gives the seed of each step, for an
    operator that declares to draw. A RequestError that the operator does not catch is raised as it is.

    Raises OperatorError where the operator raises, asks for something else, asks without an end, or copies or
    consults about a candidate it was not given.
    """
    name, known = name_of(operator), tuple(parents)
    drawn = seed if declaration(Variation, operator).draws else None

    def scope(step: int) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if drawn is None else rng_scope(drawn(step))

    with blamed("variation", operator, tried), scope(0):
        made = operator(problem, parents)
    if isinstance(made, Generator):
        made = yield from _driven(operator, made, problem, known, scope, tried)
    if isinstance(made, Copy) and not _among(made.parent, known):
        raise OperatorError(
            f"variation {name!r} copies a candidate that is not among the parents it was given"
        )
    if not isinstance(made, Prompt | Copy):
        raise OperatorError(f"variation {name!r} must give a Prompt or a Copy, got {type(made).__name__}")
    return made if isinstance(made, Copy) else made.showing(problem.pictures)


def _driven(
    operator: Callable[..., Any],
    steps: Generator[Any, Any, Any],
    problem: Problem,
    parents: Sequence[Candidate],
    scope: Callable[[int], contextlib.AbstractContextManager[None]],
    tried: str,
) -> Generator[Prompt | Consult, Completion | RequestError, Any]:
    """A generator operator to what it returns; each of its steps runs in a ``scope``."""
    answer: Completion | RequestError | None = None
    most = MAX_CALLS + len(parents)  # each parent may be consulted about
    try:
        for step in range(most):
            ended, wanted = False, None
            with blamed("variation", operator, tried), scope(step + 1):
                try:
                    wanted = steps.throw(answer) if isinstance(answer, RequestError) else steps.send(answer)
                except StopIteration as stop:
                    ended, wanted = True, stop.value
            if ended:
                return wanted
            asked = _asked(name_of(operator), wanted, parents)
            if isinstance(asked, Consult):
                answer = yield replace(asked, prompt=asked.prompt.showing(problem.pictures))
            else:
                answer = yield asked.showing(problem.pictures)
        raise OperatorError(
            f"variation {name_of(operator)!r} asked the model {most} times for one child and did not end"
        )
    finally:
        with blamed("variation", operator, tried):
            steps.close()


def _asked(name: str, wanted: Any, parents: Sequence[Candidate]) -> Prompt | Consult:
    if isinstance(wanted, Consult):
        if not _among(wanted.about, parents):
            raise OperatorError(
                f"variation {name!r} consults about a candidate that is not among its parents"
            )
        if not wanted.purpose.isidentifier() or wanted.purpose in RESERVED_PURPOSES:
            raise OperatorError(
                f"variation {name!r}: the purpose of a Consult must be a word of its own (a Python name "
                f"other than vary, evaluate and finish), got {wanted.purpose!r}"
            )
        return wanted
    if not isinstance(wanted, Prompt):
        raise OperatorError(
            f"variation {name!r} must yield Prompts, but it yielded a {type(wanted).__name__}"
        )
    return wanted


# -------------------------------------------------------------------- fitness


async def measure(
    evaluate: Callable[..., Any],
    problem: Problem,
    candidates: Sequence[Candidate],
    ask: Ask,
    *,
    verdicts: Mapping[str, Verdict] | None = None,
    tried: str = "",
) -> list[Fitness]:
    """The fitness of each candidate, in their order; ``verdicts``, by uid, are for an oracle alone.

    Raises OperatorError where the operator raises, or gives anything but one tuple of finite numbers a
    candidate, as many as its weights.
    """
    name, said = name_of(evaluate), measures(evaluate)
    oracle = {"verdicts": verdicts or {}} if said.oracle else {}
    known = tuple(candidates)

    def shown(candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]:
        return ask(candidate, prompt.showing(problem.pictures) if isinstance(prompt, Prompt) else prompt)

    with blamed("fitness", evaluate, tried):
        values = await evaluate(problem, candidates, shown if problem.pictures else ask, **oracle)
    if not isinstance(values, list) or len(values) != len(known):
        raise OperatorError(
            f"fitness {name!r} must return a list of {len(known)} tuples, got {values!r:.200}"
        )
    kind, found = fitness_class(said.weights), []
    for one, value in zip(known, values, strict=True):
        fitness = kind()
        try:
            fitness.assign(value)
        except (TypeError, ValueError) as error:
            raise OperatorError(f"fitness {name!r} of candidate {one.uid}: {error}") from error
        found.append(fitness)
    return found


# -------------------------------------------------------------------- replacement, stopping, finish, adaptation


def replace_members(
    replace: Callable[..., Any], parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int
) -> tuple[Candidate, ...]:
    """The next population: n different members of parents and offspring, or some where the size varies or narrows.

    Must run inside ``rng_scope``. Raises OperatorError where the operator raises or gives anything else.
    """
    said = declaration(Replacement, replace)
    known = {id(one) for one in (*parents, *offspring)}
    with blamed("replacement", replace):
        members = list(replace(parents, offspring, n))
    different = {id(one) for one in members}
    enough = len(members) >= 1 if said.varies_size else len(members) == n
    if said.narrows:
        enough = 1 <= len(members) <= n
    wanted = f"1 to {n}" if said.narrows else "some" if said.varies_size else str(n)
    if not enough or len(different) != len(members) or not different <= known:
        raise OperatorError(
            f"replacement {name_of(replace)!r} must return {wanted} different members of "
            f"parents and offspring; it returned {len(members)}, of which {len(different & known)} are"
        )
    return tuple(members)


def stops(
    rule: Callable[..., Any], problem: Problem, history: Sequence[tuple[Candidate, ...]], spent: int
) -> bool:
    """Whether a stopping rule ends one problem's evolution. ``spent``: tokens so far, for a rule that counts them."""
    given = {"spent": spent} if declaration(Stopping, rule).spending else {}
    with blamed("stopping rule", rule):
        return bool(rule(problem, history, **given))


def choose(
    finish: Callable[..., Any], problem: Problem, members: Sequence[Candidate], *, tried: str = ""
) -> Candidate | Final:
    """Who gives the answer, or from whom a last chain is to be written.

    Must run inside ``rng_scope``. Raises OperatorError where the operator raises, or names nobody or strangers.
    """
    known = tuple(members)
    with blamed("finish", finish, tried):
        answer = finish(problem, members)
    chosen = answer.parents if isinstance(answer, Final) else (answer,)
    if not chosen or any(not _among(one, known) for one in chosen):
        raise OperatorError(
            f"finish {name_of(finish)!r} must choose from the population, got {answer!r:.200}"
        )
    if isinstance(answer, Final):
        return replace(answer, prompt=answer.prompt.showing(problem.pictures))
    return answer  # type: ignore[no-any-return]


def adapted(
    adapt: Callable[..., Any], probabilities: Sequence[float], rewards: Sequence[Sequence[float]]
) -> list[float]:
    """The next probability of each operator. Raises OperatorError where these are not probabilities that sum to 1."""
    count = len(probabilities)
    with blamed("adapt", adapt):
        given = [float(share) for share in adapt(probabilities, rewards)]
    if len(given) != count or min(given) < 0 or not abs(sum(given) - 1.0) <= 1e-6:  # NaN too
        raise OperatorError(
            f"adapt {name_of(adapt)!r} must give {count} probabilities that sum to 1, got {given!r:.200}"
        )
    return given


def needs_fitness(kind: type[Declaration], function: Callable[..., Any]) -> bool:
    """Whether an operator looks at the fitness."""
    return bool(getattr(declaration(kind, function), "needs_fitness", False))


def _among(one: object, members: Sequence[Candidate]) -> bool:
    return any(one is member for member in members)
