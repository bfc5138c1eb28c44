"""Several backends that serve one model, as one: more engines behind one run."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from evolve_llm.backends.admission import INTERVAL, Admission
from evolve_llm.backends.base import Backend, Load, load_of, revived, takes_pictures, token_starts
from evolve_llm.nouns.errors import BackendError, UserError
from evolve_llm.nouns.request import Completion, ModelInfo, Prompt, Request

SPREAD = 4
"""Requests by which a home must exceed twice the least busy replica before one goes there."""

FIRST_LOOK, LAST_LOOK = 1.0, 30.0
"""Seconds until a replica that was put aside is asked whether it answers again: at first, and in the end."""

REMEMBERED = 10_000
"""Problems whose replica is remembered, the most recently asked ones; the engines' caches forget sooner."""

_LOG = logging.getLogger(__name__)

Value = TypeVar("Value")


class Replicas:
    """One backend over several that serve the same model.

    **Affinity.** The requests of a problem go to one replica, its home, whose prefix cache then holds the chains
    that the problem's prompts have in common. A problem that is new goes to the replica with the fewest
    problems in flight (then the fewest requests, the fewest problems so far, the first).

    **Spreading.** A request leaves home where that is full and another replica has room, or has more than twice as
    much in flight, and SPREAD more, as the least busy one: a generation of a single problem uses them all.

    **Capacity.** A replica has at most its own ``capacity`` in flight, which follows its load where it tells it (see
    ``Admission``); what is more waits for it here.

    **Death.** A replica that raises BackendError is put aside, with one warning on this module's logger. What it
    had in flight is cancelled and asked again elsewhere, and its problems move there. When none is left,
    BackendError names the end of each. Any other error is the request's own and is passed on. One that can come
    back (a server) is asked now and then, and used again once it answers.

    ``names`` say in messages which replica is meant. Raises UserError for no backends, or for backends of
    different identities.
    """

    def __init__(self, backends: Sequence[Backend], names: Sequence[str] | None = None) -> None:
        if not backends:
            raise UserError("replicas need at least one backend")
        names = names or [f"replica {number + 1}" for number in range(len(backends))]
        self._replicas = [_Replica(name, one) for name, one in zip(names, backends, strict=True)]
        self.identity = backends[0].identity
        if any(one.identity != self.identity for one in backends):
            told = "; ".join(f"{one.name} is {one.backend.identity!r}" for one in self._replicas)
            raise UserError(f"replicas must have the same model: {told}")
        self._homes: dict[str, _Replica] = {}
        self._window: int | None = None
        self._minding: asyncio.Task[None] | None = None

    @property
    def capacity(self) -> int:
        """What the replicas that live can have in flight together."""
        return sum(one.limit for one in self._live()) or 1

    @property
    def pictures(self) -> bool:
        """Whether all that live can be shown pictures."""
        return all(takes_pictures(one.backend) for one in self._live())

    async def start(self) -> ModelInfo:
        """Start all at once. The window is the smallest of the replicas', so that a prompt fits wherever it goes.

        Those that cannot be used are put aside; BackendError names each when none can. Raises UserError
        where they serve models of different names, and whatever else a replica raises.
        """
        started = await asyncio.gather(
            *(one.backend.start() for one in self._replicas), return_exceptions=True
        )
        infos: dict[str, ModelInfo] = {}
        for replica, outcome in zip(self._replicas, started, strict=True):
            if isinstance(outcome, BackendError):
                replica.error = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                infos[replica.name] = outcome
        if not infos:
            raise self._none_left("none of the replicas can be used")
        for replica in self._replicas:
            self._warn_of(replica)
        together = _together(infos)
        self._window = together.context_length
        return together

    async def generate(self, request: Request) -> Completion:
        """Answer one request on the replica of its problem, or on another when that dies.

        Raises BackendError when no replica is left, else what the replica raises.
        """
        problem = request.problem
        if self._minding is None:
            self._minding = asyncio.create_task(self._mind())
        while True:
            replica = self._place_of(problem)
            try:
                with replica.busy_with(problem):
                    answer = await replica.answer(request)
            except BackendError as error:
                self._put_aside(replica, error)
            else:
                if answer is not None:
                    return answer

    async def count_tokens(self, prompt: Prompt) -> int:
        """The count of the first replica that lives."""
        return await self._by_any(lambda backend: backend.count_tokens(prompt))

    async def token_starts(self, text: str) -> Sequence[int] | None:
        """The answer of the first replica that lives."""
        return await self._by_any(lambda backend: token_starts(backend, text))

    async def load(self) -> Load | None:
        """The loads of the replicas that live and tell theirs, added up; None where none does."""
        loads = await asyncio.gather(*(load_of(one.backend) for one in self._live()))
        known = [one for one in loads if one is not None]
        if not known:
            return None
        return Load(sum(one.running for one in known), sum(one.waiting for one in known))

    async def close(self) -> None:
        """Close all replicas, including those put aside."""
        minding, self._minding = self._minding, None
        if minding is not None and minding.get_loop() is asyncio.get_running_loop():
            minding.cancel()
            await asyncio.gather(minding, return_exceptions=True)
        await asyncio.gather(*(one.backend.close() for one in self._replicas), return_exceptions=True)

    # ---- who is alive, and where a problem lives

    def _live(self) -> list[_Replica]:
        return [one for one in self._replicas if one.error is None]

    def _home_of(self, problem: str) -> _Replica:
        home = self._homes.pop(problem, None)
        if home is None or home.error is not None:
            live = self._live()
            if not live:
                raise self._none_left("no replica is left")
            home = min(live, key=_Replica.burden)  # the first of equals
            home.received += 1
        self._homes[problem] = home
        if len(self._homes) > REMEMBERED:
            del self._homes[next(iter(self._homes))]
        return home

    def _place_of(self, problem: str) -> _Replica:
        """Its home, or the least busy replica where the home has much more to do."""
        home = self._home_of(problem)
        free = min(self._live(), key=lambda one: one.in_flight.total())
        busy, least = home.in_flight.total(), free.in_flight.total()
        full = busy >= home.limit and least < free.limit
        return free if full or busy >= 2 * least + SPREAD else home

    async def _mind(self) -> None:
        """Keep each replica's limit to its load, and ask those that were put aside whether they answer again."""
        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.gather(*map(self._look_at, self._replicas), return_exceptions=True)

    async def _look_at(self, replica: _Replica) -> None:
        now = asyncio.get_running_loop().time()
        if replica.error is None:
            load = await load_of(replica.backend)
            if load is not None:
                replica.resize(replica.admitted().update(load, replica.held))
        elif now >= replica.next_look:
            replica.pause = min(2 * replica.pause, LAST_LOOK)
            replica.next_look = now + replica.pause
            info = await revived(replica.backend)
            if info is not None and _holds(info.context_length, self._window):
                replica.back()
                _LOG.warning("used again: %s answers", replica.name)

    def _put_aside(self, replica: _Replica, error: BackendError) -> None:
        if replica.error is not None:
            return
        replica.error = error
        replica.next_look = asyncio.get_running_loop().time() + replica.pause
        replica.abandon()
        if self._live():
            self._warn_of(replica)

    def _warn_of(self, replica: _Replica) -> None:
        if replica.error is not None:
            others = ", ".join(one.name for one in self._live())
            _LOG.warning("put aside: %s. The work goes on at %s", _told(replica), others)

    def _none_left(self, what: str) -> BackendError:
        return BackendError("\n  ".join([f"{what}:", *map(_told, self._replicas)]))

    async def _by_any(self, ask: Callable[[Backend], Awaitable[Value]]) -> Value:
        while live := self._live():
            try:
                return await ask(live[0].backend)
            except BackendError as error:
                self._put_aside(live[0], error)
        raise self._none_left("no replica is left")


@dataclass(eq=False, slots=True)
class _Replica:
    """One backend and what it has on its hands."""

    name: str
    backend: Backend
    error: BackendError | None = None
    received: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)
    tasks: set[asyncio.Task[Completion]] = field(default_factory=set)
    held: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    admission: Admission | None = None
    pause: float = field(default_factory=lambda: FIRST_LOOK)
    next_look: float = 0.0

    @property
    def limit(self) -> int:
        """How many requests may be in flight here at once."""
        return self.backend.capacity if self.admission is None else self.admission.capacity

    def admitted(self) -> Admission:
        """What decides on the limit, from the first load that was told."""
        if self.admission is None:
            self.admission = Admission(self.backend.capacity)
        return self.admission

    def resize(self, limit: int) -> None:
        """Let those in that wait, as far as the limit goes."""
        while self.waiting and self.held < limit:
            future = self.waiting.popleft()
            if not future.done():
                self.held += 1
                future.set_result(None)

    def back(self) -> None:
        """It answers again."""
        self.error, self.pause, self.admission = None, FIRST_LOOK, None

    def burden(self) -> tuple[int, int, int]:
        """Problems and requests in flight, problems so far: what a new problem is placed by."""
        return len(self.in_flight), self.in_flight.total(), self.received

    @contextmanager
    def busy_with(self, problem: str) -> Iterator[None]:
        self.in_flight[problem] += 1
        try:
            yield
        finally:
            self.in_flight[problem] -= 1
            if not self.in_flight[problem]:
                del self.in_flight[problem]

    async def answer(self, request: Request) -> Completion | None:
        """The backend's answer; None where the replica was abandoned meanwhile."""
        task = asyncio.create_task(self._in_turn(request))
        self.tasks.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self.tasks.discard(task)
            if not task.done():  # this request is cancelled: what it holds must be free before that is told
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return None if task.cancelled() and self.error is not None else task.result()

    async def _in_turn(self, request: Request) -> Completion:
        if self.held < self.limit:
            self.held += 1
        else:
            await self._turn()
        try:
            return await self.backend.generate(request)
        finally:
            self.held -= 1
            self.resize(self.limit)

    async def _turn(self) -> None:
        """Wait for a place; it is held when this returns."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the place was handed over and is now nobody's
                self.held -= 1
                self.resize(self.limit)
            raise

    def abandon(self) -> None:
        """Cancel every request that is in flight at this replica."""
        for task in tuple(self.tasks):
            task.cancel()


def _together(infos: dict[str, ModelInfo]) -> ModelInfo:
    """One description of all replicas that started."""
    first = next(iter(infos.values()))
    if any(one.name != first.name for one in infos.values()):
        told = "; ".join(f"{name} serves {info.name!r}" for name, info in infos.items())
        raise UserError(f"replicas must serve the same model: {told}")
    windows = {name: info.context_length for name, info in infos.items()}
    known = [one for one in windows.values() if one is not None]
    smallest = min(known, default=None)
    if len(set(windows.values())) > 1:
        told = ", ".join(f"{name} {window or 'unknown'}" for name, window in windows.items())
        _LOG.warning("the replicas' windows differ (%s): all prompts are kept to %s tokens", told, smallest)
    keys = dict.fromkeys(key for info in infos.values() for key in info.details)
    details = {
        key: ", ".join(dict.fromkeys(info.details[key] for info in infos.values() if key in info.details))
        for key in keys
    }
    return ModelInfo(first.name, smallest, details)


def _holds(window: int | None, wanted: int | None) -> bool:
    """Whether a replica that came back has room for all that fitted before."""
    return wanted is None or window is None or window >= wanted


def _told(replica: _Replica) -> str:
    """A replica and its end, on one line of printable characters."""
    text = " ".join(f"{replica.name}: {replica.error}".split())
    return "".join(one if one.isprintable() else "?" for one in text)
