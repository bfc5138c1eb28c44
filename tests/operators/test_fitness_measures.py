"""Fitnesses that do not ask the model: agreement, length, confidence; and several side by side."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import pytest
from evolve_llm_operators.fitness import FLOOR, agreement, checker, confidence, length, objectives
from evolve_llm_operators.verification import self_verify
from fitness_helpers import Asked, population, said, values
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Candidate, OperatorError, Preset, Problem, Request, UserError, evolve
from evolve_llm.backends.base import Backend
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.request import Completion
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.scheme.declarations import measures
from evolve_llm.scheme.decorators import evaluation
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, Reordering, contents, database, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]


def preset(evaluate: Any, **changes: Any) -> Preset:
    data = {
        "name": "measured", "population": 4, "parents": 2, "generations": 3, "select": "tournament",
        "evaluate": evaluate, "sampling": {"max_tokens": 64},
    }  # fmt: skip
    return Preset.from_plain({**data, **changes})


# ---------------------------------------------------------------- agreement, length, checker


@settings(max_examples=80)
@given(st.lists(st.sampled_from(("4", "5", None)), min_size=1, max_size=8))
def test_agreement_is_the_share_of_the_answer_class(classes: list[str | None]) -> None:
    members = population(len(classes))
    for one, known in zip(members, classes, strict=True):
        one.answer_class = known
    found = [value for (value,) in values(agreement, members)]
    assert found == [0.0 if one is None else classes.count(one) / len(classes) for one in classes]


def test_length_is_the_chains_own_and_shorter_is_better() -> None:
    one, two = population(2)
    one.text_tokens, one.completion_tokens = 7, 900  # a critique was longer than what came of it
    two.text_tokens, two.completion_tokens, two.copied = 8, 0, True
    assert values(length, [one, two]) == [(7.0,), (8.0,)]
    assert measures(length).weights == (-1.0,)


def test_the_checker_is_an_oracle_and_the_others_are_none() -> None:
    assert measures(checker).oracle
    assert not any(measures(one).oracle for one in (agreement, length, confidence, self_verify))


# ---------------------------------------------------------------- confidence


@settings(max_examples=150)
@given(
    logprobs=st.lists(st.floats(-20, 0), min_size=1, max_size=30),
    window=st.none() | st.integers(1, 40),
)
def test_confidence_is_the_mean_or_the_lowest_mean_of_a_window(
    logprobs: list[float], window: int | None
) -> None:
    (one,) = population(1)
    one.logprobs = tuple(logprobs)
    ((value,),) = values(confidence, [one], window=window)
    size = len(logprobs) if window is None else min(window, len(logprobs))
    means = [math.fsum(logprobs[i : i + size]) / size for i in range(len(logprobs) - size + 1)]
    assert value == pytest.approx(min(means), abs=1e-9)
    assert value <= 0


def test_one_weak_passage_counts_only_with_a_window() -> None:
    sure, weak = population(2)
    sure.logprobs = (-0.5,) * 100
    weak.logprobs = (-0.1,) * 90 + (-3.0,) * 10
    (plain, plain_weak), (lowest, lowest_weak) = (
        [value for (value,) in values(confidence, [sure, weak], window=window)] for window in (None, 10)
    )
    assert plain_weak > plain
    assert lowest_weak < lowest


@pytest.mark.parametrize("written", [-math.inf, -9999.0, -3.4e38])
def test_an_impossible_token_is_bounded_whatever_the_server_writes(written: float) -> None:
    (one,) = population(1)
    one.logprobs = (0.0, written)
    assert values(confidence, [one]) == [(FLOOR / 2,)]


def test_a_chain_of_no_tokens_is_the_least_confident() -> None:
    one = Candidate("p", 0, 0, "sample")
    assert values(confidence, [one]) == [(FLOOR,)]


def test_a_chain_without_log_probabilities_is_a_clear_error() -> None:
    with pytest.raises(
        UserError, match=r"confidence needs the log-probabilities.*candidate 0\.0 has none.*backend"
    ):
        values(confidence, population(1))


@pytest.mark.parametrize("window", [0, -1, 2.5, True, "64"])
def test_a_window_that_makes_no_sense(window: Any) -> None:
    with pytest.raises(UserError, match="window must be a number of tokens, at least 1"):
        values(confidence, population(1), window=window)


@pytest.mark.parametrize("window", [None, 4])
def test_confidence_runs_the_same_at_any_concurrency_and_asks_for_log_probabilities(
    window: int | None,
) -> None:
    evaluate = {"operator": "confidence"} | ({} if window is None else {"window": window})
    vary = [{"operator": "aggregate", "probability": 0.5}]  # the rest are copies, which keep their parent's
    found = set()
    for concurrency, delay in ((1, 0.0), (64, 0.0), (64, lambda request: (request.seed >> 20) % 3 / 1000)):
        model = Scripted(Behaviour(truncate=0.2, fail=0.1), delay=delay, record=True)
        with run_directory() as out:
            run = evolve(PROBLEMS, preset(evaluate, vary=vary), model, out=out, concurrency=concurrency)
            assert all(request.logprobs for request in model.calls)
            assert all(one.fitness.values[0] < 0 for one in run.population("p0", 0) if not one.failed)
            found.add(database(out))
    assert len(found) == 1


@pytest.mark.parametrize(
    "evaluate", [{"operator": "confidence"}, {"operator": "self_verify", "mode": "p_true"}], ids=str
)
def test_a_backend_without_log_probabilities_is_named_at_the_first_answer(evaluate: dict[str, Any]) -> None:
    class Silent(Reordering):
        identity = "silent:model"

    model: Backend = Silent(Behaviour(), identity="silent:model")
    with run_directory() as out, pytest.raises(UserError, match=r"'silent:model' gave none; use a backend"):
        evolve(PROBLEMS, preset(evaluate), model, out=out)
    assert len(model.released) <= 64  # type: ignore[attr-defined]


def test_nobody_asks_for_log_probabilities_without_a_reason() -> None:
    model = Scripted(Behaviour(), record=True)
    with run_directory() as out:
        evolve(PROBLEMS, preset({"operator": "objectives", "of": ["agreement", "length"]}), model, out=out)
        assert all(row[-1] is None and row[-2] is None for row in contents(out)["completions"])
    assert not any(request.logprobs for request in model.calls)


# ---------------------------------------------------------------- objectives


def objective(*of: Any) -> Any:
    return functools.partial(objectives, of=list(of))


def test_values_and_weights_stand_in_the_order_they_were_named() -> None:
    members = population(2)
    for one in members:
        one.logprobs, one.text_tokens = (-1.0, -3.0), 5
    of = ["agreement", "length", {"operator": "confidence", "window": 1}, length]
    assert values(objectives, members, of=of) == [(0.5, 5.0, -3.0, 5.0)] * 2
    assert measures(objective(*of)).weights == (1.0, -1.0, 1.0, -1.0)


@pytest.mark.parametrize(
    ("of", "oracle", "logprobs", "calls", "again"),
    [
        (["agreement", "length"], False, False, 0, 0),
        (["length", "checker"], True, False, 0, 0),
        ([confidence, "agreement"], False, True, 0, 0),
        ([{"operator": "self_verify", "votes": 3}, "length"], False, False, 3, 3),
        ([{"operator": "self_verify", "mode": "p_true"}, "self_verify"], False, True, 5, 4),
        ([{"operator": "objectives", "of": ["checker", "confidence"]}], True, True, 0, 0),
    ],
)
def test_what_the_parts_declare_the_whole_declares(
    of: list[Any], oracle: bool, logprobs: bool, calls: int, again: int
) -> None:
    """By hand, and as a preset binds them."""
    scheme = build(preset({"operator": "objectives", "of": of}))
    for whole in (objective(*of), scheme.toolbox.evaluate):
        found = [getattr(measures(whole), name) for name in ("oracle", "logprobs", "calls", "again")]
        assert found == [oracle, logprobs, calls, again]
    assert (scheme.oracle, scheme.logprobs) == (oracle, logprobs)


def test_only_the_oracle_among_the_parts_sees_the_verdicts() -> None:
    @evaluation(weights=(1.0,), oracle=False)
    async def curious(problem: Problem, candidates: Sequence[Candidate], ask: object, **more: object) -> Any:  # noqa: ARG001
        assert not more
        return [(0.0,) for _ in candidates]

    right = Verdict(Grade.CORRECT, "as told")
    found = values(objectives, population(1), of=[curious, "checker"], verdicts={"0.0": right})
    assert found == [(0.0, 1.0)]


def test_parts_that_ask_are_asked_in_order() -> None:
    ask = Asked(lambda _, number, __: said("CORRECT") if number < 2 else said("INCORRECT"))
    twice = {"operator": "self_verify", "votes": 2}
    other = {"operator": "self_verify", "votes": 1}
    assert values(objectives, population(1), ask, of=[twice, other]) == [(0.75, 1 / 3)]


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ([], "needs a list of fitnesses"),
        ("agreement", "needs a list of fitnesses"),
        (["agrement"], r"agrement.*agreement"),
        (
            [{"operator": "confidence", "windows": 3}],
            r"\[evaluate\] of 0 .*no parameter 'windows'; it takes: window",
        ),
        (["length", {"votes": 3}], r"\[evaluate\] of 1 must be an operator"),
        ([7], r"\[evaluate\] of 0 must be an operator"),
        ([{"operator": "self_verify", "votes": 0}], "votes must be"),
        ([{"operator": "objectives", "of": []}], "needs a list of fitnesses"),
        ([{"operator": "objectives"}], r"\[evaluate\] of 0 .*needs the parameter\(s\) of"),
    ],
    ids=str,
)
@pytest.mark.parametrize("generations", [1, 3])
def test_what_is_wrong_with_the_parts_is_found_before_a_token_is_spent(
    of: Any, message: str, generations: int
) -> None:
    with pytest.raises(UserError, match=message):
        build(preset({"operator": "objectives", "of": of}, generations=generations))


def test_a_part_that_gives_the_wrong_number_is_named() -> None:
    @evaluation(weights=(1.0, 1.0), oracle=False)
    async def lopsided(problem: Problem, candidates: Sequence[Candidate], ask: object) -> Any:  # noqa: ARG001
        return [(0.0,) for _ in candidates]

    with (
        run_directory() as out,
        pytest.raises(
            OperatorError, match=r"'lopsided' of candidate 0.0: 1 fitness values given, 2 expected"
        ),
    ):
        evolve(PROBLEMS, preset({"operator": "objectives", "of": [lopsided]}), Scripted(Behaviour()), out=out)


def test_a_preset_with_parts_goes_through_toml_and_says_what_was_run() -> None:
    of = ["agreement", {"operator": "confidence", "window": 8}]
    tried = preset({"operator": "objectives", "of": of}, select="nsga2")
    assert Preset.from_toml(tried.to_toml()) == tried
    described = build(tried).operators()["evaluate"]
    parts = "evolve_llm_operators.fitness:agreement, evolve_llm_operators.fitness:confidence(window=8)"
    assert described == f"evolve_llm_operators.fitness:objectives(of=[{parts}])"


def test_the_prompts_of_parts_are_the_users_and_belong_to_the_run(tmp_path: Any) -> None:
    (tmp_path / "verify.md").write_text("Is {{ candidate }} right?")
    evaluate = {"operator": "objectives", "of": ["length", {"operator": "self_verify", "votes": 1}]}
    shown: list[str] = []

    def respond(request: Request) -> str | Completion:
        if "/evaluate/" in request.id:
            shown.append(request.prompt.messages[-1].content)
        return Completion("chain \\boxed{4}", completion_tokens=3)

    with run_directory() as out:
        evolve(PROBLEMS, preset(evaluate), Scripted(respond), out=out, prompts=tmp_path)
        (tmp_path / "verify.md").write_text("Is {{ candidate }} really right?")
        with pytest.raises(UserError, match="prompts"):
            evolve(PROBLEMS, preset(evaluate), Scripted(respond), out=out, prompts=tmp_path)
    assert set(shown) == {"Is chain \\boxed{4} right?"}


@pytest.mark.parametrize(
    "of",
    [["agreement", "length"], ["checker", {"operator": "self_verify", "votes": 2}, "confidence"]],
    ids=str,
)
def test_objectives_store_the_same_bytes_at_any_concurrency(of: list[Any]) -> None:
    found = set()
    for concurrency in (1, 64):
        with run_directory() as out:
            tried = preset({"operator": "objectives", "of": of}, select="nsga2", replace="plus")
            run = evolve(PROBLEMS, tried, Scripted(Behaviour(fail=0.1)), out=out, concurrency=concurrency)
            assert run.config["oracle"] == ("checker" in of)
            found.add(database(out))
    assert len(found) == 1
