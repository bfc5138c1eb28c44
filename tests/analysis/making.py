"""Candidates, populations and runs made by hand, for the tests of this folder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve_llm import Problem, Run, evolve
from evolve_llm.nouns.candidate import Candidate, Fitness, Status
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.record.store import StoredPopulation

CORRECT, INCORRECT = Verdict(Grade.CORRECT, "exact"), Verdict(Grade.INCORRECT, "exact")


def member(uid: str, answer: str | None = "a", parents: str = "", fitness: float | None = None) -> Candidate:
    """A candidate by its uid; ``parents`` are uids with spaces between; the answer ``fail`` is a failed one."""
    generation, slot = map(int, uid.split("."))
    one = Candidate(
        "p", generation, slot, "made", answer=answer, answer_class=answer, parents=tuple(parents.split())
    )
    if answer == "fail":
        one.answer = one.answer_class = None
        one.status = Status.FAILED
    if fitness is not None:
        one.fitness = Fitness()
        one.fitness.assign((fitness,))
    return one


def generation(number: int, answers: str, right: str = "", fitness: Sequence[float] = ()) -> StoredPopulation:
    """A population by the answers of its members: ``-`` is none, ``!`` a failed one, those in ``right`` are correct."""
    members = tuple(
        member(f"{number}.{slot}", {"-": None, "!": "fail"}.get(letter, letter))
        for slot, letter in enumerate(answers)
    )
    verdicts = {
        one.uid: CORRECT if (one.answer or "?") in right else INCORRECT for one in members if not one.failed
    }
    values = {one.uid: [value] for one, value in zip(members, fitness, strict=False)}
    return StoredPopulation(number, members, verdicts if right else {}, values)


def sums(count: int) -> list[Problem]:
    """Sums of three numbers, which the scripted model can read."""
    rng = random.Random(7)
    found = []
    for index in range(count):
        terms = [rng.randrange(10, 100) for _ in range(3)]
        question = f"What is {' + '.join(map(str, terms))}?"
        found.append(Problem(f"sum{index}", question, "boxed", "exact", str(sum(terms))))
    return found


def run_of(out: Path, preset: str = "rsa", problems: int = 6, **settings: Any) -> Run:
    """A small scripted run."""
    chosen: dict[str, Any] = {
        "model": "scripted:error=0.7",
        "population": 6,
        "generations": 4,
        "sampling": {"max_tokens": 256},
        **settings,
    }
    return evolve(sums(problems), preset, out=out, **chosen)
