"""What a customized toolbox runs is what the run directory says (invariant I10)."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from deap import base, tools

from evolve_llm import Candidate, Preset, Problem, Prompt, UserError, evaluation, evolve, stopping, variation
from evolve_llm.backends.scripted import Scripted
from evolve_llm.testing import Behaviour, contents, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + 2?", "boxed", "exact", str(i + 2)) for i in range(3)]


@evaluation(weights=(-1.0,), oracle=False)
async def brevity(
    problem: Problem,  # noqa: ARG001
    candidates: Sequence[Candidate],
    ask: Any,  # noqa: ARG001
    *,
    unit: int = 1,
) -> list[tuple[float, ...]]:
    return [(len(one.text) / unit,) for one in candidates]


@stopping()
def at_once(problem: Problem, generations: Sequence[Sequence[Candidate]]) -> bool:  # noqa: ARG001
    return True


@variation(arity=1)
def again(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return Prompt.user(f"{problem.question}\n{parents[0].text}\nAgain, please.")


def run_json(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found["config"]


CASES: dict[str, tuple[Callable[[base.Toolbox], None], dict[str, Any], str, Any]] = {
    "a selector of DEAP": (
        lambda box: box.register("select", tools.selBest),
        {"evaluate": "length"},
        "select",
        {"operator": "deap.tools.selection:selBest"},
    ),
    "a selector with its parameter": (
        lambda box: box.register("select", tools.selTournament, tournsize=2),
        {"evaluate": "length"},
        "select",
        {"operator": "deap.tools.selection:selTournament", "tournsize": 2},
    ),
    "a fitness where there was none": (
        lambda box: box.register("evaluate", brevity, unit=3),
        {},
        "evaluate",
        {"operator": f"{__name__}:brevity", "unit": 3},
    ),
    "a stopping rule": (
        lambda box: box.register("stop_0", at_once),
        {"stop": "consensus"},
        "stop",
        [{"operator": f"{__name__}:at_once"}],
    ),
    "a variation of another arity": (
        lambda box: box.register("mate", again),
        {},
        "vary",
        [{"operator": f"{__name__}:again"}],
    ),
}


@pytest.mark.parametrize(("customize", "overrides", "key", "wanted"), CASES.values(), ids=CASES)
def test_the_preset_on_disk_names_what_runs_and_repeats_it(
    customize: Callable[[base.Toolbox], None], overrides: dict[str, Any], key: str, wanted: Any
) -> None:
    with run_directory() as out, run_directory() as other:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, customize=customize, **overrides)
        said = run_json(out)
        assert said["preset"][key] == wanted
        repeated = Preset.from_plain(said["preset"])
        evolve(PROBLEMS, repeated, Scripted(Behaviour()), out=other)
        assert run_json(other) == said
        assert contents(other) == contents(out)


def test_a_customized_run_resumes_as_the_run_it_was_and_as_no_other() -> None:
    def best(box: base.Toolbox) -> None:
        box.register("select", tools.selBest)

    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, evaluate="length", customize=best)
        again_model = Scripted(Behaviour())
        evolve(PROBLEMS, "smoke", again_model, out=out, evaluate="length", customize=best)
        assert again_model.call_count == 0
        with pytest.raises(UserError, match="select"):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, evaluate="length")


def test_a_decorated_operator_does_not_pass_for_the_one_inside() -> None:
    def loud(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            return function(*arguments, **keywords)

        return wrapper

    with run_directory() as out:
        evolve(
            PROBLEMS,
            "smoke",
            Scripted(Behaviour()),
            out=out,
            evaluate="length",
            customize=lambda box: box.decorate("evaluate", loud),
        )
        said = run_json(out)
    name = said["preset"]["evaluate"]["operator"]
    assert "loud.<locals>.wrapper around evolve_llm_operators.fitness:length" in name
    assert said["operators"]["evaluate"] == name


def test_a_partial_in_a_preset_keeps_its_parameters() -> None:
    with run_directory() as out:
        selector = functools.partial(tools.selTournament, tournsize=3)
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, evaluate="length", select=selector)
        assert run_json(out)["preset"]["select"] == {
            "operator": "deap.tools.selection:selTournament",
            "tournsize": 3,
        }


@pytest.mark.parametrize(
    ("customize", "message"),
    [
        (lambda box: box.register("mutate", again), "nothing would ever call 'mutate'"),
        (lambda box: box.register("vary_7", again), "nothing would ever call 'vary_7'"),
        (lambda box: box.register("stop_0", at_once), "nothing would ever call 'stop_0'"),
        (lambda box: box.unregister("select"), "no 'select' any more"),
        (lambda box: box.register("select", tools.selTournament, 2, tournsize=2), "by name, not by position"),
        (lambda box: box.register("select", lambda members, k: members[:k]), "does not declare what it is"),
        (lambda box: box.register("adapt", at_once), "adapt"),
    ],
)
def test_what_could_not_be_recorded_or_called_is_refused(
    customize: Callable[[base.Toolbox], None], message: str
) -> None:
    model = Scripted(Behaviour())
    with pytest.raises(UserError, match=message):
        evolve(PROBLEMS, "smoke", model, customize=customize)
    assert model.call_count == 0
