"""The contract of graders: right is right, however the rest of the world is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from unittest import SkipTest

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.grading.base import Grader
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.testing.strategies import hostile_texts
from evolve_llm.testing.wording import CONTRACT, broken, shown

Case = tuple[Any, str]


class GraderContract:
    """What the engine asks of every grader.

    Set ``grader`` to the object; ``right`` and ``wrong`` to pairs of a reference and an answer that must be graded
    correct, or must not; and ``equal`` to pairs of answers that mean the same. Nothing is run in a sandbox here:
    ``hostile`` is False for a grader whose ``grade`` may execute the answer, which then is only asked what is safe.
    """

    grader: ClassVar[Grader]
    right: ClassVar[Sequence[Case]] = (("4", "4"), ("B", "B"))
    wrong: ClassVar[Sequence[Case]] = (("4", "5"), ("B", "C"))
    equal: ClassVar[Sequence[tuple[str, str]]] = ()
    hostile: ClassVar[bool] = True

    def test_it_is_a_grader(self) -> None:
        """It has all the methods, and says where it is to run."""
        if not isinstance(self.grader, Grader) or not self.grader.name:
            broken(
                f"a {type(self.grader).__name__} lacks a name or methods of evolve_llm.grading.base.Grader"
            )
        for reference, _ in self.right:
            if (said := self.grader.isolation(reference)) not in ("worker", "sandbox", "own"):
                broken(f"isolation must be 'worker', 'sandbox' or 'own', but it is {said!r}")

    def test_the_right_answer_is_correct(self) -> None:
        """Each of ``right``; at least one of them is a reference it knows what to do with."""
        known = 0
        for reference, answer in self.right:
            verdict = self._grade(answer, reference)
            if verdict.grade is Grade.INCORRECT:
                broken(
                    f"the answer {shown(answer)} to the reference {shown(reference)} is graded "
                    f"incorrect ({verdict.rule})"
                )
            known += verdict.correct
        if not known:
            given = shown([reference for reference, _ in self.right], 200)
            raise SkipTest(f"it grades none of the references {given}: give it some it knows")

    def test_a_wrong_answer_is_not(self) -> None:
        """Each of ``wrong``, and an empty answer to any reference."""
        for reference, answer in (*self.wrong, *((reference, "") for reference, _ in self.right)):
            if self._grade(answer, reference).correct:
                broken(f"the answer {shown(answer)} to the reference {shown(reference)} is graded correct")

    @CONTRACT
    @given(answer=hostile_texts(), data=st.data())
    def test_never_raises(self, answer: str, data: st.DataObject) -> None:
        """Whatever the answer is: a verdict with a rule, and a canonical form."""
        if len(answer) > 30_000:
            answer = answer[:30_000]  # the engine cuts the others off
        reference = data.draw(st.sampled_from([reference for reference, _ in self.right]))
        self._forms(answer)
        if not self.hostile:
            self._quick(answer, reference)
            return
        verdict = self._grade(answer, reference)
        if not verdict.rule:
            broken(f"the verdict on {shown(answer)} names no rule")
        quick = self._quick(answer, reference)
        if quick is not None and quick.grade is not verdict.grade:
            broken(
                f"the answer {shown(answer)} to {shown(reference)} is {quick.grade} by quick ({quick.rule}) and "
                f"{verdict.grade} by grade ({verdict.rule})"
            )

    def test_quick_agrees_with_grade(self) -> None:
        """Where the short cut settles a known case, it settles it as the full comparison does."""
        for reference, answer in (*self.right, *self.wrong):
            quick = self._quick(answer, reference)
            if quick is not None and quick.grade is not (full := self._grade(answer, reference)).grade:
                broken(
                    f"the answer {shown(answer)} to {shown(reference)} is {quick.grade} by quick and "
                    f"{full.grade} by grade"
                )

    def test_equivalent_answers_share_a_class_and_others_do_not(self) -> None:
        """Each pair of ``equal`` has one canonical form; a wrong answer is not in the right one's class."""
        for _, answer in (*self.right, *self.wrong):
            if self._forms(answer) != self._forms(answer):
                broken(f"asked twice, the canonical forms of {shown(answer)} differ")
        for reference, answer in self.wrong:
            if isinstance(reference, str) and self._best_form(answer) == self._best_form(reference):
                broken(
                    f"{shown(answer)} and {shown(reference)} are different answers with the same "
                    "canonical form"
                )
        for one, other in self.equal:
            if self._best_form(one) != self._best_form(other):
                broken(
                    f"the answers {shown(one)} and {shown(other)} mean the same, but their canonical forms "
                    f"are {shown(self._best_form(one))} and {shown(self._best_form(other))}"
                )

    def _grade(self, answer: str, reference: Any) -> Verdict:
        try:
            verdict = self.grader.grade(answer, reference)
        except Exception as error:
            broken(f"grade raised {type(error).__name__} on {shown(answer)}: {shown(str(error), 200)}")
        if not isinstance(verdict, Verdict):
            broken(f"grade gave {shown(verdict)} for {shown(answer)}, which is not a Verdict")
        return verdict

    def _quick(self, answer: str, reference: Any) -> Verdict | None:
        try:
            return self.grader.quick(answer, reference)
        except Exception as error:
            return broken(f"quick raised {type(error).__name__} on {shown(answer)}: {shown(str(error), 200)}")

    def _forms(self, answer: str) -> list[str]:
        """The canonical forms of an answer, the short cut's first."""
        try:
            quick = self.grader.quick_canonical(answer)
            full = [] if quick is not None and not self.hostile else [self.grader.canonical(answer)]
        except Exception as error:
            broken(
                f"its canonical form of {shown(answer)} raised {type(error).__name__}: {shown(str(error), 200)}"
            )
        return full if quick is None else [quick, *full]

    def _best_form(self, answer: str) -> str:
        """The form the engine uses: the short cut's where there is one."""
        return self._forms(answer)[0]
