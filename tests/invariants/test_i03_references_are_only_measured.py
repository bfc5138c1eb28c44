"""I3: references changed: nothing changes but verdicts and metrics, unless fitness is the checker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Candidate, Preset, Problem, Prompt, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.decorators import evaluation, finishing, replacement, selection, variation
from evolve_llm.testing import Behaviour, behaviours, contents, presets, problem_sets, run_directory, seeds

SECRET = "reference-8f2a61"
UNMEASURED = ("completions", "candidates", "populations", "answers")


def rows(problems: list[Problem], preset: Preset, behaviour: Behaviour, seed: int) -> dict[str, Any]:
    with run_directory() as out:
        assert evolve(problems, preset, Scripted(behaviour), out=out, seed=seed).complete
        return contents(out)


@settings(max_examples=25)
@given(
    problems=problem_sets(),
    preset=presets(),
    behaviour=behaviours(),
    seed=seeds(),
    others=st.lists(st.sampled_from(("4", "5", "never", None)), min_size=3, max_size=3),
)
def test_other_references_or_none_change_verdicts_alone(
    problems: list[Problem], preset: Preset, behaviour: Behaviour, seed: int, others: list[str | None]
) -> None:
    changed = [replace(one, reference=other) for one, other in zip(problems, others, strict=False)]
    found = rows(problems, preset, behaviour, seed)
    again = rows(changed, preset, behaviour, seed)
    for table in UNMEASURED:
        assert found[table] == again[table]
    ungraded = {order for order, one in enumerate(changed) if one.reference is None}
    assert not {row[0] for row in again["verdicts"]} & ungraded


def test_verdicts_do_follow_the_reference() -> None:
    """The property above would hold for a machine that never grades; this one does grade."""
    grades = []
    for reference in ("4", "never"):
        problems = [Problem("p", "2 + 2?", "boxed", "exact", reference)]
        with run_directory() as out:
            run = evolve(problems, "smoke", Scripted(Behaviour(answers=("4",))), out=out)
            grades.append({row[2] for row in contents(out)["verdicts"]})
            assert run.generations()[0].plain()["pass@1"] == float(reference == "4")
    assert grades == [{"correct"}, {"incorrect"}]


def test_with_the_checker_as_fitness_the_reference_does_steer() -> None:
    preset = Preset.from_plain(
        {"name": "oracle", "population": 6, "parents": 1, "generations": 3, "select": "best", "vary": "refine",
         "evaluate": "checker"}
    )  # fmt: skip
    problems = [Problem("p", "2 + 2?", "boxed", "exact", "4")]
    behaviour = Behaviour(answers=("4", "5"))
    found = rows(problems, preset, behaviour, 0)
    again = rows([replace(problems[0], reference="5")], preset, behaviour, 0)
    assert found["candidates"] != again["candidates"]


def test_no_operator_and_no_prompt_ever_holds_the_reference() -> None:
    """Spies in every seat of the toolbox look for it in all they are handed."""
    seen: set[str] = set()

    def look(seat: str, *handed: object) -> None:
        seen.add(seat)
        assert SECRET not in repr(handed)
        for one in handed:
            if isinstance(one, Problem):
                assert one.reference is None

    @variation(arity=0)
    def init(problem: Problem, parents: Sequence[Candidate] = ()) -> Prompt:
        look("init", problem, parents)
        return Prompt.user(problem.question)

    @variation(arity=2)
    def vary(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
        look("vary", problem, parents)
        return Prompt.user(problem.question + "".join(one.text for one in parents))

    @selection(blind=False, needs_fitness=True)
    def select(individuals: Sequence[Candidate], k: int) -> list[Candidate]:
        look("select", individuals)
        return list(individuals[:k])

    @evaluation(weights=(1.0,), oracle=False)
    async def evaluate(
        problem: Problem, candidates: Sequence[Candidate], ask: Any
    ) -> list[tuple[float, ...]]:
        look("evaluate", problem, candidates)
        votes = [await ask(one, Prompt.user(problem.question)) for one in candidates]
        return [(float(len(vote.text)),) for vote in votes]

    @replacement()
    def replace_all(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
        look("replace", parents, offspring)
        return list(offspring[:n])

    @finishing()
    def finish(problem: Problem, population: Sequence[Candidate]) -> Candidate:
        look("finish", problem, population)
        return population[0]

    problems = [Problem("p", "what?", "boxed", "exact", SECRET)]
    model = Scripted(Behaviour(), record=True)
    with run_directory() as out:
        evolve(problems, "smoke", model, out=out, init=init, vary=vary, select=select, evaluate=evaluate,
               replace=replace_all, finish=finish)  # fmt: skip
    assert seen == {"init", "vary", "select", "evaluate", "replace", "finish"}
    assert model.calls
    assert SECRET not in repr(model.calls)


def test_prompts_of_the_built_in_operators_hold_no_reference() -> None:
    for form in ("boxed", "tags", "option", "code", "text"):
        problems = [Problem("p", "what?", form, "exact", SECRET, {"level": 1})]
        for vary in ("aggregate", "refine", "sample"):
            model = Scripted(Behaviour(), record=True)
            with run_directory() as out:
                evolve(problems, "smoke", model, out=out, vary=vary)
            assert len(model.calls) == 12
            assert SECRET not in repr(model.calls)
