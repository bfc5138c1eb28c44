"""The ``reasoning_gym`` grader: the package's own scorers, in a sandbox, where they can be trusted.

``reference`` is ``{"task": name, "entry": {"question", "answer", "metadata"}}``; the entry may be JSON text.
Most tasks never reach the package: those with the inherited scorer compare strings, which is done
here, and those whose scorer executes or misjudges answers are in `evolve_llm_problems.reasoning_gym_checks`.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from evolve_llm.grading.base import Grade, Isolation, Verdict
from evolve_llm.grading.normalize import lined, spaced
from evolve_llm_problems.reasoning_gym_checks import DECIDED, REFUSED, right, wrong

_REGISTERED = re.compile(r"register_dataset\(\s*(?:\"(\w+)\"|(\w+))\s*,\s*(\w+)")


class ReasoningGymGrader:
    """Correct means a score of exactly 1.0; partial credit is kept in ``Verdict.score``."""

    name: Final = "reasoning_gym"

    def isolation(self, reference: Any) -> Isolation:
        """``worker`` for tasks whose answers are only compared; ``sandbox`` for every other scorer."""
        task = reference.get("task") if isinstance(reference, Mapping) else None
        return "worker" if task in DECIDED or task in plain_tasks() else "sandbox"

    def quick(self, answer: str, reference: Any) -> Verdict | None:
        """Settles the oracle's own answer, compared tasks, and answers outside a task's notation."""
        task, entry = _unpack(reference)
        oracle = entry.get("answer")
        if isinstance(oracle, str) and oracle.strip() and lined(answer) == lined(oracle):
            return right("exact-text")
        if task in DECIDED:
            return DECIDED[task](answer, entry)
        if task in REFUSED:
            rule = REFUSED[task](answer, entry)
            if rule is not None:
                return wrong(rule)
        if task in plain_tasks() and isinstance(oracle, str):
            return wrong("exact-text", _contained(answer.strip(), oracle))
        return None

    def grade(self, answer: str, reference: Any) -> Verdict:
        """What `quick` says, else the score of the package's scorer."""
        settled = self.quick(answer, reference)
        if settled is not None:
            return settled
        task, entry = _unpack(reference)
        dataset = _dataset(task)
        usable = _usable(dataset, entry)
        if usable is None:
            detail = f"the scorer of {task!r} does not accept this entry's own answer"
            return Verdict(Grade.UNGRADED, "bad-reference", detail=detail)
        try:
            score = max(float(dataset.score_answer(text, usable)) for text in {answer.strip(), answer})
        except MemoryError:
            raise
        except Exception as error:
            # The scorer works on this entry (just checked), so what it stumbled over is the answer.
            return Verdict(Grade.INCORRECT, "scorer-raised", 0.0, type(error).__name__)
        if score == 1.0:
            return right("reasoning-gym")
        known = math.isfinite(score) and 0.0 <= score < 1.0
        return Verdict(Grade.INCORRECT, "reasoning-gym", score if known else None)

    def quick_canonical(self, answer: str) -> str:
        """The text with its white space normalised: what is equivalent differs from task to task."""
        return spaced(answer)

    def canonical(self, answer: str) -> str:
        """The form of `quick_canonical`."""
        return spaced(answer)

    def warm(self, reference: Any) -> None:
        """Import the package and build the task's data set, once per worker."""
        plain_tasks()  # remembered here, so that no child reads the package's source again
        if reference is not None:
            _dataset(_unpack(reference)[0])


def _unpack(reference: Any) -> tuple[str, dict[str, Any]]:
    """The task and its entry. Raises ValueError for any other shape."""
    if not isinstance(reference, Mapping) or not isinstance(reference.get("task"), str):
        raise ValueError("a reasoning_gym reference is {'task': name, 'entry': {...}}")
    entry = reference.get("entry")
    if isinstance(entry, str):
        entry = json.loads(entry)
    if not isinstance(entry, Mapping):
        raise ValueError(
            "the entry of a reasoning_gym reference must be an object with question, answer, metadata"
        )
    return reference["task"], dict(entry)


def _contained(answer: str, oracle: str) -> float:
    """The package's inherited partial credit: the share of the answer that the oracle's text makes up."""
    return min(0.99, len(oracle) / len(answer)) if oracle and oracle in answer else 0.0


@cache
def plain_tasks() -> frozenset[str]:
    """The tasks that inherit the package's string comparison, read from its source without importing it.

    A file that so much as mentions ``score_answer`` is left out, and so is a class with any other base.
    """
    spec = importlib.util.find_spec("reasoning_gym")
    found = set()
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(root).rglob("*.py"):
            source = path.read_text(encoding="utf-8", errors="replace")
            if "score_answer" in source:
                continue
            for quoted, constant, class_name in _REGISTERED.findall(source):
                value = (
                    re.search(rf"^{constant}\s*=\s*[\"'](\w+)[\"']", source, re.MULTILINE)
                    if constant
                    else None
                )
                name = quoted or (value[1] if value else "")
                if name and re.search(rf"^class {class_name}\(ProceduralDataset\):", source, re.MULTILINE):
                    found.add(name)
    return frozenset(found)


@cache
def _dataset(task: str) -> Any:
    """The task's data set with its default configuration. Only ever called in a worker."""
    from reasoning_gym import create_dataset

    return create_dataset(task)


def _usable(dataset: Any, entry: dict[str, Any]) -> dict[str, Any] | None:
    """The entry in a form whose own answer the scorer gives full marks, or None.

    JSON turns tuples into lists, and some scorers compare with tuples. Where a task has no single oracle
    answer the scorer must at least not fail on an empty one.
    """
    oracle = entry.get("answer")
    for form in (entry, {**entry, "metadata": _tuples(entry.get("metadata"))}):
        try:
            score = dataset.score_answer(oracle if isinstance(oracle, str) else "", form)
        except Exception:
            continue
        if not isinstance(oracle, str) or score == 1.0:
            return form
    return None


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return value


grader = ReasoningGymGrader()
