"""The recorded backend: what was answered once is never asked again, by one process or by two."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import ask, run, use
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.recorded import Recorded, recorded
from evolve_llm.backends.response_file import ResponseFile, request_key
from evolve_llm.backends.scripted import Scripted, scripted
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BackendError, RequestError, StoreError, UserError
from evolve_llm.nouns.request import Completion, Message, ModelInfo, Prompt, Request, Sampling

texts = st.text(st.characters(), max_size=40)  # lone surrogates included
counts = st.integers(0, 10**9)
logprobs = st.floats(-50, 0)
completions = st.builds(
    Completion,
    texts,
    st.sampled_from(["stop", "length"]),
    counts,
    counts,
    counts,
    texts,
    st.lists(logprobs, max_size=3).map(tuple),
    st.lists(st.tuples(texts, logprobs), max_size=3).map(tuple),
)
samplings = st.builds(
    Sampling,
    st.floats(0, 2),
    st.floats(0.1, 1),
    st.none() | st.integers(1, 99),
    st.none() | st.floats(0, 1),
    st.integers(1, 99),
    st.tuples() | st.tuples(texts),
)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)
prompts = st.builds(Prompt, st.lists(messages, min_size=1, max_size=3).map(tuple))
addresses = st.builds(Address, st.integers(0, 9), st.integers(0, 9), texts, st.integers(0, 9))
requests = st.builds(Request, texts, addresses, prompts, samplings, st.integers(0, 2**63 - 1), st.booleans())


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "answers.sqlite"
    assert not list(tmp_path.glob("*-wal")), "a file was left open"


def test_what_is_answered_once_is_not_asked_again(path: Path) -> None:
    inner = Scripted(lambda request: f"answer to {request.seed}", record=True)
    first = Recorded(path, inner)
    got = run(use(first, ask(seed=1), ask(seed=2)))
    again = Recorded(path, inner)
    assert run(use(again, ask(seed=2, problem="elsewhere"), ask(seed=1), ask(seed=3)))[:2] == got[::-1]
    assert (first.hits, first.misses, again.hits, again.misses) == (0, 2, 2, 1)
    assert inner.call_count == 3
    assert again.identity == "scripted"


@given(requests, completions)
def test_a_hit_equals_the_miss(
    tmp_path_factory: pytest.TempPathFactory, request: Request, answer: Completion
) -> None:
    file = ResponseFile(tmp_path_factory.mktemp("recording") / "r.sqlite")
    key = request_key("m", request)
    assert file.get(key) is None
    assert file.put(key, answer) == answer
    assert file.get(key) == answer
    assert file.put(key, replace(answer, text="another")) == answer, "the first answer stays"
    file.close()


@given(requests, st.data())
def test_the_key_changes_with_anything_that_decides_the_answer(request: Request, data: st.DataObject) -> None:
    other = data.draw(requests)
    same = replace(request, problem=other.problem, address=other.address) == other
    assert (request_key("m", request) == request_key("m", other)) == same
    assert request_key("m", request) == request_key("m", replace(request, problem="another"))
    assert request_key("m", request) != request_key("n", request)
    assert request_key("m", request) != request_key("m", replace(request, seed=request.seed ^ 1))
    assert request_key("m", request) != request_key("m", replace(request, logprobs=not request.logprobs))
    hotter = replace(request.sampling, temperature=request.sampling.temperature + 1)
    assert request_key("m", request) != request_key("m", replace(request, sampling=hotter))
    longer = Prompt((*request.prompt.messages, Message("user", "")))
    assert request_key("m", request) != request_key("m", replace(request, prompt=longer))


def test_the_same_question_at_once_is_asked_once(path: Path) -> None:
    inner = Scripted(lambda _: "x", delay=0.05)
    cache = Recorded(path, inner)
    got = run(use(cache, *(ask() for _ in range(10)), ask(seed=2)))
    assert inner.call_count == 2
    assert (cache.misses, cache.shared) == (2, 9)
    assert len(set(got)) == 1


def test_one_who_leaves_does_not_take_the_answer_from_the_others(path: Path) -> None:
    async def story() -> None:
        inner = Scripted(lambda _: "x", delay=0.1)
        cache = Recorded(path, inner)
        await cache.start()
        first, second, alone = (asyncio.create_task(cache.generate(ask(seed=n))) for n in (1, 1, 2))
        await asyncio.sleep(0.05)
        assert inner.in_flight == 2
        first.cancel()
        alone.cancel()
        assert (await second).text == "x"
        assert inner.in_flight == 0
        assert (inner.call_count, first.cancelled(), alone.cancelled()) == (2, True, True)
        await cache.close()
        await cache.close()

    run(story())


def test_a_recording_replays_without_its_model(path: Path) -> None:
    def respond(request: Request) -> Any:
        return RequestError("context_overflow", "too long") if request.seed == 9 else f"say {request.seed}"

    inner = Scripted(respond, identity="scripted:special", capacity=7, context_length=99)
    live = Recorded(path, inner)
    asked = [ask(seed=1), ask(seed=9)]

    async def story() -> tuple[list[Any], int, ModelInfo]:
        info = await live.start()
        got = await asyncio.gather(*map(live.generate, asked), return_exceptions=True)
        length = await live.count_tokens(asked[0].prompt)
        await live.close()
        return got, length, info

    got, length, info = run(story())
    replay = recorded(str(path))
    assert (replay.identity, replay.capacity) == ("scripted:special", 7)

    async def again() -> None:
        assert await replay.start() == info
        repeated = await asyncio.gather(*map(replay.generate, asked), return_exceptions=True)
        assert repeated[0] == got[0]
        assert (repeated[1].reason, repeated[1].detail) == ("context_overflow", "too long")
        assert await replay.count_tokens(asked[0].prompt) == length
        with pytest.raises(BackendError, match="holds no answer to request p/0/0/init/0"):
            await replay.generate(ask(seed=2))
        await replay.close()

    run(again())


def test_a_failure_is_tried_anew_when_there_is_a_model(path: Path) -> None:
    run(use(Recorded(path, Scripted(lambda _: RequestError("timeout"))), ask()))
    assert run(use(Recorded(path, Scripted(lambda _: "better")), ask()))[0].text == "better"
    assert run(use(Recorded(path), ask()))[0].text == "better"


def test_several_models_in_one_file(path: Path) -> None:
    for name in ("a", "b"):
        run(use(Recorded(path, Scripted(lambda _, name=name: name, identity=name)), ask()))
    with pytest.raises(UserError, match=r"several models.*a, b"):
        _ = Recorded(path).identity
    with pytest.raises(UserError, match="has no model 'c'; it has: a, b"):
        run(use(recorded(str(path), model="c"), ask()))
    assert run(use(recorded(str(path), model="b"), ask()))[0].text == "b"


class Renamed(Scripted):
    """A model whose file was replaced by another of the same name."""

    fingerprint = "1" * 64

    async def start(self) -> ModelInfo:
        return ModelInfo("m", None, {"fingerprint": self.fingerprint})


def test_answers_of_another_file_of_the_same_name_are_not_taken(path: Path) -> None:
    run(use(Recorded(path, Renamed(lambda _: "old")), ask()))
    new = Renamed(lambda _: "new")
    new.fingerprint = "2" * 64
    with pytest.raises(UserError, match="another model called scripted"):
        run(use(Recorded(path, new), ask()))


def _fill(path: str, offset: int, start: Any) -> None:
    inner = scripted(f"delay=0.001,seed={offset}")
    inner.identity = "same"
    start.wait(20)
    got = run(use(Recorded(path, inner), *(ask("What is 1 + 1? \\boxed{}", seed=n) for n in range(120))))
    os._exit(0 if all(isinstance(one, Completion) for one in got) else 1)


def test_two_processes_share_one_file(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    both = [context.Process(target=_fill, args=(str(path), n, start)) for n in (1, 2)]
    for process in both:
        process.start()
    start.set()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM responses").fetchone() == (120,)
    db.close()
    # whichever process was first, both now read the same
    asked = [ask("What is 1 + 1? \\boxed{}", seed=n) for n in range(120)]
    assert run(use(Recorded(path), *asked)) == run(use(Recorded(path), *asked))


def _open(path: str) -> str:
    try:
        ResponseFile(Path(path)).close()
    except Exception as error:  # told to the test
        return repr(error)
    return ""


def test_a_file_may_be_made_by_several_processes_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for number in range(60):
            assert pool.map(_open, [str(tmp_path / f"{number}.sqlite")] * 4, chunksize=1) == [""] * 4


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough", b"\x00" * 4096, b'{"a": 1}'])
def test_files_that_are_no_recordings_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match="recording"):
        run(use(Recorded(path), ask()))
    if content:
        with pytest.raises(UserError, match="name another file"):
            run(use(Recorded(path, scripted()), ask()))
        assert path.read_bytes() == content


def test_other_sqlite_files_are_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE candidates (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="not a recording"):
        run(use(Recorded(path, scripted()), ask()))
    assert path.read_bytes() == before


def test_a_half_written_recording_is_a_store_error(path: Path) -> None:
    run(use(Recorded(path, scripted()), *(ask("x" * 9000, seed=n) for n in range(30))))
    path.write_bytes(path.read_bytes()[:6000])
    try:
        (error,) = run(use(Recorded(path, scripted()), ask()))
    except (StoreError, UserError) as at_the_start:
        error = at_the_start
    assert isinstance(error, StoreError | UserError)
    assert str(path) in str(error)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no recording"):
        run(use(recorded(str(tmp_path / "none")), ask()))
    with pytest.raises(UserError, match="folder of the recording"):
        run(use(Recorded(tmp_path / "no" / "such" / "folder", scripted()), ask()))
    with pytest.raises(UserError, match="cannot be opened"):
        run(use(recorded(str(tmp_path)), ask()))
    with pytest.raises(UserError, match="--model recorded:FILE"):
        recorded("")
    with pytest.raises(UserError, match="Available: model"):
        recorded("x", modle="y")


class Spelling(Scripted):
    """A backend whose tokens are three characters long."""

    asked = 0

    async def token_starts(self, text: str) -> list[int]:
        """Every third character."""
        self.asked += 1
        return list(range(0, len(text), 3))


def test_where_tokens_start_is_recorded_too(path: Path) -> None:
    inner = Spelling(lambda _: "x")

    async def starts(backend: Recorded) -> list[Sequence[int] | None]:
        await backend.start()
        try:
            return [await backend.token_starts("abcdefgh"), await backend.token_starts("abcdefgh")]
        finally:
            await backend.close()

    assert asyncio.run(starts(Recorded(path, inner))) == [[0, 3, 6]] * 2
    assert inner.asked == 1
    assert asyncio.run(starts(Recorded(path, Scripted(lambda _: "x")))) == [[0, 3, 6]] * 2
    assert (
        asyncio.run(starts(Recorded(path.with_name("other.sqlite"), Scripted(lambda _: "x")))) == [None] * 2
    )
