"""What of a parent its children read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import (
    BackendError,
    Candidate,
    Completion,
    Preset,
    Problem,
    Request,
    RequestError,
    Run,
    Session,
    UserError,
    evolve,
    load_preset,
)
from evolve_llm.backends.scripted import Scripted, count, prompt_tokens
from evolve_llm.scheme.carry import Carry, Read, Starts, last_tokens, tail
from evolve_llm.testing import Behaviour, contents, database

PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]
LINES = "\n".join(f"line {number}" for number in range(10))


class Tokenized(Scripted):
    """A scripted model that tells where its tokens start: every four characters, as it counts them."""

    told = 0

    async def token_starts(self, text: str) -> Sequence[int]:
        self.told += 1
        return range(0, len(text), 4)


Tokenizer = Callable[[str], list[int]]


def _longest(words: Sequence[str], prefix: bool) -> Tokenizer:
    """Tokens are the longest words from the left, any other character is two; ``prefix``: and one at the start."""

    def starts(text: str) -> list[int]:
        found, place = [0] * prefix, 0
        while place < len(text):
            word = max((word for word in words if text.startswith(word, place)), key=len, default="")
            found += [place] if word else [place, place]
            place += len(word) or 1
        return found if text else []

    return starts


def _chaotic(salt: int, rate: int) -> Tokenizer:
    """Tokens that start elsewhere whenever the text has another length."""
    return lambda text: [i for i in range(len(text)) if (i * salt + len(text) * 7) % rate]


tokenizers = st.one_of(
    st.builds(_longest, st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=6), st.booleans()),
    st.builds(_chaotic, st.integers(1, 9), st.integers(1, 5)),
)


def _told(tokenizer: Tokenizer | None) -> Starts:
    async def starts(text: str) -> Sequence[int] | None:
        return None if tokenizer is None else tokenizer(text)

    return starts


def _read(carry: Carry, parent: Candidate, most: int, tokenizer: Tokenizer | None = None) -> Read:
    return asyncio.run(carry.read(parent, most, _told(tokenizer)))


def _chain(request: Request) -> Completion:
    text = f"{LINES} of {request.id}\n\\boxed{{{request.seed % 3}}}"
    return Completion(text, "stop", 10, len(text) // 4)


# ---------------------------------------------------------------- cutting a text


@given(st.text(max_size=200), st.floats(0, 1))
def test_a_tail_is_the_end_of_the_text_and_no_longer_than_its_share(text: str, share: float) -> None:
    kept = tail(text, share)
    assert text.endswith(kept)
    assert len(kept) <= len(text) * share


def test_a_tail_begins_at_a_line() -> None:
    assert tail("first line\nsecond line\nthird line", 0.6) == "third line"
    assert tail("one long line without an end", 0.5) == "without an end"[-14:]
    assert tail("short\n", 0.5) == "rt\n"  # nothing is left after the newline: better half a line than none
    assert (
        tail("a long line that says it all\n4", 0.5) == "t says it all\n4"
    )  # nor a tenth of what it may have


@given(st.text("ab\n", max_size=40), tokenizers, st.integers(1, 12))
def test_a_tail_by_tokens_never_has_more_of_them_when_they_are_counted_again(
    text: str, tokenizer: Tokenizer, limit: int
) -> None:
    kept, tokens = asyncio.run(last_tokens(text, limit, _told(tokenizer), tokenizer(text)))
    assert text.endswith(kept)
    assert tokens == len(tokenizer(kept)) <= limit
    if len(tokenizer(text)) <= limit:
        assert kept == text


@given(
    st.text("ab", max_size=40),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=6),
    st.integers(1, 12),
)
def test_a_tail_by_tokens_has_all_it_may_where_there_are_no_lines(
    text: str, words: list[str], limit: int
) -> None:
    tokenizer = _longest([*words, "a", "b"], prefix=False)
    _, tokens = asyncio.run(last_tokens(text, limit, _told(tokenizer), tokenizer(text)))
    assert tokens == min(limit, len(tokenizer(text)))


# ---------------------------------------------------------------- what of a parent is read

FOURS: Tokenizer = lambda text: list(range(0, len(text), 4))  # noqa: E731


def test_a_chain_without_thinking_is_read_as_it_is() -> None:
    parent = Candidate("p", 0, 0, "sample", LINES, text_tokens=20)
    for policy in ("full", "answer", "drop"):
        assert _read(Carry(policy), parent, 5, FOURS) == Read(parent)  # type: ignore[arg-type]
    for tokenizer in (None, FOURS):
        assert _read(Carry("tail", 20), parent, 20, tokenizer).parent is parent
        assert _read(Carry("tail", 10), parent, 20, tokenizer).parent.text == "\n".join(
            LINES.split("\n")[-5:]
        )
    assert _read(Carry("tail", 10), parent, 20, FOURS).cut == count(LINES) - count(LINES[-34:])
    assert _read(Carry("tail", 10), parent, 20).cut == 10
    assert parent.text == LINES


def test_what_children_read_of_a_chain_with_thinking() -> None:
    thought = "\n".join(f"thought {number}" for number in range(8))
    parent = Candidate("p", 0, 0, "sample", "So it is 4.", reasoning=thought, text_tokens=26)
    whole = f"<think>{thought}</think>So it is 4."
    for tokenizer in (None, FOURS):
        for policy in ("full", "drop"):
            read = _read(Carry(policy), parent, 100, tokenizer)  # type: ignore[arg-type]
            assert (read.parent.text, read.parent.reasoning, read.cut) == (whole, "", 0)
            assert read.parent.uid == parent.uid
        read = _read(Carry("answer"), parent, 100, tokenizer)
        assert (read.parent.text, read.parent.reasoning) == ("So it is 4.", "")
        assert read.cut == pytest.approx(count(whole) - 3, abs=4)
        read = _read(Carry("tail", 10), parent, 100, tokenizer)
        assert whole.endswith(read.parent.text)
        assert read.parent.text == "thought 7</think>So it is 4."
        assert read.cut == pytest.approx(count(whole) - 7, abs=4)
        # with its tags put back it may be longer than the model may write, and no prompt has counted on that
        assert count(_read(Carry(), parent, 25, tokenizer).parent.text) <= 25
    assert parent.reasoning == thought


def test_a_tokenizer_that_tells_of_some_texts_only() -> None:
    parent = Candidate("p", 0, 0, "sample", LINES, text_tokens=20)

    async def starts(text: str) -> Sequence[int] | None:
        return FOURS(text) if text == LINES else None

    read = asyncio.run(Carry("tail", 10).read(parent, 20, starts))
    assert count(read.parent.text) <= 10
    assert read.cut == pytest.approx(10, abs=2)


def test_an_answer_that_was_never_given_is_nothing_to_read() -> None:
    parent = Candidate("p", 0, 0, "sample", "\n", reasoning="and so on", text_tokens=3)
    assert _read(Carry("answer"), parent, 100, FOURS).nothing
    assert not _read(Carry("full"), parent, 100, FOURS).nothing
    assert _read(Carry("full"), replace(parent, text=""), 100).parent.text == "<think>and so on"


# ---------------------------------------------------------------- in a run


def _evolve(path: Path, model: Scripted, policy: str, tokens: int | None = None, **settings: object) -> Run:
    carry = {"policy": policy} | ({"tokens": tokens} if tokens else {})
    shape = {"population": 4, "parents": 3, "generations": 3, "carry": carry, **settings}
    return evolve(PROBLEMS, "rsa", model, out=path, **shape)  # type: ignore[arg-type]


def _thinks(request: Request) -> str:
    lines = "\n".join(f"thought {number} of {request.id}" for number in range(request.seed % 5 + 3))
    return f"{lines}</think>\nSo it is \\boxed{{{request.seed % 3}}} ({request.id})."


def test_tails_are_cut_once_a_parent_and_noted_on_the_child(tmp_path: Path) -> None:
    model = Tokenized(_thinks, record=True)
    run = _evolve(tmp_path / "run", model, "tail", 12)
    assert model.told <= 8 * 4  # for 8 parents of 24 reads
    prompts = {request.id: request.prompt.messages[-1].content for request in model.calls}
    everyone = [one for _, found in run.populations() for index in found for one in index.members]
    born = {one.uid: one for one in everyone}
    for child in everyone:
        assert len(child.cut) == len(child.parents)
        for uid, cut in zip(child.parents, child.cut, strict=True):
            chain = f"<think>{born[uid].reasoning}</think>{born[uid].text}"
            prompt = prompts[f"p/{child.generation}/{child.slot}/vary/0"]
            kept = next(chain[at:] for at in range(len(chain)) if f"\n{chain[at:]}\n" in prompt)
            assert count(kept) <= 12
            assert cut == count(chain) - count(kept) > 0
    assert [one.cut for one in Run(tmp_path / "run").population("p")] == [
        one.cut for one in run.population("p")
    ]


def test_answers_alone_are_read_and_who_gave_none_is_left_out(tmp_path: Path) -> None:
    def respond(request: Request) -> str:
        return _thinks(request) if "/0/1/" not in request.id else "<think>hm"

    model = Tokenized(respond, record=True)
    run = _evolve(tmp_path / "run", model, "answer", parents=4, generations=2)
    for child in run.population("p"):
        assert sorted(child.parents) == ["0.0", "0.2", "0.3"]
        assert child.left_out == ("0.1",)
        assert all(child.cut)
    for request in model.calls[4:]:
        assert "thought" not in request.prompt.messages[-1].content
    alone = _evolve(tmp_path / "none", Tokenized(lambda _: "<think>hm"), "answer", parents=2, generations=2)
    assert {(one.operator, one.parents, len(one.left_out)) for one in alone.population("p")} == {
        ("sample", (), 2)
    }


def test_as_many_whole_parents_as_there_is_room_for(tmp_path: Path) -> None:
    def respond(request: Request) -> str:
        return "x" * 4 * (20 + request.seed % 60) + "\\boxed{4}"

    question = 160  # tokens of the prompt without its parents, and a little
    model = Scripted(respond, context_length=question + 100 + 160, record=True)
    run = _evolve(tmp_path / "run", model, "drop", sampling={"max_tokens": 100})
    children = [*run.population("p", generation=1), *run.population("p")]
    assert len({len(one.parents) for one in children}) > 1
    texts = {one.uid: one.text for _, found in run.populations() for index in found for one in index.members}
    for one in children:
        assert not one.failed
        assert len(one.parents) + len(one.left_out) == 3
        assert one.cut == (0,) * len(one.parents)
        if one.left_out:  # one more would not have fitted
            asked = next(r for r in model.calls if r.id == f"p/{one.generation}/{one.slot}/vary/0")
            more = texts[one.left_out[0]]
            assert prompt_tokens(asked.prompt) + count(more) + 10 + 100 > question + 260
    for request in model.calls:
        assert prompt_tokens(request.prompt) + 100 <= question + 260


def test_planned_parents_are_those_shown_those_dropped_and_those_left_out_in_order(tmp_path: Path) -> None:
    respond = Behaviour(fail=0.3)
    model = Scripted(
        lambda request: respond(request) if request.id.startswith("p/0/") else "y" * 200, context_length=180
    )
    run = _evolve(tmp_path / "drop", model, "drop", sampling={"max_tokens": 20}, population=6, parents=5)
    plan = _evolve(
        tmp_path / "full", Scripted(respond), "full", sampling={"max_tokens": 20}, population=6, parents=5
    )
    some = 0
    for one, other in zip(run.population("p", generation=1), plan.population("p", generation=1), strict=True):
        assert one.dropped == other.dropped
        assert (*one.parents, *one.left_out) == other.parents
        some += len(one.left_out)
    assert some


def test_an_operator_of_several_calls_is_tried_again_with_fewer_parents(tmp_path: Path) -> None:
    def respond(request: Request) -> str:
        return ("z" * 4 * 60) if request.id.startswith("p/0/") else ("w" * 4 * 10)

    for window, parents in ((600, 2), (300, 1)):
        model = Scripted(respond, context_length=window, record=True)
        run = _evolve(tmp_path / str(window), model, "drop", vary="debate", parents=2, generations=2,
                      sampling={"max_tokens": 60})  # fmt: skip
        assert {len(one.parents) for one in run.population("p")} == {parents}
        assert not any(one.failed for one in run.population("p"))
        found = asyncio.run(run_estimate(run, model))
        assert len(model.calls) <= found


async def run_estimate(run: Run, model: Scripted) -> int:
    preset = Preset.from_plain(run.config["preset"])
    return (await Session(PROBLEMS, preset, model).estimate()).requests


@pytest.mark.parametrize(
    ("policy", "tokens"), [("full", None), ("tail", 9), ("answer", None), ("drop", None)]
)
def test_every_policy_stores_the_same_bytes_cut_off_and_resumed(
    tmp_path: Path, policy: str, tokens: int | None
) -> None:
    def model(delay: float = 0.0) -> Tokenized:
        return Tokenized(_thinks, context_length=700, delay=lambda request: delay * (request.seed % 3))

    settings = {"sampling": {"max_tokens": 90}, "vary": [{"operator": "aggregate", "probability": 0.6},
                {"operator": "summarize_aggregate", "probability": 0.3}]}  # fmt: skip
    for name, concurrency in (("a", 1), ("b", 64)):
        _evolve(tmp_path / name, model(0.001), policy, tokens, concurrency=concurrency, **settings)
    for budget in (900, 2000, None):
        _evolve(tmp_path / "cut", model(), policy, tokens, budget_tokens=budget, **settings)
    assert database(tmp_path / "a") == database(tmp_path / "b") == database(tmp_path / "cut")


@pytest.mark.parametrize("error", [RequestError("timeout", "no tokens"), ValueError("a broken tokenizer")])
def test_a_tokenizer_that_fails_ends_the_run_which_resumes(tmp_path: Path, error: Exception) -> None:
    class Broken(Tokenized):
        async def token_starts(self, text: str) -> Sequence[int]:
            if self.told > 3:
                raise error
            return await super().token_starts(text)

    with pytest.raises(BackendError, match=r"'scripted' .*count tokens"):
        _evolve(tmp_path / "run", Broken(_thinks), "tail", 9)
    assert _evolve(tmp_path / "run", Tokenized(_thinks), "tail", 9).complete
    _evolve(tmp_path / "whole", Tokenized(_thinks), "tail", 9)
    assert database(tmp_path / "run") == database(tmp_path / "whole")


def test_children_read_tails_and_the_run_stays_reproducible(tmp_path: Path) -> None:
    asked: list[Request] = []

    def respond(request: Request) -> Completion:
        asked.append(request)
        return _chain(request)

    shape = {"population": 4, "parents": 2, "generations": 3, "sampling": {"max_tokens": 200}}
    carry = {"carry": {"policy": "tail", "tokens": 10}}
    for name, concurrency in (("a", 1), ("b", 64)):
        evolve(
            PROBLEMS, "rsa", Scripted(respond), out=tmp_path / name, concurrency=concurrency, **shape, **carry
        )
    evolve(PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "cut", budget_tokens=300, **shape, **carry)
    evolve(PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "cut", **shape, **carry)
    assert database(tmp_path / "a") == database(tmp_path / "b") == database(tmp_path / "cut")
    later = [request for request in asked if "/0/" not in request.id]
    assert later
    for request in later:
        prompt = request.prompt.messages[-1].content
        assert "line 1\n" not in prompt
        assert prompt.count("\\boxed{") >= 2  # both parents' answers, at the end of their chains
    evolve(PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "whole", **shape)
    assert contents(tmp_path / "whole") != contents(tmp_path / "a")


def test_a_copy_is_the_whole_parent(tmp_path: Path) -> None:
    run = evolve(
        PROBLEMS, "rsa", Scripted(_chain), out=tmp_path / "run", population=3, parents=2, generations=2,
        vary="reproduce", carry={"policy": "tail", "tokens": 5},
    )  # fmt: skip
    assert all(one.text.startswith("line 0") for one in run.population("p"))


def test_the_window_counts_tails_not_chains() -> None:
    async def widest(preset: Preset) -> tuple[int, int]:
        found = await Session(PROBLEMS, preset, Scripted(_chain)).estimate()
        return found.widest, found.tails

    whole, none = asyncio.run(widest(load_preset("self-aggregation")))
    short, tails = asyncio.run(widest(load_preset("markovian-rsa")))
    assert (none, tails) == (0, 4 * 4096)
    assert whole - short == 4 * 4096


def test_a_finish_that_writes_a_last_chain_reads_as_children_do(tmp_path: Path) -> None:
    model = Tokenized(_thinks, record=True)
    run = _evolve(tmp_path / "run", model, "tail", 12, finish={"operator": "final_aggregate", "parents": 2})
    last = model.calls[-1]
    assert "thought 0" not in last.prompt.messages[-1].content
    assert run.complete


@pytest.mark.parametrize("carry", [{"policy": "tail"}, {"policy": "full", "tokens": 5}, {"policy": "head"}])
def test_what_cannot_be_carried_is_said(carry: dict[str, object]) -> None:
    with pytest.raises(UserError, match="carry"):
        load_preset("rsa").override({f"carry.{key}": value for key, value in carry.items()})


def test_another_policy_forgets_the_tokens_of_the_tail() -> None:
    preset = load_preset("markovian-rsa")
    assert preset.override({"carry.policy": "drop"}).carry.carry() == Carry("drop")
    assert preset.override({"carry.tokens": 9, "carry.policy": "tail"}).carry.carry() == Carry("tail", 9)
    assert load_preset("rsa").override({"carry.tokens": 9, "carry.policy": "tail"}).carry.carry() == Carry(
        "tail", 9
    )
    with pytest.raises(UserError, match="no such key; keys are policy, tokens"):
        preset.override({"carry.token": 3})
