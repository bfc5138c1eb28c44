"""How a broken contract is told: in words, about the smallest example, with or without pytest."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, NoReturn, TypeVar

import numpy as np
from hypothesis import HealthCheck, settings

from evolve_llm.nouns.candidate import Candidate, fitness_class
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.seeding import rng_scope

Result = TypeVar("Result")

CONTRACT = settings(
    derandomize=True,  # a contract that is kept today is kept tomorrow: the examples are always the same
    deadline=None,
    max_examples=30,
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.filter_too_much,
    ],
)
"""Settings of every property of every contract."""

SECRET = "the reference, 73cf91"
"""A reference that no prompt holds by accident."""

QUESTION = "What is 2 + 2, said the cat {{ question }}?"


class BrokenError(AssertionError):
    """A contract is broken. The message tells the smallest example in plain words."""


def broken(message: str) -> NoReturn:
    """Raise BrokenError with this message."""
    raise BrokenError(message)


def problem(reference: Any = SECRET, form: str = "boxed") -> Problem:
    """The problem that operators are shown."""
    return Problem("p", QUESTION, form, "exact", reference, {"level": 1})


def shown(value: object, most: int = 80) -> str:
    """The ``repr`` of a value, cut to a length."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def members(population: Iterable[Any]) -> str:
    """A population in words: ``[0: fitness 0.5, answer '4'; 1: failed]``."""
    return "[" + "; ".join(_member(one) for one in population) + "]"


def _member(one: Any) -> str:
    if not isinstance(one, Candidate):
        return shown(one)
    if one.failed:
        return f"{one.uid}: failed"
    said = [f"fitness {', '.join(f'{v:g}' for v in one.fitness.values)}"] if one.fitness.valid else []
    said += [f"answer {shown(one.answer, 30)}"] if one.answer is not None else ["no answer"]
    if one.answer_class != one.answer:
        said.append(f"class {shown(one.answer_class, 30)}")
    return f"{one.uid}: {', '.join(said)}"


State = dict[str, object]


def state(one: Candidate, *, evidence: bool = True) -> State:
    """Everything an operator could change about a candidate: every field of it, by its name."""
    left = {"fitness"} if evidence else {"fitness", "evidence"}
    found: State = {
        field.name: copy.deepcopy(getattr(one, field.name))
        for field in fields(Candidate)
        if field.name not in left
    }
    return {**found, "fitness": (one.fitness.wvalues, sorted(vars(one.fitness)))}


def unchanged(before: Sequence[State], after: Sequence[Candidate], *, evidence: bool = True) -> None:
    """Raises BrokenError where a candidate is no longer what it was."""
    for was, one in zip(before, after, strict=True):
        if was != (now := state(one, evidence=evidence)):
            name = next(name for name in was if was[name] != now[name])
            broken(f"it changed {name} of candidate {one.uid}: {shown(was[name])} became {shown(now[name])}")


def generators() -> tuple[Any, ...]:
    """The states of the global generators, comparable."""
    name, keys, *rest = np.random.get_state()
    return (random.getstate(), name, np.asarray(keys).tolist(), rest)


def seeded(seed: int, call: Callable[[], Result], *, outer: int = 0) -> tuple[Result, tuple[Any, ...]]:
    """What a call gives where the engine has seeded the generators, and their states after it.

    ``outer`` is where they stood before. Raises BrokenError where the call does not leave them there.
    """
    random.seed(outer)
    np.random.seed(outer)
    before = generators()
    with rng_scope(seed):
        given = call()
        after = generators()
    if generators() != before:
        broken("it left the generators of its caller in another state than it had found them in")
    return given, after


def reseeds(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether a generator stands in one state after two calls that were given different seeds."""
    return one[0] == other[0] or one[1:] == other[1:]


def unseeded(call: Callable[[], Result], *, outer: int = 0) -> Result:
    """What a call gives that must not draw at all. Raises BrokenError where it moved a global generator."""
    kept = random.getstate(), np.random.get_state()
    try:
        random.seed(outer)
        np.random.seed(outer)
        before = generators()
        given = call()
        if generators() != before:
            broken(
                "it drew from (or seeded) a global random generator, which is not seeded for this kind of "
                "operator, so a resumed run would differ"
            )
        return given
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


def plain_population(
    n: int = 6, *, values: Sequence[float] | None = None, weights: int = 1, generation: int = 0
) -> list[Candidate]:
    """A fixed population whose members differ in text and answer; ``values``: its fitnesses, None for none."""
    found = []
    for slot in range(n):
        answer = str(4 + slot % 3)
        one = Candidate(
            "p", generation, slot, "sample", f"chain {slot} of {generation}, so {answer}", answer, answer
        )
        one.text_tokens = one.completion_tokens = 5 + slot % 4
        one.logprobs = (-0.5, -0.1 * (slot % 3))
        if values is not None:
            one.fitness = fitness_class((1.0,) * weights)()
            one.fitness.assign([values[(slot + shift) % len(values)] for shift in range(weights)])
        found.append(one)
    return found
