"""A study carried out: the plan on disk first, then every run over one engine and one cache. The same call resumes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm.analysis.pairing import problem_values
from evolve_llm.analysis.run import Run
from evolve_llm.backends.base import make_backend
from evolve_llm.backends.response_file import ResponseFile
from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import BudgetReached, StoreError, UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.session.session import Session
from evolve_llm.study.places import CACHE, PLAN, WORK, run_folder
from evolve_llm.study.plan import plan_of, read_pilot, read_plan, with_history
from evolve_llm.study.shared import Kept, Paid
from evolve_llm.study.spec import Arm, Study, Where
from evolve_llm.study.stopping import Values, ends

SHUFFLE = 0
"""The seed of the order of problems in a study that may stop early."""


async def carry_out(
    study: Study, folder: Path, *, plan_only: bool = False, told: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Write the plan, and run what is missing. Returns the plan as it stands on disk.

    Raises UserError for a folder of another study, a changed arm, problem set or model after results exist, and a
    budget that cannot pay for one seed; BudgetReached when the budget is spent; what a run raises. What is stored
    stays, and the same call goes on.
    """
    problems = {where: problems_of(study, where) for where in study.places}
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        paid = paid_for(folder)
        engines = {
            model: Kept(
                folder / CACHE, Paid(make_backend(model, study.engine or None), study.budget_tokens, paid[1])
            )
            for model in dict.fromkeys(one.model for one in study.places)
        }
        spent = paid[1]
        try:
            plan = await _planned(study, problems, folder, engines, paid[0])
            write_whole(folder / PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
            for where in () if plan_only else study.places:
                engine = engines[where.model]
                assert isinstance(engine.inner, Paid)
                engine.inner.spent = max(engine.inner.spent, spent)
                await _Place(study, where, problems[where], folder, engine, told).run()
                spent = engine.inner.spent
        except BudgetReached:
            raise BudgetReached(
                f"the study's budget of {study.budget_tokens:,} tokens is spent; what is stored stays. Raise "
                "budget_tokens in the study file and repeat the command to go on"
            ) from None
        finally:
            for engine in engines.values():
                await engine.release()
    return plan


def problems_of(study: Study, where: Where) -> list[Problem]:
    """The problems of a place, in the order in which they are run.

    A study that may stop early shuffles them once: a list that is sorted by difficulty would mislead its first looks.
    """
    found = load_problems(where.problems, limit=study.limit)
    if study.stopping is not None:
        random.Random(SHUFFLE).shuffle(found)
    return found


def paid_for(folder: Path) -> tuple[int, int]:
    """(requests, tokens) that the model was paid for: each recorded answer once.

    What was under way when a study was killed was paid for and is not recorded.
    """
    if not (folder / CACHE).is_file():
        return (0, 0)
    file = ResponseFile(folder / CACHE)
    try:
        return file.totals()
    finally:
        file.close()


def values_of(study: Study, where: Where, arm: Arm, folder: Path, problems: int) -> Values:
    """The number that decides about stopping, by problem: the mean over seeds, None where one is missing."""
    first = study.quoted[0]
    generation = first.moment if isinstance(first.moment, int) else None
    each = [
        problem_values(Run(run_folder(folder, where, arm, seed)), first.metric, generation, range(problems))
        for seed in study.seeds
    ]
    columns = zip(*each, strict=True)
    return [None if None in one else sum(v for v in one if v is not None) / len(one) for one in columns]


class _Place:
    """All arms at one place, over the engine of its model."""

    def __init__(
        self,
        study: Study,
        where: Where,
        problems: list[Problem],
        folder: Path,
        engine: Kept,
        told: Callable[[str], None],
    ) -> None:
        self.study, self.where, self.problems, self.folder = study, where, problems, folder
        self.engine, self.told = engine, told

    async def run(self) -> None:
        """Every arm over all problems, or as far as the looks let it go."""
        if self.study.stopping is None:
            await self._all(self.study.arms, None)
            return
        count = len(self.problems)
        running: Sequence[Arm] = self.study.arms
        for look in self.study.stopping.looks(count):
            await self._all(running, look)
            values = {
                arm.name: values_of(self.study, self.where, arm, self.folder, look) for arm in self.study.arms
            }
            ended = ends(self.study, values, count, look)
            for name, end in ended.items():
                if end.problems == look and end.why != "all":
                    self.told(f"{name} ends after {look} problems: {end.why}")
            running = [arm for arm in self.study.arms if arm.name not in ended]
            if not running:
                return

    async def _all(self, arms: Sequence[Arm], upto: int | None) -> None:
        for seed in self.study.seeds:
            for arm in arms:
                at = "" if upto is None else f", the first {upto} problems"
                self.told(f"{arm.name}, seed {seed}{at}")
                await self._one(arm, seed, upto)

    async def _one(self, arm: Arm, seed: int, upto: int | None) -> None:
        path = run_folder(self.folder, self.where, arm, seed)
        begun, paid = time.monotonic(), self.engine.inner
        assert isinstance(paid, Paid)
        before = paid.requests, paid.prompt_tokens, paid.completion_tokens
        try:
            session = Session(self.problems, arm.preset, self.engine, seed, path, upto=upto)
            async with session, contextlib.aclosing(session.generations()) as generations:
                async for _ in generations:
                    pass
        finally:
            after = paid.requests, paid.prompt_tokens, paid.completion_tokens
            requests, prompt, completion = (b - a for a, b in zip(before, after, strict=True))
            if requests:
                line = {"where": self.where.name, "arm": arm.name, "seed": seed, "requests": requests,
                        "prompt_tokens": prompt, "completion_tokens": completion,
                        "seconds": round(time.monotonic() - begun, 3)}  # fmt: skip
                with (self.folder / WORK).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")


async def _planned(
    study: Study,
    problems: Mapping[Where, list[Problem]],
    folder: Path,
    engines: Mapping[str, Kept],
    results: int,
) -> dict[str, Any]:
    costs = {}
    for where in study.places:
        for arm in study.arms:
            path = run_folder(folder, where, arm, study.seeds[0])
            session = Session(problems[where], arm.preset, engines[where.model], study.seeds[0], path)
            try:
                costs[where, arm.name] = await session.estimate()
            except UserError as error:
                raise UserError(f"arm {arm.name!r} cannot be run: {error}") from None
    identities = {where: engines[where.model].identity for where in study.places}
    fresh = plan_of(study, problems, identities, costs, read_pilot(folder))
    return with_history(read_plan(folder), fresh, results)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(
                f"another process is running the study in {folder}; wait until it ends"
            ) from None
        yield
