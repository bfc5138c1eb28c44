"""Studies on a scripted model, for the tests of studies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.request import Request
from evolve_llm.study import run as running
from evolve_llm.study.run import carry_out
from evolve_llm.study.spec import Study, read_study

ARMS = """
[[arms]]
name = "uniform"
preset = "smoke"
[[arms]]
name = "other finish"
preset = "smoke"
expect = "0"
set = { finish = "random" }
[[arms]]
name = "balanced"
preset = "smoke"
expect = "+"
set = { select = "balanced" }
"""


def made(
    tmp_path: Path, arms: str = ARMS, top: str = "", problems: int = 6, also: Sequence[str] = ()
) -> Study:
    sums = tmp_path / "sums.jsonl"
    lines = [{"id": f"p{n}", "question": f"{n}+1?", "answer": str(n + 1)} for n in range(problems)]
    sums.write_text("".join(json.dumps(one) + "\n" for one in lines))
    file = tmp_path / "study.toml"
    head = "" if "name =" in top else 'name = "s"\n'
    sets = json.dumps([f"{sums}?grader=exact", *also])
    file.write_text(f'{head}model = "scripted"\nproblems = {sets}\n{top}\n{arms}')
    return read_study(file)


def scripted(
    monkeypatch: pytest.MonkeyPatch, deaths: int = 0, answer: Callable[[Request], str] | None = None
) -> list[Scripted]:
    """Every backend that the studies of a test make; each of the first ``deaths`` dies after 20 calls."""
    found: list[Scripted] = []

    def make(*_: object) -> Scripted:
        die = 20 if len(found) < deaths else None
        reply = answer or (lambda request: f"so \\boxed{{{request.seed % 7}}}")
        found.append(Scripted(reply, die_after=die))
        return found[-1]

    monkeypatch.setattr(running, "make_backend", make)
    return found


def carried(study: Study, folder: Path) -> dict[str, Any]:
    return asyncio.run(carry_out(study, folder))
