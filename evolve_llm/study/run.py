"""A study carried out: the plan on disk first, then every run over one engine and one cache. The same call resumes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evolve_llm.analysis.power import PARTED
from evolve_llm.analysis.stats import detectable_difference
from evolve_llm.backends.base import make_backend
from evolve_llm.backends.response_file import ResponseFile
from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import BudgetReached, StoreError, UserError
from evolve_llm.nouns.problem import Problem, problems_digest
from evolve_llm.scheme.problem_sets import load_problems
from evolve_llm.session.session import Session
from evolve_llm.study.shared import Kept, Paid
from evolve_llm.study.spec import Arm, Study

PLAN, CACHE = "study.json", "responses.db"


def run_folder(folder: Path, arm: Arm, seed: int) -> Path:
    """Where an arm's run lies: an ordinary run directory, which show, compare and view read."""
    slug = "".join(c if c.isalnum() or c in "-_" else "-" for c in arm.name)
    digest = hashlib.blake2b(arm.name.encode(), digest_size=2).hexdigest()
    return folder / "runs" / f"{slug}-{digest}-seed{seed}"


async def carry_out(
    study: Study, folder: Path, *, plan_only: bool = False, told: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Write the plan, and run what is missing. Returns the plan as it stands on disk.

    Raises UserError for a folder of another study, a changed arm, problem set or model after results exist, and a
    budget that cannot pay for one seed; BudgetReached when the budget is spent; what a run raises. What is stored
    stays, and the same call goes on.
    """
    problems = load_problems(study.problems, limit=study.limit)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        inner = make_backend(study.model, study.engine or None)
        paid = Paid(inner, study.budget_tokens, paid_for(folder)[1])
        engine = Kept(folder / CACHE, paid)
        try:
            plan = await _planned(study, problems, folder, engine)
            write_whole(folder / PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
            if not plan_only:
                for seed in study.seeds:
                    for arm in study.arms:
                        told(f"{arm.name}, seed {seed}")
                        await _one(_session(arm, seed, problems, folder, engine))
        except BudgetReached:
            raise BudgetReached(
                f"the study's budget of {study.budget_tokens:,} tokens is spent ({paid.spent:,} used); what is stored "
                "stays. Raise budget_tokens in the study file and repeat the command to go on"
            ) from None
        finally:
            await engine.release()
    return plan


def paid_for(folder: Path) -> tuple[int, int]:
    """(requests, tokens) that the model was paid for: each recorded answer once."""
    if not (folder / CACHE).is_file():
        return (0, 0)
    file = ResponseFile(folder / CACHE)
    try:
        return file.totals()
    finally:
        file.close()


def _session(arm: Arm, seed: int, problems: list[Problem], folder: Path, engine: Kept) -> Session:
    return Session(problems, arm.preset, engine, seed, run_folder(folder, arm, seed))


async def _one(session: Session) -> None:
    async with session, contextlib.aclosing(session.generations()) as generations:
        async for _ in generations:
            pass


async def _planned(study: Study, problems: list[Problem], folder: Path, engine: Kept) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    requests = tokens = 0
    for arm in study.arms:
        found = await _session(arm, study.seeds[0], problems, folder, engine).estimate()
        most = found.prompt_tokens + found.completion_tokens
        arms[arm.name] = {**arm.plain(), "requests": found.requests, "tokens": most}
        requests, tokens = requests + found.requests, tokens + most
    if study.budget_tokens is not None and study.budget_tokens < tokens:
        raise UserError(
            f"the budget of {study.budget_tokens:,} tokens may not pay for one seed, which takes at most {tokens:,}; "
            "raise budget_tokens, or take fewer arms or problems"
        )
    tests = sum(not arm.null for _, arm in study.contrasts())
    spread = study.spread or math.sqrt(PARTED)
    fresh = {
        "format": 1,
        "name": study.name,
        "model": engine.identity,
        "problems": {"count": len(problems), "digest": problems_digest(problems)},
        "seeds": list(study.seeds),
        "arms": arms,
        "tests": tests,
        "at_most": {
            "runs": len(arms) * len(study.seeds),
            "requests": requests * len(study.seeds),
            "tokens": tokens * len(study.seeds),
        },
        "spread": spread,
        "detectable": detectable_difference(spread, len(problems), alpha=0.05 / max(1, tests)),
    }
    return _after(_read(folder), json.loads(json.dumps(fresh)), paid_for(folder)[0])


def _after(old: dict[str, Any] | None, fresh: dict[str, Any], results: int) -> dict[str, Any]:
    """The new plan with the history of the old one. Raises UserError for a change that results forbid."""
    text = json.dumps(fresh, sort_keys=True)
    now = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "results": results,
        "tests": fresh["tests"],
        "arms": list(fresh["arms"]),
        "seeds": fresh["seeds"],
    }
    if old is None:
        return {**fresh, "history": [now]}
    if old["name"] != fresh["name"]:
        raise UserError(
            f"the folder holds the study {old['name']!r}, not {fresh['name']!r}; give another --out"
        )
    if results:
        for key in ("model", "problems"):
            if old[key] != fresh[key]:
                raise UserError(
                    f"the {key} of the study changed after results exist: {old[key]} → {fresh[key]}; give another --out"
                )
        for name, arm in old["arms"].items():
            if name not in fresh["arms"]:
                raise UserError(f"arm {name!r} has results and is gone from the study file; put it back")
            if any(fresh["arms"][name][key] != arm[key] for key in ("preset", "expect", "null")):
                raise UserError(
                    f"arm {name!r} changed after results exist; give the changed arm another name, or another --out"
                )
        if lost := sorted(set(old["seeds"]) - set(fresh["seeds"])):
            raise UserError(f"the seeds {lost} have results and are gone from the study file; put them back")
    if old["history"][-1]["hash"] == now["hash"]:
        return {**fresh, "history": old["history"]}
    return {**fresh, "history": [*old["history"], now]}


def _read(folder: Path) -> dict[str, Any] | None:
    if not (folder / PLAN).is_file():
        return None
    try:
        data: dict[str, Any] = json.loads((folder / PLAN).read_text("utf-8"))
        assert data["format"] == 1
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise StoreError(f"{folder / PLAN} cannot be read: {error}") from error
    return data


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
