"""Credit by asking: a sample of a run's children is asked of the model again, without some of their parents or with
them in another order. The run's own record stays as it is: replies are kept in a recording of their own."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.analysis.asking import (
    LARGEST,
    REPLAYS,
    Asked,
    Replay,
    Replayed,
    Shown,
    drawn,
    estimate,
    wanted,
)
from evolve_llm.analysis.credit import Child, read_children
from evolve_llm.analysis.run import Run
from evolve_llm.backends.base import Backend, make_backend, takes_pictures
from evolve_llm.backends.recorded import Recorded
from evolve_llm.engine.calling import Caller, Meter
from evolve_llm.engine.permits import Permits
from evolve_llm.engine.rebuilding import Made, installed, made_by
from evolve_llm.engine.replaying import rehearse, replay
from evolve_llm.grading.pool import GradingPool
from evolve_llm.nouns.address import Address
from evolve_llm.nouns.errors import BudgetReached, OperatorError, UserError
from evolve_llm.nouns.outcome import Failure
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.request import Completion
from evolve_llm.nouns.thinking import apart
from evolve_llm.nouns.verdict import Grade
from evolve_llm.record.paging import PagedReader
from evolve_llm.scheme import registry
from evolve_llm.scheme.operator import Copy
from evolve_llm.scheme.scheme import Scheme

RECORDING = "asked.db"
"""The recording of replies in the run's directory."""


@dataclass(frozen=True, slots=True)
class AskingPlan:
    """What asking costs, before anything is asked. Tokens are expected from the chains of the run; those of the
    completions are at most ``most_completion_tokens``. Replies that are recorded already are not taken off."""

    children: int
    problems: int
    replays: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of asking. ``tokens`` are those of all replies, of which ``recorded`` were there before.

    ``planned`` children were to be asked; where the budget ended it (``spent``), those are counted that came before
    the first unfinished one.
    """

    found: Asked
    planned: int
    requests: int
    recorded: int
    failed: int
    tokens: int
    spent: bool


@dataclass(frozen=True, slots=True)
class _Drawn:
    child: Child
    made: Made
    graded: Problem
    shown: tuple[Shown, ...]


class Asking:
    """A sample of children of one run, drawn and checked; ``carry_out`` asks. The same call again resumes."""

    def __init__(
        self,
        run: str | Path,
        model: str | Backend,
        *,
        children: int = 60,
        repeats: int = 4,
        replays: Collection[Replay] = REPLAYS,
        seed: int = 0,
        engine: Mapping[str, Any] | None = None,
        prompts: str | Path | None = None,
        cache: str | Path | None = None,
        concurrency: int | None = None,
        budget_tokens: int | None = None,
        unsafe_local: bool = False,
        other_model: bool = False,
    ) -> None:
        """Draw the sample and check all that needs no model.

        Args:
            run: The directory of a finished run.
            model: A SPEC as on the command line, or a Backend. It must be the run's, unless ``other_model``.
            children: How many children to ask again; all of them, where the run has fewer.
            repeats: How many chains are written from each prompt.
            replays: Which questions: ``without`` one parent, ``order``, ``shapley`` (all subsets, K <= 4).
            seed: The seed of the sample and of the requests.
            engine: Options of the model's backend.
            prompts: The folder of templates that the run was made with.
            cache: The recording of the replies; ``asked.db`` in the run's directory, if it is None.
            concurrency: The number of requests in flight; as many as the model takes, if it is None.
            budget_tokens: The prompt and completion tokens of all replies after which no request starts.
            unsafe_local: Whether to grade without a sandbox if none is available.
            other_model: Whether another model than the run's may be asked.

        Raises:
            UserError: A setting is wrong, or the run cannot be asked: the message says why.
        """
        for name, value in (("children", children), ("repeats", repeats), ("concurrency", concurrency),
                            ("budget_tokens", budget_tokens)):  # fmt: skip
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        if not 0 <= seed < 2**63:
            raise UserError(f"the seed must be in 0 ... 2**63 - 1, got {seed}")
        self.replays: tuple[Replay, ...] = tuple(one for one in REPLAYS if one in replays)
        if not self.replays or set(replays) - set(REPLAYS):
            raise UserError(f"the replays are {', '.join(REPLAYS)}; got {', '.join(replays) or 'none'}")
        self.run, self.repeats, self.seed = Run(run), repeats, seed
        if not self.run.complete:
            raise UserError(
                f"{self.run.path} is unfinished, so its children cannot be drawn from; first finish it with the "
                "command that made it"
            )
        scheme = installed(self.run.config, None if prompts is None else Path(prompts))
        self._sampling = scheme.preset.sampling.sampling()
        backend = make_backend(model, engine) if isinstance(model, str) else model
        theirs = self.run.config["model"]
        if backend.identity != theirs and not other_model:
            raise UserError(
                f"the run's model is {theirs!r}, not {backend.identity!r}: what another model makes of the prompts "
                "says nothing of this run's children. Name the run's model, or write --other-model to ask it anyway"
            )
        self.recording = self.run.path / RECORDING if cache is None else Path(cache)
        self.backend = Recorded(self.recording, backend)
        self._concurrency, self._budget, self._unsafe = concurrency, budget_tokens, unsafe_local
        self.inexact = 0  # children drawn whose prompt cannot be made again, and so are not asked
        eligible = _eligible(self.run, self.replays)
        self._sizes = Counter(map(_stratum, eligible))
        chosen = [eligible[place] for place in drawn([_stratum(one) for one in eligible], children, seed)]
        self._drawn = self._made(chosen, scheme)

    def _made(self, chosen: Sequence[Child], scheme: Scheme) -> list[_Drawn]:
        uids: dict[str, list[str]] = defaultdict(list)
        for one in chosen:
            uids[one.problem].append(one.uid)
        made: dict[tuple[str, str], tuple[Made, Problem]] = {}
        with PagedReader(self.run.path) as reader:
            for place, problem in enumerate(reader.problems()):
                if problem.id in uids:
                    for again in made_by(reader, self.run.config, scheme, place, uids[problem.id]):
                        made[problem.id, again.child.uid] = (again, problem)
        found = []
        for child in chosen:
            again, problem = made[child.problem, child.uid]
            if not again.exact:
                self.inexact += 1
                continue
            shown = tuple(wanted(child.parents, self.replays))
            for each in shown:
                rehearse(again, each, self.seed)
            found.append(_Drawn(child, again, problem, shown))
        if not found:
            raise UserError(
                f"the prompts of {self.run.path} cannot be made again as they were sent: its templates or operators "
                "were others. If it was made with --prompts DIR, give that folder"
            )
        return found

    def plan(self) -> AskingPlan:
        """What asking costs, from what the run's own chains cost."""
        replays = requests = prompt = completion = 0
        for one in self._drawn:
            calls = one.made.calls
            parents = [parent.completion_tokens for parent in one.made.parents]
            bare = max(0, one.made.child.prompt_tokens - calls * sum(parents))
            for shown in one.shown:
                prompt += bare + calls * sum(parents[place] for place in shown)
            replays += len(one.shown)
            requests += len(one.shown) * calls
            completion += len(one.shown) * one.made.child.completion_tokens
        return AskingPlan(
            len(self._drawn),
            len({one.child.problem for one in self._drawn}),
            replays,
            requests * self.repeats,
            prompt * self.repeats,
            completion * self.repeats,
            requests * self.repeats * self._sampling.max_tokens,
        )

    async def carry_out(self) -> Answered:
        """Ask all that is not recorded yet, grade, and estimate.

        Raises:
            UserError: The model cannot be shown the problems' pictures, or the recording is another kind of file.
            BackendError: The model cannot be used, or was lost half-way. All replies so far are recorded.
            StoreError: The recording cannot be written.
            SandboxUnavailable: The answers need a sandbox to be graded, and there is none.
            OperatorError: A variation or answer format broke its contract.
        """
        try:
            info = await self.backend.start()
            if any(one.graded.pictures for one in self._drawn) and not takes_pictures(self.backend):
                raise UserError(
                    f"the problems hold pictures, and the model {self.backend.identity!r} takes text alone"
                )
            async with GradingPool(unsafe_local=self._unsafe) as pool:
                pool.require(one.graded for one in self._drawn)
                permits, meter = (
                    Permits(self._concurrency or self.backend.capacity),
                    Meter(budget=self._budget),
                )
                caller = Caller(
                    self.backend,
                    _Nowhere(),
                    permits,
                    self._sampling,
                    self.seed,
                    meter,
                    window=info.context_length,
                )
                values = await self._ask_all(caller, pool)
        finally:
            await self.backend.close()
        done = values[: values.index(None)] if None in values else values
        replayed = [
            Replayed(one.child.problem, one.child.operator, one.child.right, one.child.parents, found)
            for one, found in zip(self._drawn, done, strict=False)
            if found is not None
        ]
        if not replayed:
            raise BudgetReached(
                f"the budget of {self._budget} tokens was spent before one child was asked; raise it and repeat the "
                "command"
            )
        return Answered(
            estimate(replayed, self._sizes, self.replays),
            len(self._drawn),
            meter.requests,
            self.backend.hits,
            meter.failed,
            meter.spent,
            None in values,
        )

    async def _ask_all(self, caller: Caller, pool: GradingPool) -> list[dict[Shown, float] | None]:
        """The values of each child in order; None for one that the budget kept from its end."""
        values: list[dict[Shown, float] | None] = [None] * len(self._drawn)
        trouble: list[Exception] = []

        async def one(index: int) -> None:
            try:
                values[index] = await self._ask(index, caller, pool)
            except BudgetReached:
                pass
            except Exception as error:
                trouble.append(error)

        async with asyncio.TaskGroup() as group:
            for index in range(len(self._drawn)):
                await caller.permits.room()
                if caller.permits.closed:
                    break
                group.create_task(one(index))
                for _ in range(3):  # until its requests have reached the permits
                    await asyncio.sleep(0)
        if trouble:
            raise trouble[0]
        return values

    async def _ask(self, index: int, caller: Caller, pool: GradingPool) -> dict[Shown, float]:
        """The share of right chains by who was shown; without those of which none could be graded.

        After an error nothing new is asked of anybody, and what is under way is waited for: it is paid for, and is
        recorded before the error is raised.
        """
        one = self._drawn[index]

        async def judge(shown: Shown, repeat: int) -> bool | None:
            try:
                return await self._judged(one, index, shown, repeat, caller, pool)
            except Exception:
                caller.permits.close()
                raise

        tries = [(shown, repeat) for shown in one.shown for repeat in range(self.repeats)]
        came = await asyncio.gather(*(judge(*each) for each in tries), return_exceptions=True)
        faults = [fault for fault in came if isinstance(fault, BaseException)]
        if faults:
            raise next((fault for fault in faults if not isinstance(fault, BudgetReached)), faults[0])
        right: dict[Shown, list[bool]] = defaultdict(list)
        for (shown, _), verdict in zip(tries, came, strict=True):
            if isinstance(verdict, bool):
                right[shown].append(verdict)
        return {shown: sum(found) / len(found) for shown, found in right.items()}

    async def _judged(
        self, one: _Drawn, index: int, shown: Shown, repeat: int, caller: Caller, pool: GradingPool
    ) -> bool | None:
        """Whether the chain of one replay is right; None where it failed or cannot be graded."""
        came = await replay(one.made, index, shown, repeat, caller)
        if isinstance(came, Copy):
            return one.child.parents[[parent.uid for parent in one.made.parents].index(came.parent.uid)]
        if came is None:
            return None
        reasoning, text = apart(came.reasoning, came.text)
        if not text.strip() and not reasoning:
            return None  # a failed candidate, as in a run
        verdict = await pool.grade(one.graded, _answer(one.graded.format, text))
        return None if verdict.grade is Grade.UNGRADED else verdict.correct


class _Nowhere:
    """Where outcomes are committed: nowhere, since the recording has them already."""

    async def put(
        self, place: int, address: Address, prompt: str, seed: int, outcome: Completion | Failure, /
    ) -> None:
        pass


def _eligible(run: Run, replays: Sequence[Replay]) -> list[Child]:
    children, _ = read_children([run])
    found = [one for one in children if len(one.parents) > 1]
    if not found:
        raise UserError(
            f"no child in {run.path} has a verdict, and two or more parents with verdicts: to be asked again a run "
            "needs problems with references, and a preset with K >= 2"
        )
    most = max(len(one.parents) for one in found)
    if "shapley" in replays and most > LARGEST:
        raise UserError(
            f"Shapley values need all subsets of the parents, and with K = {most} these are {2**most} prompts a child "
            f"(at most K = {LARGEST}); write --replay without --replay order"
        )
    return found


def _stratum(one: Child) -> tuple[str, int, int]:
    return one.operator, len(one.parents), one.right_parents


def _answer(form: str, text: str) -> str | None:
    if not text.strip():
        return None
    try:
        found: str | None = registry.load("answer format", form).extract(text)
    except Exception as error:  # an answer format may be anybody's
        raise OperatorError(f"the answer format {form!r} raised {type(error).__name__}: {error}") from error
    return found
