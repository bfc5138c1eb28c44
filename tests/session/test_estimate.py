"""What a run would cost is known, and what cannot fit is refused, before a token is spent."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import (
    Candidate,
    Completion,
    OperatorError,
    Preset,
    Problem,
    Prompt,
    Request,
    RequestError,
    UserError,
    evolve,
    variation,
)
from evolve_llm.backends.scripted import Scripted, prompt_tokens
from evolve_llm.session.session import Session
from evolve_llm.testing import Behaviour, Ledger, run_directory

PROBLEMS = [Problem(f"p{i}", "What is 2 + 2? " * (i + 1), "boxed") for i in range(3)]


def estimate(window: int | None = None, **changes: Any) -> Any:
    session = Session(PROBLEMS, "smoke", Scripted(Behaviour(), context_length=window), overrides=changes)
    return asyncio.run(session.estimate())


def test_the_estimate_bounds_what_a_run_really_takes() -> None:
    found = estimate()
    model = Scripted(lambda request: "x" * 10_000, record=True)
    with run_directory() as out:
        tokens = evolve(PROBLEMS, "smoke", model, out=out).plain()["tokens"]
    assert found.requests == len(model.calls) == 3 * 4 * 3
    assert tokens["completion"] == found.completion_tokens
    assert 0.8 * found.prompt_tokens < tokens["prompt"] <= found.prompt_tokens
    assert found.fits


def test_the_widest_request_is_the_one_with_all_parents() -> None:
    assert estimate(parents=3).widest - estimate(parents=2).widest >= 96
    assert estimate(generations=1).widest < estimate().widest


def test_what_cannot_fit_is_refused_with_what_would() -> None:
    books = Ledger(Scripted(Behaviour(), context_length=300))
    with run_directory() as out:
        with pytest.raises(
            UserError, match=r"cannot fit the model's window: 2 parent\(s\) of up to 96 .*--max-tokens (\d+)"
        ) as no:
            evolve(PROBLEMS, "smoke", books, out=out)
        advice = int(str(no.value).split("--max-tokens ")[1].split(" ")[0])
        assert not out.exists()
        assert books.calls == 0
        assert evolve(PROBLEMS, "smoke", books, out=out, sampling={"max_tokens": advice}).complete
    assert not estimate(300, **{"sampling.max_tokens": advice + 1}).fits


def test_a_question_that_is_too_long_by_itself() -> None:
    with run_directory() as out, pytest.raises(UserError, match="the question alone does not fit"):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour(), context_length=10), out=out)


def test_operators_are_tried_on_stand_ins_that_have_all_that_real_parents_have() -> None:
    @variation(arity=2)
    def by_fitness(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
        assert all(one.fitness.valid and one.answer_class is not None for one in parents)
        best = max(parents, key=lambda one: one.fitness.values[0])
        return Prompt.user(f"{best.text.strip()} {(best.answer or '').upper()}")

    with run_directory() as out:
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, vary=by_fitness, evaluate="agreement",
                      select="best").complete  # fmt: skip


def test_an_operator_that_raises_is_found_before_the_run() -> None:
    @variation(arity=1)
    def hasty(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
        return Prompt.user(parents[7].text)

    books = Ledger(Scripted(Behaviour()))
    with (
        run_directory() as out,
        pytest.raises(OperatorError, match=r"'hasty'.* before the run, raised IndexError"),
    ):
        evolve(PROBLEMS, "smoke", books, out=out, vary=hasty)
    assert books.calls == 0


# ---------------------------------------------------------------- what is carried, and what is not


class Tokenized(Scripted):
    """A scripted model that tells where its tokens start."""

    async def token_starts(self, text: str) -> Sequence[int]:
        return range(0, len(text), 4)


class Strict(Scripted):
    """A scripted model whose engine takes no request whose longest reply would not fit, as vLLM's server does."""

    def __init__(self, respond: Any, window: int) -> None:
        super().__init__(respond, context_length=window)
        self.window = window

    async def generate(self, request: Request) -> Completion:
        if prompt_tokens(request.prompt) + request.sampling.max_tokens > self.window:
            raise RequestError("context_overflow", request.id)
        return await super().generate(request)


class StrictTokenized(Strict, Tokenized):
    pass


POLICIES = st.one_of(
    st.sampled_from(("full", "answer", "drop")).map(lambda policy: {"policy": policy}),
    st.integers(1, 60).map(lambda tokens: {"policy": "tail", "tokens": tokens}),
)
VARIATIONS: list[Any] = [
    "aggregate", "refine", "debate", "summarize_aggregate", "consensus", "critique_refine",
    "aggregate_adaptive", "distill",
    [{"operator": "aggregate", "probability": 0.4}, {"operator": "debate", "probability": 0.4}],
]  # fmt: skip
PIECES = ("<think>", "</think>", "so\n", "x" * 40, "\\boxed{4}", "thus ", "\n\n")


@settings(max_examples=60)
@given(
    carry=POLICIES,
    vary=st.sampled_from(VARIATIONS),
    window=st.integers(150, 700),
    reply=st.integers(1, 90),
    parents=st.integers(1, 4),
    kind=st.sampled_from((Strict, StrictTokenized)),
    salt=st.integers(0, 2**16),
    order=st.sampled_from(("random", "trie")),
    finish=st.sampled_from(("majority", "final_aggregate")),
)
def test_what_is_accepted_never_outgrows_the_window(
    carry: Any,
    vary: Any,
    window: int,
    reply: int,
    parents: int,
    kind: Any,
    salt: int,
    order: str,
    finish: str,
) -> None:
    def respond(request: Request) -> str:
        rng = random.Random(f"{salt}{request.id}")
        return "".join(rng.choices(PIECES, k=rng.randrange(1, 12))) + "x" * rng.choice((0, 400))

    model = kind(respond, window)
    if finish == "final_aggregate":
        settle: Any = {"operator": finish, "parents": min(2, parents)}
    else:
        settle = finish
    shape = {"population": 4, "parents": parents, "generations": 3, "order": order, "finish": settle}
    with run_directory() as out:
        try:
            run = evolve(PROBLEMS[:1], "rsa", model, out=out, seed=salt, vary=vary, carry=carry,
                         sampling={"max_tokens": reply}, **shape)  # fmt: skip
        except UserError:
            assert model.call_count == 0
            return
        everyone = [one for _, found in run.populations() for index in found for one in index.members]
        preset = Preset.from_plain(run.config["preset"])
        spent = run.plain()["tokens"]
    assert not [one.uid for one in everyone if one.reason == "context_overflow"]
    for one in everyone:
        assert len(one.cut) == len(one.parents)
        assert one.generation == 0 or len({*one.parents, *one.dropped, *one.left_out}) <= max(parents, 2)
    found = asyncio.run(Session(PROBLEMS[:1], preset, kind(respond, window)).estimate())
    assert model.call_count <= found.requests
    assert spent["prompt"] <= found.prompt_tokens
    assert spent["completion"] <= found.completion_tokens


def test_dropping_parents_asks_for_room_for_one_of_them_and_says_how_many_always_fit() -> None:
    whole = estimate(400, parents=4)
    some = estimate(400, parents=4, **{"carry.policy": "drop"})
    assert (whole.fits, some.fits) == (False, True)
    assert some.widest <= 400 < whole.widest
    fixed = whole.widest - 5 * 96
    assert some.fitting == (400 - fixed - 96) // 96
    assert estimate(10_000, parents=4, **{"carry.policy": "drop"}).fitting is None
    with (
        run_directory() as out,
        pytest.raises(UserError, match=r"1 parent\(s\) of up to 96 tokens.*--max-tokens"),
    ):
        evolve(
            PROBLEMS, "smoke", Scripted(Behaviour(), context_length=260), out=out, carry={"policy": "drop"}
        )


def test_dropping_parents_needs_a_window_that_is_known() -> None:
    books = Ledger(Scripted(Behaviour()))
    with (
        run_directory() as out,
        pytest.raises(UserError, match=r"window is unknown; .*engine.context_length"),
    ):
        evolve(PROBLEMS, "smoke", books, out=out, carry={"policy": "drop"})
    assert books.calls == 0


@pytest.mark.parametrize("carry", [{}, {"policy": "tail", "tokens": 90}])
def test_every_advice_is_good(carry: dict[str, Any]) -> None:
    before = {f"carry.{key}": value for key, value in carry.items()}
    with run_directory() as out, pytest.raises(UserError, match="cannot fit") as no:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour(), context_length=430), out=out, parents=3, carry=carry)
    said = str(no.value)
    assert estimate(
        430, parents=3, **before, **{"sampling.max_tokens": int(said.split("--max-tokens ")[1].split()[0])}
    ).fits
    each = int(said.split("--set carry.tokens=")[1].split(",")[0])
    assert estimate(430, parents=3, **{"carry.policy": "tail", "carry.tokens": each}).fits
    assert not estimate(430, parents=3, **{"carry.policy": "tail", "carry.tokens": each + 1}).fits
    assert ("carry.policy=drop" in said) == (not carry)
    assert estimate(430, parents=3, **{"carry.policy": "drop"}).fits


def test_questions_are_ranked_by_the_tokens_the_engine_counts() -> None:
    class Dense(Scripted):
        """Counts a token for each non-ASCII character."""

        async def count_tokens(self, prompt: Prompt) -> int:
            text = "".join(message.content for message in prompt.messages)
            return sum(4 if ord(character) > 127 else 1 for character in text)

    problems = [Problem(f"p{i}", "a" * (100 + i), "boxed") for i in range(20)]
    dense = Problem("dense", "é" * 60, "boxed")

    def widest(items: list[Problem]) -> int:
        return asyncio.run(Session(items, "smoke", Dense(Behaviour())).estimate()).widest

    assert widest([*problems, dense]) == widest([dense]) > widest(problems)
