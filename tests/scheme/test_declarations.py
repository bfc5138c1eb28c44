"""A declaration is found through whatever an operator is wrapped in, and never lost in silence."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deap import base, tools

import evolve_llm
from evolve_llm import Problem, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.declarations import (
    KINDS,
    Evaluation,
    Finishing,
    Selection,
    Variation,
    declaration,
    declared,
    measures,
)
from evolve_llm.scheme.toolbox import resolve
from evolve_llm.testing import Behaviour, contents, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + 2?", "boxed", "exact", str(i + 2)) for i in range(2)]
ONE_OF_EACH = {
    "select": "tournament",
    "vary": "refine",
    "evaluate": "length",
    "replace": "elitism",
    "finish": "majority",
    "stop": "consensus",
    "adapt": "ucb",
}


def careless(function: Callable[..., Any]) -> Callable[..., Any]:
    """DEAP's own idiom of a decorator."""

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **keywords)

    return wrapper


def careful(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **keywords)

    return wrapper


def by_hand(function: Callable[..., Any]) -> Callable[..., Any]:
    """Points at what it wraps, and copies nothing."""
    wrapper = careless(function)
    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    return wrapper


WRAPPINGS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "partial": functools.partial,
    "partial of a partial": lambda function: functools.partial(functools.partial(function)),
    "wraps": careful,
    "wraps twice": lambda function: careful(careful(function)),
    "__wrapped__ alone": by_hand,
    "partial of wraps": lambda function: functools.partial(careful(function)),
    "wraps of a partial": lambda function: careful(functools.partial(function)),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS)
@pytest.mark.parametrize(("kind", "name"), ONE_OF_EACH.items())
def test_it_is_found_through(
    kind: str, name: str, wrapping: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    operator = resolve(kind, name)
    said = declared(operator)
    assert isinstance(said, KINDS[kind])
    assert declared(wrapping(operator)) is said


def test_a_wrapper_that_wraps_itself_is_no_trap() -> None:
    def snake() -> None: ...

    snake.__wrapped__ = snake  # type: ignore[attr-defined]
    assert declared(snake) is None


@pytest.mark.parametrize(
    ("alias", "overrides", "line"),
    [
        ("evaluate", {"evaluate": "length"}, r"@evaluation\(weights=\(-1.0,\), oracle=False\)"),
        (
            "select",
            {"evaluate": "length", "select": "tournament"},
            r"@selection\(blind=False, needs_fitness=True",
        ),
        ("select", {}, r"@selection\(blind=True\)"),
        ("mate", {}, r"@variation\(\)"),
        ("init", {}, r"@variation\(arity=0\)"),
        ("replace", {}, r"@replacement\(positional=True\)"),
        ("finish", {}, r"@finishing\(\)"),
        ("stop_0", {"stop": "consensus"}, r"@stopping\("),
        (
            "adapt",
            {
                "evaluate": "length",
                "adapt": "ucb",
                "vary": [
                    {"operator": "aggregate", "probability": 0.5},
                    {"operator": "refine", "probability": 0.5},
                ],
            },
            r"@adaptation\(",
        ),
    ],
)
def test_a_decorator_that_loses_it_is_refused_with_the_line_to_write(
    alias: str, overrides: dict[str, Any], line: str
) -> None:
    def customize(decorator: Callable[..., Any]) -> Callable[[base.Toolbox], None]:
        return lambda toolbox: toolbox.decorate(alias, decorator)

    model = Scripted(Behaviour())
    with pytest.raises(UserError, match=rf"'{alias}'.*functools\.wraps.*{line}"), run_directory() as out:
        evolve(PROBLEMS, "smoke", model, out=out, customize=customize(careless), **overrides)
    assert model.call_count == 0
    with run_directory() as out:
        assert evolve(PROBLEMS, "smoke", model, out=out, customize=customize(careful), **overrides).complete


def test_a_decorated_fitness_keeps_its_direction() -> None:
    """The shortest chain wins under ``length``, decorated or not."""

    def answers(**more: Any) -> list[Any]:
        with run_directory() as out:
            run = evolve(
                PROBLEMS, "smoke", Scripted(Behaviour()), out=out, evaluate="length", finish="best", **more
            )
            assert run.complete
            return contents(out)["answers"]

    plain = answers()
    assert plain
    assert answers(customize=lambda toolbox: toolbox.decorate("evaluate", careful)) == plain


def test_a_fitness_that_declares_nothing_is_refused_wherever_it_comes_from() -> None:
    async def bare(problem: Any, candidates: Any, ask: Any) -> Any:  # noqa: ARG001
        return [(1.0,) for _ in candidates]

    for given in ({"evaluate": bare}, {"evaluate": functools.partial(bare)}, {"evaluate": careless(bare)}):
        with pytest.raises(UserError, match=r"which way is better.*@evaluation\(weights="):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), **given)
    with pytest.raises(UserError, match="does not declare what it is"):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), customize=lambda box: box.register("evaluate", bare))
    with pytest.raises(UserError, match="which way is better"):
        measures(bare)


def test_weights_and_oracle_have_no_default() -> None:
    for given in ({}, {"weights": (1.0,)}, {"oracle": False}):
        with pytest.raises(TypeError, match="missing"):
            evolve_llm.evaluation(**given)  # type: ignore[call-overload, arg-type]


@pytest.mark.parametrize(
    "overrides",
    [
        {"select": "majority", "message": r"\[select\].*@finishing.*takes @selection"},
        {"finish": "uniform", "message": r"\[finish\].*@selection.*takes @finishing"},
        {"replace": "refine", "message": r"\[replace\].*@variation.*takes @replacement"},
        {"evaluate": "tournament", "message": "@selection.*takes @evaluation"},
        {"stop": "length", "message": r"\[\[stop\]\].*@evaluation.*takes @stopping"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_an_operator_of_another_kind_is_refused(overrides: dict[str, Any]) -> None:
    message = overrides.pop("message")
    (kind, name), *_ = overrides.items()
    other = {"majority": "finish", "uniform": "select", "refine": "vary", "tournament": "select"}
    function = resolve(other.get(name, "evaluate"), name)
    with pytest.raises(UserError, match=message):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), **{kind: function})


def test_what_is_assumed_of_a_function_that_declares_nothing() -> None:
    assert declaration(Selection, tools.selBest) == Selection(blind=False, needs_fitness=True, distinct=False)
    assert declaration(Selection, max) == Selection(blind=False, needs_fitness=True, distinct=True)
    assert declaration(Variation, max) == Variation(arity=None)
    assert declaration(Finishing, max) == Finishing()
    with pytest.raises(UserError):
        declaration(Evaluation, max)


def test_the_decorators_refuse_other_signatures_under_a_type_checker(tmp_path: Path) -> None:
    """mypy --strict: every wrong function is an error, and no right one is."""
    module = tmp_path / "mine.py"
    right = """
@selection(blind=True)
def s(individuals: Sequence[Item], k: int, *, pool: int = 4) -> list[Item]: return list(individuals)[:k]
@selection(blind=True, whole_generation=True)
def w(individuals: Sequence[Item], sizes: list[int]) -> list[list[Item]]: return []
@variation(arity=None)
def v(problem: Problem, parents: Sequence[Candidate]) -> Prompt: return Prompt.user("")
@variation(arity=None)
def g(problem: Problem, parents: Sequence[Candidate]) -> Steps:
    yield Prompt.user("")
    return Prompt.user("")
@evaluation(weights=(1.0,), oracle=False)
async def e(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> list[tuple[float, ...]]: return []
@replacement()
def r(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]: return []
@finishing()
def f(problem: Problem, population: Sequence[Candidate]) -> Candidate: return population[0]
@stopping()
def t(problem: Problem, generations: Sequence[Sequence[Candidate]]) -> bool: return True
@adaptation()
def a(probabilities: Sequence[float], rewards: Sequence[Sequence[float]]) -> list[float]: return []
"""
    wrong = """
@selection(blind=True)
def s1(x: int) -> str: return ""
@variation(arity=1)
def v1(problem: Problem) -> Prompt: return Prompt.user("")
@variation(arity=1)
def v2(problem: Problem, parents: Sequence[Candidate]) -> str: return ""
@evaluation(weights=(1.0,), oracle=False)
def e1(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> list[tuple[float, ...]]: return []
@evaluation(weights=(1.0,), oracle=False)
async def e2(problem: Problem, candidates: Sequence[Candidate], ask: Ask) -> list[float]: return []
@replacement()
def r1(parents: Sequence[Candidate], offspring: Sequence[Candidate]) -> list[Candidate]: return []
@finishing()
def f1(problem: Problem, population: Sequence[Candidate]) -> str: return ""
@stopping()
def t1(problem: Problem, generations: int) -> bool: return True
@adaptation()
def a1(probabilities: Sequence[float]) -> list[float]: return []
"""
    head = """from collections.abc import Sequence
from typing import TypeVar
from evolve_llm import (Ask, Candidate, Problem, Prompt, Steps, adaptation, evaluation, finishing, replacement,
    selection, stopping, variation)
Item = TypeVar("Item")
"""
    module.write_text(head + right + wrong)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(module)]
    settings = ["--config-file", str(Path(__file__).parents[2] / "pyproject.toml")]
    said = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=200, check=False)
    lines = [one for one in said.stdout.splitlines() if one.startswith(str(module)) and ": error:" in one]
    first = (head + right).count("\n") + 1
    numbers = [int(one.removeprefix(str(module)).split(":")[1]) for one in lines]
    assert min(numbers) >= first, said.stdout
    assert len(numbers) == wrong.count("\n@"), said.stdout
    assert all('Value of type variable "Any' in one for one in lines), said.stdout
