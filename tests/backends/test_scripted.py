"""The scripted backend: a function of the request, whatever the order, and a stand-in for any model."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from asking import ask, run, use
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends import stand_in
from evolve_llm.backends.scripted import Flaky, Scripted, count, prompt_tokens, scripted
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, Prompt, Request
from evolve_llm.scheme.formats import last_boxed, last_code_block, last_option, last_tagged

SPEC = "error=0.5,fail=0.2,flaky=0.3,truncate=0.2,seed=7"


def answers(backend: Scripted, requests: list[Request]) -> dict[str, str]:
    """Answers by request id, in a form that compares failures too."""
    return {one.id: repr(got) for one, got in zip(requests, run(use(backend, *requests)), strict=True)}


@given(st.permutations(range(12)), st.integers(0, 2**63 - 1))
def test_answers_do_not_depend_on_order_or_concurrency(order: list[int], seed: int) -> None:
    requests = [ask(f"What is {n} + {n + 1}?", seed=seed // (n + 1), problem=str(n)) for n in range(12)]
    together = answers(scripted(SPEC), requests)
    shuffled = answers(scripted(SPEC), [requests[n] for n in order])

    async def one_by_one() -> dict[str, str]:
        backend = scripted(SPEC)
        return {
            one.id: repr((await asyncio.gather(backend.generate(one), return_exceptions=True))[0])
            for one in requests
        }

    assert together == shuffled == run(one_by_one())


@given(st.text(max_size=300), st.integers(1, 40), st.integers(8, 120))
def test_lengths_are_kept_and_counted(text: str, max_tokens: int, window: int) -> None:
    request = ask("q" * 12, max_tokens=max_tokens)
    got = run(use(Scripted(lambda _: text, context_length=window), request))[0]
    used = prompt_tokens(request.prompt)
    if used >= window:
        assert isinstance(got, RequestError)
        assert got.reason == "context_overflow"
        return
    assert got.prompt_tokens == used == run(Scripted(str).count_tokens(request.prompt))
    assert got.completion_tokens == count(got.text) <= min(max_tokens, window - used)
    assert (got.finish_reason == "stop") == (got.text == text)


def test_every_kind_of_answer() -> None:
    given_back = Completion("as it is", "length", 1, 2, 3, "thought")

    async def later(request: Request) -> str:
        await asyncio.sleep(0)
        return f"late {request.seed}"

    def respond(request: Request) -> Any:
        match request.problem:
            case "completion":
                return given_back
            case "async":
                return later(request)
            case "returned":
                return RequestError("timeout")
            case "raised":
                raise RequestError("bad_request")
            case "flaky":
                return Flaky("in the end", failures=2)
            case "hopeless":
                return Flaky("never", failures=99, reason="malformed_response")
        return "text"

    backend = Scripted(respond)
    ids = ["text", "completion", "async", "returned", "raised", "flaky", "hopeless"]
    got = run(use(backend, *(ask(problem=name) for name in ids)))
    assert [got[0].text, got[1], got[2].text, got[5].text] == ["text", given_back, "late 1", "in the end"]
    assert [got[n].reason for n in (3, 4, 6)] == ["timeout", "bad_request", "malformed_response"]
    assert backend.retries == 2 + 4


def test_it_is_an_oracle() -> None:
    backend = Scripted(lambda _: "x", delay=lambda request: 0.01 * request.seed, record=True)
    requests = [ask(problem=str(n), seed=n) for n in range(5)]
    run(use(backend, *requests))
    assert backend.calls == requests
    assert (backend.call_count, backend.peak_in_flight, backend.in_flight) == (
        5,
        4,
        0,
    )  # seed 0 takes no time


def test_without_delay_nothing_is_awaited() -> None:
    coroutine = Scripted(lambda _: "x").generate(ask())
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert end.value.value.text == "x"


def test_it_dies_at_the_call_it_is_told() -> None:
    got = run(use(scripted("die_after=2"), *(ask(seed=n) for n in range(4))))
    assert [isinstance(one, BackendError) for one in got] == [False, False, True, True]


@pytest.mark.parametrize(
    ("wanted", "extract"),
    [
        ("Put your final answer in \\boxed{}.", last_boxed),
        ("Write <answer>your answer</answer> at the end.", last_tagged),
        ("Give a Python code block:\n```python\n...\n```", last_code_block),
        ("A) one\nB) two\nEnd with the letter of the right option.", last_option),
    ],
)
def test_the_stand_in_answers_in_the_format_asked_for(wanted: str, extract: Any) -> None:
    for seed in range(20):
        assert extract(
            run(use(scripted(), ask(f"What is 2 + 2?\n{wanted}", seed=seed, max_tokens=200)))[0].text
        )


def test_the_stand_in_sums_and_errs_as_often_as_told() -> None:
    prompts = [ask("What is 12 + 30 - 2? Use \\boxed{}.", seed=seed, max_tokens=200) for seed in range(400)]
    right = sum(last_boxed(got.text) == "40" for got in run(use(scripted("error=0.25"), *prompts)))
    assert 250 < right < 350
    assert all(last_boxed(got.text) == "40" for got in run(use(scripted("error=0"), *prompts)))


def test_the_stand_in_follows_candidates_that_agree() -> None:
    crowd = "Question: 1 + 1? Use \\boxed{}.\n" + "I say \\boxed{7}\n" * 4
    requests = [ask(crowd, seed=seed, max_tokens=200) for seed in range(50)]
    assert all(last_boxed(got.text) == "7" for got in run(use(scripted(), *requests)))


def test_the_stand_in_is_deterministic_at_temperature_zero() -> None:
    cold = [ask("Say \\boxed{}", seed=seed, temperature=0.0, max_tokens=200) for seed in range(8)]
    warm = [ask("Say \\boxed{}", seed=seed, max_tokens=200) for seed in range(8)]
    assert len({got.text for got in run(use(scripted(), *cold))}) == 1
    assert len({got.text for got in run(use(scripted(), *warm))}) > 1


def test_shares_of_failures_and_cuts() -> None:
    backend = scripted("answers=4|5|6,fail=0.25,truncate=0.25,flaky=0.25")
    got = run(use(backend, *(ask(seed=seed, max_tokens=200) for seed in range(400))))
    failed = [one for one in got if isinstance(one, RequestError)]
    cut = [one for one in got if isinstance(one, Completion) and one.finish_reason == "length"]
    assert 60 < len(failed) < 140
    assert 45 < len(cut) < 115
    assert 45 < backend.retries < 115
    assert {one.text[-1] for one in got if isinstance(one, Completion) and one not in cut} == {"4", "5", "6"}


@given(st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=8))
def test_sums_are_read_exactly(numbers: list[int]) -> None:
    text = str(numbers[0]) + "".join(f" {'-' if n < 0 else '+'} {abs(n)}" for n in numbers[1:])
    assert stand_in.exact_sum(f"State the result of: {text} = ?") == sum(numbers)


@given(st.text(max_size=500))
def test_the_stand_in_copes_with_any_prompt(text: str) -> None:
    request = ask(text)
    assert stand_in.chain(request, random.Random(1), 0.4)


def respond_for_test(request: Request) -> str:
    return f"from a function: {request.prompt.messages[0].content}"


def test_a_function_by_its_path() -> None:
    backend = scripted("test_scripted:respond_for_test", delay=0.001)
    assert run(use(backend, ask("hi")))[0].text == "from a function: hi"
    assert backend.identity == "scripted:test_scripted:respond_for_test"


def test_the_identity_names_what_changes_answers_and_nothing_else() -> None:
    assert scripted().identity == scripted("delay=3,capacity=2").identity == "scripted"
    assert scripted("fail=0.1,answers=1|2").identity == "scripted:answers=1|2,fail=0.1"
    assert scripted("answers=1|2", fail=0.1).identity == "scripted:answers=1|2,fail=0.1"


@pytest.mark.parametrize(
    ("argument", "options", "message"),
    [
        ("answer=4", {}, "Did you mean 'answers'.*Available: .*truncate"),
        ("", {"colour": "red"}, "Available: .*answers"),
        ("fail=2", {}, "less than or equal to 1"),
        ("delay=soon", {}, "delay.*'soon'"),
        ("delay=inf", {}, "delay"),
        ("4|5|6", {}, "KEY=VALUE"),
        ("fail=0.1,fail=0.2", {}, "twice"),
        ("no_such_module:f", {}, "cannot be imported: No module named 'no_such_module'"),
        ("test_scripted:nothing", {}, "cannot be imported: .*no attribute 'nothing'"),
        ("test_scripted:SPEC", {}, "not a function"),
        ("test_scripted:respond_for_test", {"fail": 0.1}, "would change nothing"),
    ],
)
def test_mistakes(argument: str, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scripted(argument, **options)


def test_the_window_counts_messages() -> None:
    assert prompt_tokens(Prompt.user("12345")) == 4 + 2
