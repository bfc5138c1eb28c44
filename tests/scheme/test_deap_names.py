"""What DEAP's users register by habit and cannot work here is refused before the run, with the reason."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from deap import base, benchmarks, gp, tools

from evolve_llm import Problem, UserError, evolve, load_preset
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.deap_names import NEVER_CALLED, refuse_what_cannot_work
from evolve_llm.scheme.preset import builtin_presets
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, Ledger, run_directory

Change = Callable[[base.Toolbox], None]


def plain(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """Another decorator around one, which forgets what it wraps."""

    def decorate(function: Any) -> Any:
        inner = decorator(function)

        def outer(*args: Any, **options: Any) -> Any:
            return inner(*args, **options)

        return outer

    return decorate


def toolbox() -> base.Toolbox:
    return build(load_preset("mu-plus-lambda")).toolbox


HISTORY = tools.History().decorator
PENALTY = tools.DeltaPenalty(lambda one: True, 0.0)
REFUSED: dict[str, tuple[Change, str]] = {
    "map": (lambda box: box.register("map", map), r"toolbox.map would never be called: .*concurrency"),
    "population": (
        lambda box: box.register("population", tools.initRepeat, list, int),
        "toolbox.population would never be called",
    ),
    "History on mate": (
        lambda box: box.decorate("mate", HISTORY),
        r"toolbox.mate: History of deap.tools.support cannot work here: .*genealogy\(run, problem\)",
    ),
    "History on mutate": (lambda box: box.decorate("mutate", HISTORY), "toolbox.mutate: History"),
    "History under wraps": (
        lambda box: box.decorate("mate", HISTORY, lambda f: functools.wraps(f)(lambda *a, **k: f(*a, **k))),
        "toolbox.mate: History",
    ),
    "History under a plain decorator": (
        lambda box: box.decorate("mate", plain(HISTORY)),
        "toolbox.mate: History",
    ),
    "DeltaPenalty": (
        lambda box: box.decorate("evaluate", PENALTY),
        r"toolbox.evaluate: DeltaPenalty.*delta_penalty\(",
    ),
    "DeltaPenalty under a plain decorator": (
        lambda box: box.decorate("evaluate", plain(PENALTY)),
        "toolbox.evaluate: DeltaPenalty",
    ),
    "ClosestValidPenalty": (
        lambda box: box.decorate(
            "evaluate", tools.ClosestValidPenalty(lambda one: True, lambda one: one, 1.0)
        ),
        "toolbox.evaluate: ClosestValidPenalty",
    ),
    "crossover": (
        lambda box: box.register("mate", tools.cxTwoPoint),
        "toolbox.mate: cxTwoPoint.*'aggregate'",
    ),
    "mutation": (
        lambda box: box.register("mutate", tools.mutFlipBit, indpb=0.1),
        "toolbox.mutate: mutFlipBit.*returns a Prompt",
    ),
    "init": (lambda box: box.register("init", tools.initRepeat, list, int), "toolbox.init: initRepeat"),
    "gp": (
        lambda box: box.decorate("mate", gp.staticLimit(len, 17)),
        "toolbox.mate: staticLimit.*max_tokens",
    ),
    "benchmark": (lambda box: box.register("evaluate", benchmarks.sphere), "toolbox.evaluate: sphere"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_the_reason(change: Change, said: str) -> None:
    box = toolbox()
    change(box)
    with pytest.raises(UserError, match=said):
        refuse_what_cannot_work(box)


@pytest.mark.parametrize("alias", NEVER_CALLED)
def test_an_alias_that_would_never_be_called_is_refused(alias: str) -> None:
    box = toolbox()
    box.register(alias, len)
    with pytest.raises(UserError, match=f"toolbox.{alias} would never be called"):
        refuse_what_cannot_work(box)


@pytest.mark.parametrize("preset", builtin_presets())
def test_no_preset_is_refused(preset: str) -> None:
    refuse_what_cannot_work(build(load_preset(preset)).toolbox)


def test_what_fits_is_left_alone() -> None:
    """DEAP's selectors, aliases of the user's own, and a function of DEAP that an own operator was given."""

    def measured_by(function: Callable[..., Any]) -> Callable[..., Any]:
        async def evaluate(problem: Any, candidates: Any, ask: Any) -> Any:
            return [function([1.0]) for _ in candidates]

        return evaluate

    box = toolbox()
    box.register("select", tools.selTournament, tournsize=2)
    box.register("compiled", len)
    box.register("evaluate", measured_by(benchmarks.sphere))
    refuse_what_cannot_work(box)


def test_it_is_found_before_the_first_token() -> None:
    books = Ledger(Scripted(Behaviour()))
    with run_directory() as out:
        with pytest.raises(UserError, match="History"):
            evolve(
                [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")],
                "smoke",
                books,
                out=out,
                customize=lambda box: box.decorate("mate", HISTORY),
            )
        assert not out.exists()
    assert books.calls == 0
