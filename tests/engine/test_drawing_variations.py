"""A variation operator that draws at random must say so, and is then the same on every restart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from evolve_llm import Candidate, Problem, Prompt, Run, StoreError, evolve, variation
from evolve_llm.backends.scripted import Scripted

PROBLEMS = [Problem("p", "What is 2 + 2?", "boxed", "exact", "4")]


def _mood(problem: Problem, parents: Sequence[Candidate]) -> Prompt:
    return Prompt.user(f"{random.random()} {problem.question} {len(parents)}")


declared = variation(arity=None, draws=True)(lambda problem, parents: _mood(problem, parents))
silent = variation(arity=None)(lambda problem, parents: _mood(problem, parents))


def _evolve(out: Path, operator: object, budget: int | None, concurrency: int) -> Run:
    model = Scripted(lambda request: f"{request.seed} \\boxed{{{request.seed % 5}}}")
    return evolve(
        PROBLEMS, "rsa", model, population=4, parents=2, generations=4, vary=operator, out=out,
        budget_tokens=budget, concurrency=concurrency,
    )  # fmt: skip


def test_a_declared_one_resumes_and_repeats(tmp_path: Path) -> None:
    _evolve(tmp_path / "whole", declared, None, 1)
    _evolve(tmp_path / "parts", declared, 200, 64)
    state = random.getstate()
    assert _evolve(tmp_path / "parts", declared, None, 3).complete
    assert random.getstate() == state
    whole, parts = ((tmp_path / name / "run.db").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_a_silent_one_is_told_at_the_resume(tmp_path: Path) -> None:
    _evolve(tmp_path / "run", silent, 200, 4)
    with pytest.raises(StoreError, match=r"draws=True"):
        _evolve(tmp_path / "run", silent, None, 4)
