"""The contract of problem sets: problems any run can use, the same at every load, with their answers kept apart."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem
from evolve_llm.nouns.verdict import Grade
from evolve_llm.scheme import registry
from evolve_llm.scheme.problem_sets import check_problems
from evolve_llm.testing.wording import broken, shown


class ProblemContract:
    """What the engine asks of every problem set.

    Set ``load`` to a function of no arguments that gives the problems; the first ``limit`` of them are looked at.
    ``answer`` takes a reference to an answer that must be graded correct (None: there is no telling): by default a
    reference that is a text or a number is its own answer. Graders that need a sandbox are left to GraderContract.
    """

    load: ClassVar[Callable[[], Iterable[Problem]]]
    limit: ClassVar[int] = 20
    answer: ClassVar[Callable[[Any], str | None] | None] = None

    def test_gives_problems_a_run_can_use(self) -> None:
        """Known formats and graders, questions that are not empty, ids that are there and unique."""
        found = self._loaded()
        if not found:
            broken("it gives no problems at all")
        try:
            check_problems(found, "the set")
        except UserError as error:
            broken(str(error))

    def test_gives_the_same_problems_at_every_load(self) -> None:
        """Ids, questions and references; seeds are derived from the ids, so a resume depends on it."""
        for one, other in itertools.zip_longest(self._loaded(), self._loaded()):
            if one != other:
                broken(f"loaded twice, it gives {shown(one, 200)} and then {shown(other, 200)}")

    def test_survives_a_round_trip_through_json(self) -> None:
        """What the run directory stores is what comes back."""
        for one in self._loaded():
            plain = {
                "id": one.id,
                "question": one.question,
                "reference": one.reference,
                "metadata": dict(one.metadata),
            }
            again = json.loads(json.dumps(plain))
            if again != plain:
                key = next(key for key in plain if plain[key] != again[key])
                broken(
                    f"the {key} of problem {one.id!r} is {shown(plain[key], 200)} and comes back as "
                    f"{shown(again[key], 200)}"
                )

    def test_keeps_the_reference_out_of_sight(self) -> None:
        """Not in ``public()``, not in the metadata, and a reference of several words not in the question (I3)."""
        for one in self._loaded():
            if one.public().reference is not None:
                broken(f"problem {one.id!r} shows its reference in public()")
            if one.reference is None:
                continue
            text = one.reference if isinstance(one.reference, str) else json.dumps(one.reference)
            if len(text) >= 12 and text in one.question:
                broken(f"the question of problem {one.id!r} holds its reference {shown(text)}")
            if _holds(one.metadata, one.reference):
                broken(
                    f"the metadata of problem {one.id!r} holds its reference, and operators may see metadata"
                )

    def test_its_references_are_graded_correct(self) -> None:
        """By the grader that each problem names."""
        for one in self._loaded():
            if one.grader is None or one.reference is None:
                continue
            grader = registry.load("grader", one.grader)
            answer = self._answer_to(one.reference)
            if answer is None or grader.isolation(one.reference) != "worker":
                continue
            verdict = grader.grade(answer, one.reference)
            if verdict.grade is not Grade.CORRECT:
                broken(
                    f"problem {one.id!r}: the answer {shown(answer)} to its reference {shown(one.reference)} is graded "
                    f"{verdict.grade} by {one.grader!r} (rule {verdict.rule})"
                )

    def _loaded(self) -> list[Problem]:
        return list(itertools.islice(type(self).load(), self.limit))

    def _answer_to(self, reference: Any) -> str | None:
        custom = type(self).answer
        if custom is not None:
            return custom(reference)
        return str(reference) if isinstance(reference, str | int | float) else None


def _holds(metadata: Mapping[str, Any], reference: Any) -> bool:
    if isinstance(reference, str) and len(reference) < 4:
        return any(
            key in ("answer", "reference", "solution", "target") and metadata[key] == reference
            for key in metadata
        )
    return any(value == reference for value in metadata.values() if type(value) is type(reference))
