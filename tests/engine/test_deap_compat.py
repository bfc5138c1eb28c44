"""Stock DEAP algorithms run on our toolbox, a generation's calls at a time."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deap import algorithms, tools

from evolve_llm import BackendError, OperatorError, Problem, Request, UserError, evaluation, load_preset
from evolve_llm.backends.scripted import Scripted
from evolve_llm.engine.deap_compat import WORST, Individual, ModelToolbox
from evolve_llm.testing import Behaviour, Ledger

PROBLEM = Problem("p", "What is 2 + 2?", "boxed", "exact", "4")
DOC = (Path(__file__).parents[2] / "docs" / "deap.md").read_text("utf-8")

Algorithm = Callable[[ModelToolbox], Any]
ALGORITHMS: dict[str, Algorithm] = {
    "eaSimple": lambda box: algorithms.eaSimple(box.population(8), box, 0.7, 0.3, 3, verbose=False),
    "eaMuPlusLambda": lambda box: algorithms.eaMuPlusLambda(
        box.population(6), box, 6, 9, 0.6, 0.3, 3, verbose=False
    ),
    "eaMuCommaLambda": lambda box: algorithms.eaMuCommaLambda(
        box.population(6), box, 6, 9, 0.6, 0.3, 3, verbose=False
    ),
    "eaGenerateUpdate": lambda box: algorithms.eaGenerateUpdate(box, 3, verbose=False),
}
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)


def evolved(
    algorithm: Algorithm, model: Any, preset: str | None = None, seed: int = 3, **options: Any
) -> tuple[list[Individual], ModelToolbox]:
    random.seed(seed)
    with ModelToolbox(PROBLEM, model, preset, seed=seed, **options) as toolbox:
        population, _ = algorithm(toolbox)
    return population, toolbox


@every_algorithm
def test_calls_of_a_generation_are_in_flight_together(algorithm: Algorithm) -> None:
    model = Scripted(Behaviour(), delay=0.005)
    population, toolbox = evolved(algorithm, model)
    assert all(one.fitness.valid and one.candidate.text for one in population)
    assert len(toolbox.batches) == (3 if algorithm is ALGORITHMS["eaGenerateUpdate"] else 4)
    assert sum(toolbox.batches) == model.call_count
    assert model.peak_in_flight >= 6


@every_algorithm
def test_the_same_seeds_give_the_same_chains_in_any_order_of_arrival(algorithm: Algorithm) -> None:
    def texts(model: Scripted) -> list[str]:
        return [one.candidate.text for one in evolved(algorithm, model)[0]]

    def slow(request: Request) -> float:
        return random.Random(request.seed).choice((0.0, 0.002))

    plain = texts(Scripted(Behaviour(), capacity=1))
    assert texts(Scripted(Behaviour(), delay=slow)) == plain


def test_parents_are_those_that_deap_chose_and_what_they_wrote_is_in_the_prompt() -> None:
    prompts: dict[str, str] = {}
    behaviour = Behaviour()

    def respond(request: Request) -> Any:
        prompts[request.id] = request.prompt.messages[-1].content
        return behaviour(request)

    with ModelToolbox(PROBLEM, Scripted(respond)) as toolbox:
        first = toolbox.population(2)
        toolbox.map(toolbox.evaluate, first)
        one, other = toolbox.mate(*first)
        (both,) = toolbox.mutate(one)
        assert len(prompts) == 2  # nothing is written before it is wanted
        toolbox.map(toolbox.evaluate, [both])
        assert toolbox.batches == [2, 2]  # the mated one and its mutant; the twin is never written
        with pytest.raises(OperatorError, match="no text yet"):
            assert other.candidate
    uids = tuple(parent.candidate.uid for parent in first)
    assert one.candidate.parents == uids
    assert both.candidate.parents == (one.candidate.uid,)
    child = prompts[f"p/{one.candidate.generation}/{one.candidate.slot}/vary/0"]
    assert child.index(first[0].candidate.text) < child.index(first[1].candidate.text)
    assert one.candidate.text in prompts[f"p/{both.candidate.generation}/{both.candidate.slot}/vary/0"]


def test_a_clone_shares_the_chain_and_not_the_fitness() -> None:
    with ModelToolbox(PROBLEM, Scripted(Behaviour())) as toolbox:
        (one,) = toolbox.population(1)
        early = toolbox.clone(one)
        one.fitness.values = toolbox.map(toolbox.evaluate, [one, early])[0]
        late = toolbox.clone(one)
        assert toolbox.batches == [1]
        assert early.candidate is one.candidate is late.candidate
        del late.fitness.values
        assert one.fitness.valid
        assert not early.fitness.valid


@every_algorithm
def test_failures_never_end_it_and_never_win(algorithm: Algorithm) -> None:
    population, _ = evolved(algorithm, Scripted(Behaviour(fail=0.4)))
    for one in population:
        assert one.candidate.failed == (one.fitness.values == (WORST,))
    evolved(algorithm, Scripted(Behaviour(fail=1.0)))


def test_a_preset_brings_its_operators_and_its_votes_are_batched() -> None:
    def respond(request: Request) -> Any:
        return "Verdict: CORRECT" if "/evaluate/" in request.id else Behaviour()(request)

    model = Ledger(Scripted(respond, delay=0.005))
    population, toolbox = evolved(ALGORITHMS["eaSimple"], model, "mu-plus-lambda")
    assert {one.fitness.values for one in population} == {(2 / 3,)}
    votes = [name for name in model.asked if "/evaluate/" in name]
    assert len(votes) + sum(toolbox.batches) == model.calls
    assert model.peak >= 8


def test_an_own_fitness_sees_written_individuals() -> None:
    def own(box: ModelToolbox) -> Any:
        box.register("evaluate", lambda one: (float(len(one.candidate.text)),))
        return ALGORITHMS["eaSimple"](box)

    population, _ = evolved(own, Scripted(Behaviour()))
    assert all(one.fitness.values == (float(len(one.candidate.text)),) for one in population)


def test_the_hall_of_fame_keeps_chains() -> None:
    best = tools.HallOfFame(2)
    with ModelToolbox(PROBLEM, Scripted(Behaviour())) as toolbox:
        algorithms.eaSimple(toolbox.population(6), toolbox, 0.5, 0.5, 2, halloffame=best, verbose=False)
    assert [one.candidate.text for one in best]
    assert best[0].fitness >= best[1].fitness


def test_a_cache_pays_once(tmp_path: Path) -> None:
    models = [Scripted(Behaviour()), Scripted(Behaviour())]
    texts = [
        [
            one.candidate.text
            for one in evolved(ALGORITHMS["eaSimple"], model, cache=tmp_path / "answers.db")[0]
        ]
        for model in models
    ]
    assert texts[0] == texts[1]
    assert [model.call_count > 0 for model in models] == [True, False]


def test_a_dead_model_is_one_clear_error_and_the_thread_ends() -> None:
    with (
        pytest.raises(BackendError, match="died after 3 calls"),
        ModelToolbox(PROBLEM, Scripted(Behaviour(), die_after=3)) as toolbox,
    ):
        toolbox.map(toolbox.evaluate, toolbox.population(6))
    assert not toolbox._thread.is_alive()


def test_what_cannot_work_is_said_at_once() -> None:
    with pytest.raises(UserError, match="'rsa' has no mutate, evaluate"):
        ModelToolbox(PROBLEM, "scripted", "rsa")
    toolbox = ModelToolbox(PROBLEM, "scripted")
    with pytest.raises(UserError, match="with block"):
        toolbox.map(toolbox.evaluate, toolbox.population(1))


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example, *_ = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["simple"][0] == 12
    assert names["plus"][0] == 8
    assert min(*names["simple"], *names["plus"]) > 4
    assert len(names["answers"]) == 12
    assert "chains written at once" in capsys.readouterr().out


# ---------------------------------------------------------------- the same refusals as the engine's


def _measured(fitness: Any, model: Any = None) -> None:
    preset = load_preset("mu-plus-lambda").override({"evaluate": fitness})
    with ModelToolbox(PROBLEM, model or Scripted(Behaviour()), preset) as toolbox:
        toolbox.map(toolbox.evaluate, toolbox.population(2))


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda n: [(float("nan"),)] * n, "must be finite"),
        (lambda n: [(float("inf"),)] * n, "must be finite"),
        (lambda n: [(1.0, 2.0)] * n, "2 fitness values given, 1 expected"),
        (lambda n: [1.0] * n, "'hasty' of candidate"),
        (lambda n: [(1.0,)] * (n - 1), "must return a list of 2 tuples"),
        (lambda n: {}["missing"], "'hasty' raised KeyError"),  # noqa: ARG005
    ],
)
def test_a_fitness_is_held_to_what_the_engine_holds_it_to(gives: Any, said: str) -> None:
    @evaluation(weights=(1.0,), oracle=False)
    async def hasty(problem: Problem, candidates: Any, ask: Any) -> Any:  # noqa: ARG001
        return gives(len(candidates))

    with pytest.raises(OperatorError, match=re.escape(said)):
        _measured(hasty)


def test_a_backend_that_breaks_its_contract_is_a_backend_error() -> None:
    class Faulty(Scripted):
        async def generate(self, request: Request) -> Any:
            raise KeyError(request.id)

    with pytest.raises(BackendError, match=r"failed on .* with KeyError"):
        _measured("agreement", Faulty(Behaviour()))


def test_text_that_cannot_be_encoded_is_kept_out_of_text_and_reasoning() -> None:
    class Torn(Scripted):
        async def generate(self, request: Request) -> Any:
            made = await super().generate(request)
            return replace(made, text=f"\ud800 {made.text}", reasoning="half \udfff a thought")

    with ModelToolbox(PROBLEM, Torn(Behaviour())) as toolbox:
        everyone = toolbox.population(2)
        toolbox.map(toolbox.evaluate, everyone)
        for one in everyone:
            (one.candidate.text + one.candidate.reasoning).encode()
            assert "\N{REPLACEMENT CHARACTER}" in one.candidate.reasoning
