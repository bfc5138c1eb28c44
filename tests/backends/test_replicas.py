"""Several backends as one: affinity, balance, and no request lost or answered twice, whoever dies when."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from asking import ask, run, use
from fake_server import MODEL, FakeServer
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.backends.base import Backend, Load, load_of, token_starts
from evolve_llm.backends.openai.backend import openai
from evolve_llm.backends.replicas import Replicas
from evolve_llm.backends.scripted import Scripted
from evolve_llm.cli.options import EvolutionFlags
from evolve_llm.cli.settings import session_for
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BackendError, RequestError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request
from evolve_llm.testing import BackendContract


def respond(request: Request) -> Any:
    prompt = request.prompt.messages[-1].content
    if prompt.startswith("overflow"):
        return RequestError("context_overflow", "scripted")
    return f"echo: {prompt}"


def numbered(problem: int, number: int, name: str = "p") -> Request:
    return ask(f"{problem}.{number}", problem=f"{name}/{problem}", address=Address(0, number, "vary", 0))


class Told(Scripted):
    """A scripted replica that keeps who asked, and dies when it has been asked ``lives`` times."""

    def __init__(self, *, lives: int | None = None, window: int | None = None, **options: Any) -> None:
        super().__init__(respond, die_after=lives, context_length=window, record=True, **options)
        self.closed = 0
        self.answered: list[str] = []

    async def generate(self, request: Request) -> Completion:
        completion = await super().generate(request)
        self.answered.append(request.id)
        return completion

    async def close(self) -> None:
        self.closed += 1

    @property
    def problems(self) -> set[str]:
        return {one.problem for one in self.calls}


class Dead(Told):
    async def start(self) -> ModelInfo:
        raise BackendError("nobody at home")


class TestContract(BackendContract):
    make: ClassVar[Callable[[], Backend]] = staticmethod(
        lambda: Replicas([Scripted(respond, delay=0.05, capacity=2) for _ in range(3)])
    )
    expected: ClassVar[Callable[[str], str] | None] = staticmethod(lambda prompt: f"echo: {prompt}")
    refused = "overflow forever"
    seconds = 0.05


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), min_size=1, max_size=40, unique=True),
    st.integers(1, 8),
)
def test_every_request_is_answered_once_and_nobody_is_asked_too_much(
    replicas: int, asked: list[tuple[int, int]], capacity: int
) -> None:
    backends = [Told(capacity=capacity, delay=lambda one: 1e-4 * (one.seed % 3)) for _ in range(replicas)]
    both = Replicas(backends)
    requests = [numbered(problem, number) for problem, number in asked]
    got = run(use(both, *requests))
    assert [one.text for one in got] == [f"echo: {problem}.{number}" for problem, number in asked]
    assert sorted(name for one in backends for name in one.answered) == sorted(one.id for one in requests)
    assert all(one.peak_in_flight <= capacity for one in backends)
    assert both.capacity == replicas * capacity
    assert all(one.closed == 1 for one in backends)


@given(st.integers(1, 5), st.lists(st.integers(0, 15), min_size=1, max_size=60))
def test_problems_in_flight_differ_by_one_at_most_while_none_ends(replicas: int, arrivals: list[int]) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def hold(request: Request) -> str:
            await gate.wait()
            return request.id

        backends = [Scripted(hold, capacity=100, record=True) for _ in range(replicas)]
        both = Replicas(backends)
        await both.start()
        tasks = []
        for number, problem in enumerate(arrivals):
            tasks.append(asyncio.create_task(both.generate(numbered(problem, number))))
            for _ in range(5):
                await asyncio.sleep(0)
            first: dict[str, int] = {}
            for place, backend in enumerate(backends):
                for one in backend.calls:
                    if arrivals.index(int(_text(one).split(".")[0])) == int(_text(one).split(".")[1]):
                        first[one.problem] = place
            homes = Counter(dict.fromkeys(range(replicas), 0)) + Counter(first.values())
            counts = [homes[place] for place in range(replicas)]
            assert len(first) == len(set(arrivals[: number + 1]))
            assert max(counts) - min(counts) <= 1
        gate.set()
        await asyncio.gather(*tasks)
        await both.close()

    run(story())


def test_one_after_another_problems_take_turns() -> None:
    async def story() -> list[int]:
        backends = [Told() for _ in range(3)]
        both = Replicas(backends)
        for problem in range(9):
            for number in range(2):
                await both.generate(numbered(problem, number))
        return [len(one.problems) for one in backends]

    assert run(story()) == [3, 3, 3]


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 12)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30, unique=True),
)
def test_whoever_dies_whenever_each_request_is_answered_once_or_all_are_dead(
    lives: list[int | None], asked: list[tuple[int, int]]
) -> None:
    delay = {one: 1e-4 * (hash(one) % 5) for one in asked}
    backends = [
        Told(lives=one, capacity=4, delay=lambda request: delay[tuple(map(int, _text(request).split(".")))])
        for one in lives
    ]
    got = run(use(Replicas(backends), *(numbered(*one) for one in asked)))
    answered = Counter(name for one in backends for name in one.answered)
    for (problem, number), one in zip(asked, got, strict=True):
        if isinstance(one, Completion):
            assert one.text == f"echo: {problem}.{number}"
            assert answered[numbered(problem, number).id] == 1
        else:
            assert isinstance(one, BackendError)
            assert None not in lives
            assert all(f"replica {place + 1}: " in str(one) for place in range(len(lives)))
    if None in lives:
        assert sum(answered.values()) == len(asked)


def _text(request: Request) -> str:
    return request.prompt.messages[-1].content


def test_what_a_dying_replica_had_in_flight_is_asked_elsewhere_at_once_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        end = asyncio.Event()

        async def hang(request: Request) -> str:
            if _text(request) != "0.1":
                await asyncio.sleep(3600)
            await end.wait()
            raise BackendError("the engine\x1b[31m is gone")

        dying, living = Scripted(hang, capacity=8, record=True), Told()
        both = Replicas([dying, living], ["first", "second"])
        await both.start()
        hung = [asyncio.create_task(both.generate(numbered(0, number))) for number in range(20)]
        await asyncio.sleep(0.02)
        assert dying.in_flight == 8, "no more than its capacity"
        assert 0 < len(living.calls) < 12, "what its home has too much of"
        hung[0].cancel()
        end.set()
        got = await asyncio.gather(*hung, return_exceptions=True)
        assert isinstance(got[0], asyncio.CancelledError)
        assert [one.text for one in got[1:]] == [f"echo: 0.{number}" for number in range(1, 20)]
        assert dying.in_flight == 0
        assert both.capacity == living.capacity
        await both.generate(numbered(7, 7))  # and new problems do not go to the dead
        assert len(living.calls) == 20
        await both.close()

    with caplog.at_level(logging.WARNING):
        run(story())
    (message,) = [one.getMessage() for one in caplog.records]
    assert "first: the engine?[31m is gone" in message
    assert "goes on at second" in message


async def _held(backends: list[Scripted], gate: asyncio.Event, asked: list[Request]) -> None:
    """All requests are in flight together, then answered."""
    both = Replicas(backends)
    await both.start()
    tasks = []
    for one in asked:
        tasks.append(asyncio.create_task(both.generate(one)))
        for _ in range(5):
            await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    await both.close()


def _waiting(count: int, **options: Any) -> tuple[list[Scripted], asyncio.Event]:
    gate = asyncio.Event()

    async def hold(request: Request) -> str:
        await gate.wait()
        return request.id

    return [Scripted(hold, record=True, **options) for _ in range(count)], gate


def test_a_generation_of_one_problem_uses_them_all() -> None:
    backends, gate = _waiting(2, capacity=100)
    run(_held(backends, gate, [numbered(0, number) for number in range(16)]))
    assert sorted(len(one.calls) for one in backends) == [4, 12], "more at home, where the prefixes are"


def test_a_home_that_is_full_lends_what_it_cannot_hold() -> None:
    backends, gate = _waiting(2, capacity=2)
    run(_held(backends, gate, [numbered(0, number) for number in range(4)]))
    assert [len(one.calls) for one in backends] == [2, 2]


def test_few_requests_of_a_problem_stay_at_home() -> None:
    backends, gate = _waiting(3, capacity=100)
    run(_held(backends, gate, [numbered(0, number) for number in range(4)]))
    assert sorted(len(one.calls) for one in backends) == [0, 0, 4]


def test_many_problems_stay_at_home() -> None:
    backends, gate = _waiting(2, capacity=1000)
    asked = [numbered(problem, number) for number in range(16) for problem in range(8)]
    run(_held(backends, gate, asked))
    assert all(len({one.problem for one in backend.calls}) == 4 for backend in backends)


def test_a_replica_that_was_gone_is_used_again_once_it_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("evolve_llm.backends.replicas.FIRST_LOOK", 0.0)
    monkeypatch.setattr("evolve_llm.backends.replicas.INTERVAL", 0.01)

    class Returning(Told):
        gone = False
        window = 4096

        async def generate(self, request: Request) -> Completion:
            if self.gone:
                raise BackendError("restarting")
            return await super().generate(request)

        async def revive(self) -> ModelInfo | None:
            return None if self.gone else ModelInfo("scripted", self.window)

    async def story() -> None:
        one, two = Returning(window=4096), Told(window=4096)
        both = Replicas([one, two], ["one", "two"])
        await both.start()
        one.gone = True
        await both.generate(numbered(0, 0))
        assert both.capacity == two.capacity
        await asyncio.sleep(0.1)
        assert both.capacity == two.capacity, "it does not answer yet"
        one.gone, one.window = False, 1024
        await asyncio.sleep(0.3)
        assert both.capacity == two.capacity, "its window is too small now"
        one.window = 4096
        for _ in range(200):
            await asyncio.sleep(0.05)
            if both.capacity > two.capacity:
                break
        assert both.capacity == one.capacity + two.capacity
        await asyncio.gather(*(both.generate(numbered(problem, 0)) for problem in range(1, 5)))
        assert len(one.answered) == 2
        await both.close()

    monkeypatch.setattr("evolve_llm.backends.replicas.LAST_LOOK", 0.05)
    with caplog.at_level(logging.WARNING):
        run(story())
    told = [one.getMessage() for one in caplog.records]
    assert ["put aside" in one for one in told] == [True, False]
    assert told[-1] == "used again: one answers"


def test_each_replica_has_as_much_in_flight_as_its_own_load_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve_llm.backends.replicas.INTERVAL", 0.005)

    class Loaded(Told):
        waiting = 0

        async def load(self) -> Load:
            return Load(max(0, self.in_flight - self.waiting), self.waiting)

    async def story() -> tuple[int, int]:
        slow, fast = Loaded(capacity=16, delay=0.02), Loaded(capacity=16, delay=0.02)
        slow.waiting = 12
        both = Replicas([slow, fast])
        await both.start()
        for part in range(50):  # as long as it takes on a busy machine
            asked = (numbered(number % 8, number) for number in range(100 * part, 100 * part + 100))
            await asyncio.gather(*map(both.generate, asked))
            limits = [one.limit for one in both._replicas]
            if limits[0] < 16 < limits[1]:
                break
        await both.close()
        return limits[0], limits[1]

    slow, fast = run(story())
    assert slow < 16 < fast


def test_errors_of_a_request_are_its_own() -> None:
    async def story() -> list[Any]:
        both = Replicas([Told(), Told()])
        wrong = ask("overflow", problem="p/1")
        return await asyncio.gather(
            both.generate(wrong), both.generate(numbered(1, 1)), return_exceptions=True
        )

    failed, fine = run(story())
    assert isinstance(failed, RequestError)
    assert fine.text == "echo: 1.1"


def test_the_start_puts_aside_who_cannot_be_used_and_keeps_to_the_smallest_window(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backends = [Told(window=4096), Dead(), Told(window=2048), Told()]
    both = Replicas(backends)
    info = run(both.start())
    assert (info.name, info.context_length) == ("scripted", 2048)
    assert both.capacity == 3 * 64
    told = " ".join(one.getMessage() for one in caplog.records)
    assert "replica 2: nobody at home" in told
    assert "replica 1 4096, replica 3 2048, replica 4 unknown" in told
    run(both.close())
    assert [one.closed for one in backends] == [1, 1, 1, 1]


def test_a_start_without_anybody_names_each() -> None:
    both = Replicas([Dead(), Dead()], ["http://one", "http://two"])
    with pytest.raises(
        BackendError, match=r"none .* can be used:\n  http://one: nobody.*\n  http://two: nob"
    ):
        run(both.start())


def test_only_one_model_can_be_served() -> None:
    with pytest.raises(UserError, match=r"'a'.*'b'"):
        Replicas([Told(identity="a"), Told(identity="b")])
    with pytest.raises(UserError, match="at least one"):
        Replicas([])

    class Other(Told):
        async def start(self) -> ModelInfo:
            return ModelInfo("other")

    with pytest.raises(UserError, match="replica 2 serves 'other'"):
        run(Replicas([Told(), Other()]).start())


def test_counts_starts_and_loads_come_from_the_living() -> None:
    class Counting(Told):
        def __init__(self, running: int | None, *, dead: bool = False) -> None:
            super().__init__()
            self.running, self.dead = running, dead

        async def count_tokens(self, prompt: Prompt) -> int:
            if self.dead:
                raise BackendError("gone")
            return 2 + len(prompt.messages[0].content)

        async def token_starts(self, text: str) -> list[int] | None:
            return list(range(len(text)))

        async def load(self) -> Load | None:
            return None if self.running is None else Load(self.running, 1)

    async def story() -> None:
        both = Replicas([Counting(100, dead=True), Counting(3), Counting(None), Counting(4)])
        await both.start()
        assert await both.count_tokens(Prompt.user("xxxxx")) == 7
        assert await token_starts(both, "abc") == [0, 1, 2]
        assert await load_of(both) == Load(7, 2)
        assert await load_of(Replicas([Told()])) is None
        lost = Replicas([Counting(1, dead=True)])
        with pytest.raises(BackendError, match="no replica is left:\n  replica 1: gone"):
            await lost.count_tokens(Prompt.user("x"))

    run(story())


# ---- several servers


IMPATIENT: dict[str, Any] = {"backoff": 0.01, "backoff_limit": 0.02, "attempts": 2, "deadline": 20}


@pytest.mark.parametrize("form", ["commas", "list", "environment"])
def test_several_base_urls_are_replicas_of_one_identity(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as one, FakeServer(window=2048) as two:
        options: dict[str, Any] = {"base_url": [one.url, two.url]}
        if form == "commas":
            options = {"base_url": f"{one.url}, {two.url}"}
        if form == "environment":
            options = {}
            monkeypatch.setenv("OPENAI_BASE_URL", f"{one.url},{two.url}")
        both = openai(MODEL, capacity=5, **IMPATIENT, **options)
        assert isinstance(both, Replicas)
        assert both.identity == openai(MODEL, base_url="http://elsewhere/v1").identity
        assert both.capacity == 10
        info = run(both.start())
        assert info.context_length == 2048
        assert info.details["server"] == f"{one.url}, {two.url}"
        run(both.close())


def test_the_flag_may_be_repeated_and_may_name_several() -> None:
    flags = EvolutionFlags(model="openai:m", base_url=["http://a/v1", "http://b/v1,http://c/v1"])
    session = session_for(flags, "locks", 1)
    assert session.backend.capacity == 3 * 64
    assert session.config["model"] == "openai:m"


def test_a_url_that_is_none_or_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match="'b:1' is not a URL"):
        openai(MODEL, base_url="http://a/v1,b:1")
    with pytest.raises(UserError, match=r"names http://a/v1 twice"):
        openai(MODEL, base_url="http://u:secret@a/v1,http://b/v1,http://u:secret@a/v1")


def test_a_server_that_dies_in_the_middle_of_its_requests_loses_none() -> None:
    async def story(dying: FakeServer, living: FakeServer) -> None:
        both = openai(MODEL, base_url=[dying.url, living.url], capacity=4, **IMPATIENT)
        await both.start()
        tasks = [
            asyncio.create_task(both.generate(numbered(problem, number)))
            for problem in range(6)
            for number in range(4)
        ]
        await asyncio.sleep(0.15)
        assert dying.busy
        assert living.seen
        await asyncio.to_thread(dying.stop)
        got = await asyncio.gather(*tasks)
        assert [one.text for one in got] == [f"echo: {p}.{n}" for p in range(6) for n in range(4)]
        await both.close()

    with FakeServer(delay=0.4) as dying, FakeServer(delay=0.05) as living:
        run(story(dying, living))
