"""Runs that training sets are made from: of the scripted backend, and of the fly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from evolve_llm import Problem, Run, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.nouns.request import Request


def sums(count: int = 30, **changes: Any) -> list[Problem]:
    """Additions with a reference of four letters or more, so that a leak of it can be seen."""
    made = []
    for n in range(count):
        given = {
            "question": f"What is {n} and one more, in words?",
            "format": "boxed",
            "grader": "exact",
            "reference": f"number{n + 1}",
        }
        made.append(Problem(id=f"sum/{n}", **(given | changes)))
    return made


def guessing(accuracy: float = 0.4) -> Callable[[Request], str]:
    """A model that is right at random; its chains are long enough to be told apart."""

    def respond(request: Request) -> str:
        rng = Random(request.seed)
        number = int(request.problem.split("/")[1]) + 1
        answer = f"number{number}" if rng.random() < accuracy else f"digit{rng.randrange(3)}"
        return f"I think {rng.randrange(10**6)} times. \\boxed{{{answer}}}"

    return respond


def scripted_run(
    out: Path, problems: list[Problem] | None = None, accuracy: float = 0.4, **settings: Any
) -> Run:
    """A finished run of the scripted backend."""
    given = {"preset": "rsa", "population": 6, "parents": 3, "generations": 3} | settings
    window = given.pop("window", None)
    model = given.pop("model", None) or Scripted(guessing(accuracy), context_length=window)
    return evolve(problems or sums(), model=model, out=out, **given)


class Stopped(Exception):  # noqa: N818 - plays a kill
    """Raised where a training is cut."""


def stop_after(step: int) -> Callable[[dict[str, Any]], None]:
    """For ``on_step``: cuts a training once this step is done."""

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == step:
            raise Stopped

    return stop
