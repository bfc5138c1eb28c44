"""Which problems are for training and which for testing, and that nobody is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem

_KEY = b"evolve-llm train"  # another key is another split: it never changes


def position(problem: str) -> float:
    """Where a problem's id lies in [0, 1): the same in every run, on every machine, whatever else the set holds."""
    digest = hashlib.blake2b(problem.encode("utf-8", "surrogatepass"), digest_size=8, key=_KEY).digest()
    return int.from_bytes(digest, "big") / 2**64


def split(problems: Sequence[Problem], test_share: float) -> tuple[list[Problem], list[Problem]]:
    """The problems for training and those for testing, in their order, by their ids alone.

    About ``test_share`` (in [0, 1)) of them are for testing. A problem's side never depends on the others, so a
    larger set of the same ids moves nobody. Raises UserError where no problem is left for training, or where a
    question stands on both sides under two ids.
    """
    if not 0 <= test_share < 1:
        raise UserError(
            f"the share of test problems must be from 0 up to (not including) 1, got {test_share}"
        )
    train = [one for one in problems if position(one.id) >= test_share]
    test = [one for one in problems if position(one.id) < test_share]
    if not train:
        raise UserError(
            f"with a test share of {test_share} none of the {len(problems)} problem(s) is left for training; "
            "write a smaller --test-share, or give a run with more problems"
        )
    refuse_overlap(train, {"the test part of the run": test})
    return train, test


def refuse_overlap(train: Iterable[Problem], tests: Mapping[str, Iterable[Problem]]) -> None:
    """Raises UserError where a training problem is also a test problem, by its id or by its question.

    ``tests`` are the test problems by what to call them in the error. Questions are compared without regard to
    white space and case.
    """
    ids: dict[str, str] = {}
    questions: dict[str, str] = {}
    for one in train:
        ids[one.id] = questions[_folded(one.question)] = one.id
    for name, problems in tests.items():
        twice = [
            (one.id, ids.get(one.id) or questions[_folded(one.question)])
            for one in problems
            if one.id in ids or _folded(one.question) in questions
        ]
        if twice:
            shown = ", ".join(a if a == b else f"{b} (there {a})" for a, b in twice[:3])
            raise UserError(
                f"{len(twice)} training problem(s) are also in {name}: {shown}"
                f"{', ...' if len(twice) > 3 else ''}; train on a run of other problems"
            )


def _folded(question: str) -> str:
    return " ".join(question.split()).casefold()
