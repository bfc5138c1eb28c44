"""Stopping rules end one problem, when they say and not before."""

from __future__ import annotations

import math

import pytest
from evolve_llm_operators.stopping import (
    chance_of_change,
    class_entropy,
    consensus,
    settled,
    stagnation,
    token_budget,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from evolve_llm import Candidate, Completion, Problem, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.candidate import Status
from evolve_llm.nouns.request import Request
from evolve_llm.testing import Behaviour, Ledger, contents, database, populations, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]


def members(*answers: str | None, generation: int = 0) -> list[Candidate]:
    return [
        Candidate("p", generation, slot, "sample", answer=answer, answer_class=answer)
        for slot, answer in enumerate(answers)
    ]


@given(population=populations(failed=True, evaluated=False), share=st.sampled_from((0.25, 0.5, 0.75, 1.0)))
def test_consensus_is_a_share_of_the_living(population: list[Candidate], share: float) -> None:
    live = [one.answer_class for one in population if not one.failed]
    top = max((live.count(answer) for answer in live if answer is not None), default=0)
    assert consensus(PROBLEMS[0], [population], share=share) == (top > 0 and top / len(live) >= share)


def test_consensus_looks_at_the_last_population_and_needs_answers() -> None:
    agreed, split = members("4", "4"), members("4", "5")
    assert consensus(PROBLEMS[0], [split, agreed])
    assert not consensus(PROBLEMS[0], [agreed, split])
    assert not consensus(PROBLEMS[0], [members(None, None)])
    failed = members("4", "5")
    failed[1].status = Status.FAILED
    assert consensus(PROBLEMS[0], [failed])


@given(st.lists(st.sampled_from(("4", "5", None)), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_entropy_is_of_the_classes_whatever_the_order(answers: list[str | None], order: object) -> None:
    entropy = class_entropy(members(*answers))
    order.shuffle(answers)  # type: ignore[attr-defined]
    assert entropy == class_entropy(members(*answers))
    assert -1e-12 <= entropy <= math.log2(3) + 1e-12
    assert class_entropy(members("4", "5", "6", "7")) == 2.0


def test_stagnation_counts_generations_without_change() -> None:
    split, agreed = members("4", "5"), members("4", "4")
    assert not stagnation(PROBLEMS[0], [split] * 3, generations=3)
    assert stagnation(PROBLEMS[0], [split] * 4, generations=3)
    assert stagnation(PROBLEMS[0], [agreed, *[split] * 4], generations=3)
    assert not stagnation(PROBLEMS[0], [split, split, split, agreed], generations=3)
    assert stagnation(PROBLEMS[0], [split, agreed], generations=1, tolerance=1.0)
    assert not stagnation(PROBLEMS[0], [split, agreed], generations=1, tolerance=0.9)


@given(first=st.integers(0, 60), second=st.integers(0, 60))
def test_the_chance_of_a_change_is_that_of_the_beta_distribution(first: int, second: int) -> None:
    assert chance_of_change(first, second) == pytest.approx(beta.cdf(0.5, first + 1, second + 1), abs=1e-12)
    assert chance_of_change(first + 1, second) <= chance_of_change(first, second) + 1e-12


def test_the_chance_of_a_change_in_a_population_too_large_for_floats() -> None:
    assert chance_of_change(3000, 1000) < 1e-100
    assert chance_of_change(4000, 4000) == 0.5


def test_a_population_is_settled_by_its_lead_and_not_by_its_share() -> None:
    wide = members(*["4"] * 8, "5", "6", "7", "8", "9", None)
    assert settled(PROBLEMS[0], [wide], risk=0.05)  # 8 to 1
    assert not settled(PROBLEMS[0], [wide], risk=0.01)
    assert not settled(PROBLEMS[0], [members(*["4"] * 8, *["5"] * 6)])
    assert not settled(PROBLEMS[0], [members("4", "4")], risk=0.05)  # 2 to 0: 1/8
    assert settled(PROBLEMS[0], [members("4", "4")], risk=0.125)
    assert not settled(PROBLEMS[0], [members(None, None)], risk=1)
    assert not settled(PROBLEMS[0], [members("4", "4", "5", "5")], risk=1)  # nobody leads


def test_the_leader_must_have_led_for_as_long_as_is_asked() -> None:
    fours, fives, tie = members("4", "4", "5"), members("5", "5", "4"), members("4", "5")
    assert not settled(PROBLEMS[0], [fours] * 2, risk=1, generations=3)
    assert settled(PROBLEMS[0], [fives, *[fours] * 3], risk=1, generations=3)
    assert not settled(PROBLEMS[0], [fours, fives, fours], risk=1, generations=3)
    assert not settled(PROBLEMS[0], [fours, tie, fours], risk=1, generations=3)
    failed = members("4", "5", "5")
    failed[1].status = failed[2].status = Status.FAILED
    assert settled(PROBLEMS[0], [failed], risk=1)


@given(population=populations(failed=True, evaluated=False), risk=st.sampled_from((0.01, 0.1, 0.3, 0.6)))
def test_a_larger_risk_stops_no_later(population: list[Candidate], risk: float) -> None:
    assert settled(PROBLEMS[0], [population], risk=risk) <= settled(
        PROBLEMS[0], [population], risk=2 * risk if risk <= 0.5 else 1.0
    )


def test_a_budget_counts_every_candidate_of_the_history_once() -> None:
    one, other = members("4", "5")
    one.prompt_tokens, one.completion_tokens, one.evaluation_tokens = 10, 20, 30
    other.completion_tokens = 5
    history = [[one], [one, other]]
    assert token_budget(PROBLEMS[0], history, tokens=65)
    assert not token_budget(PROBLEMS[0], history, tokens=66)
    assert token_budget(PROBLEMS[0], history, tokens=66, spent=66)


def priced(request: Request) -> Completion:
    """Ten tokens a call, and an answer that says which problem it is."""
    text = (
        "Verdict: CORRECT" if "/evaluate/" in request.id else f"{request.seed} \\boxed{{{request.seed % 3}}}"
    )
    return Completion(text, prompt_tokens=4, completion_tokens=6)


def test_the_budget_of_a_problem_counts_votes_and_those_who_died() -> None:
    shape = {"evaluate": {"operator": "self_verify", "votes": 1}, "replace": "plus", "generations": 9}
    with run_directory() as out:
        evolve(
            PROBLEMS,
            "smoke",
            Scripted(priced),
            out=out,
            stop=[{"operator": "token_budget", "tokens": 200}],
            **shape,
        )  # type: ignore[arg-type]
        rows = contents(out)
        # 4 chains and 4 votes, then 4 chains, 4 votes and 4 more about the parents: 80 and 120 tokens
        assert {row[1] for row in rows["populations"]} == {0, 1}
        assert len(rows["completions"]) * 10 == 2 * 200
    with run_directory() as out:
        evolve(
            PROBLEMS,
            "smoke",
            Scripted(priced),
            out=out,
            stop=[{"operator": "token_budget", "tokens": 201}],
            **shape,
        )  # type: ignore[arg-type]
        assert {row[1] for row in contents(out)["populations"]} == {0, 1, 2}


def test_one_problem_stops_and_the_other_goes_on() -> None:
    def respond(request: Request) -> str:
        return "\\boxed{4}" if request.id.startswith("p0/") else f"\\boxed{{{request.id.split('/')[2]}}}"

    with run_directory() as out:
        run = evolve(PROBLEMS, "smoke", Scripted(respond), out=out, stop="consensus")
        assert run.complete
        assert {row[:2] for row in contents(out)["populations"]} == {(0, 0), (1, 0), (1, 1), (1, 2)}


RULES = [
    {"operator": "consensus", "share": 0.5},
    {"operator": "stagnation", "generations": 1},
    {"operator": "settled", "risk": 0.3},
    {"operator": "token_budget", "tokens": 900},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["operator"])
def test_stopped_runs_are_the_same_bytes_at_any_concurrency(rule: dict[str, object]) -> None:
    found = []
    for concurrency in (1, 64):
        with run_directory() as out:
            evolve(
                PROBLEMS,
                "smoke",
                Scripted(Behaviour(fail=0.1)),
                out=out,
                concurrency=concurrency,
                stop=[rule],
                generations=6,
            )
            found.append(database(out))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"operator": "consensus", "share": 0},
            "share must be a finite number greater than 0 and at most 1, got 0",
        ),
        (
            {"operator": "stagnation", "generations": 0},
            "generations must be a whole number of at least 1, got 0",
        ),
        (
            {"operator": "settled", "risk": 0},
            "risk must be a finite number greater than 0 and at most 1, got 0",
        ),
        ({"operator": "token_budget", "tokens": 0}, "tokens must be a whole number of at least 1, got 0"),
        ({"operator": "token_budget"}, "needs the parameter"),
    ],
)
def test_rules_that_cannot_work_cost_no_token(rule: dict[str, object], message: str) -> None:
    model = Ledger(Scripted(Behaviour()))
    with run_directory() as out, pytest.raises(UserError, match=message):
        evolve(PROBLEMS, "smoke", model, out=out, stop=[rule])
    assert model.calls == 0
