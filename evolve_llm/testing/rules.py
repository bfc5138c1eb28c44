"""The contracts of the small operators: rules that stop a problem, and rules that adapt a mixture."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.errors import EvolveError, OperatorError
from evolve_llm.scheme.applying import adapted
from evolve_llm.scheme.declarations import Stopping, declaration
from evolve_llm.testing.strategies import populations
from evolve_llm.testing.wording import (
    CONTRACT,
    SECRET,
    broken,
    members,
    problem,
    shown,
    state,
    unchanged,
    unseeded,
)


class StoppingContract:
    """What the engine asks of every stopping rule: a pure function of one problem's history.

    Set ``rule`` to the operator, parameters bound.
    """

    rule: ClassVar[Callable[..., Any]]

    @CONTRACT
    @given(
        history=st.lists(populations(failed=True, max_size=4), min_size=1, max_size=5),
        spent=st.integers(0, 9999),
    )
    def test_says_yes_or_no(self, history: list[list[Candidate]], spent: int) -> None:
        """A truth value for any history, all failed included."""
        failed = Candidate("p", len(history), 0, "sample", status=Status.FAILED, reason="timeout")
        for generations in (history, [*history, [failed]]):
            said = self._said(generations, spent)
            if not isinstance(said, bool):
                broken(f"it said {shown(said)}, which is neither True nor False")

    @CONTRACT
    @given(
        history=st.lists(populations(failed=True, max_size=4), min_size=1, max_size=5),
        spent=st.integers(0, 9999),
    )
    def test_is_a_function_of_its_arguments(self, history: list[list[Candidate]], spent: int) -> None:
        """Said twice, the same; nothing is changed, no generator is touched, and the reference has no say."""
        before = [[state(one) for one in population] for population in history]
        first = unseeded(lambda: self._said(history, spent), outer=1)
        for known, population in zip(before, history, strict=True):
            unchanged(known, population)
        for reference in (SECRET, "4", None):
            again = unseeded(lambda: self._said(copy.deepcopy(history), spent, reference), outer=2)  # noqa: B023
            if again != first:
                broken(
                    f"for the generations {'; '.join(map(members, history))} it said {first} and, asked again, {again}"
                )

    def _said(self, history: list[list[Candidate]], spent: int, reference: Any = SECRET) -> Any:
        given = {"spent": spent} if declaration(Stopping, self.rule).spending else {}
        try:
            return self.rule(problem(reference), history, **given)
        except (AssertionError, EvolveError):
            raise
        except Exception as error:
            broken(
                f"for the generations {'; '.join(map(members, history))} it raised {type(error).__name__}: "
                f"{shown(str(error), 200)}"
            )


_REWARDS = st.lists(st.sampled_from((0.0, 0.5, -0.5, 1.0, 1e-9, 1e6)), max_size=6)


@st.composite
def _mixtures(draw: st.DrawFn) -> tuple[list[float], list[list[float]]]:
    shares = draw(st.lists(st.integers(1, 9), min_size=2, max_size=4))
    return [one / sum(shares) for one in shares], [draw(_REWARDS) for _ in shares]


class AdaptationContract:
    """What the engine asks of every adaptation: probabilities in, probabilities out.

    Set ``adapt`` to the operator, parameters bound.
    """

    adapt: ClassVar[Callable[..., Any]]

    @CONTRACT
    @given(mixture=_mixtures())
    def test_gives_a_probability_for_each_operator(
        self, mixture: tuple[list[float], list[list[float]]]
    ) -> None:
        """As many as there are, none below 0, their sum 1, whatever the rewards; operators never tried included."""
        self._given(*mixture)  # anything else is refused where it is applied

    @CONTRACT
    @given(mixture=_mixtures())
    def test_is_a_function_of_its_arguments(self, mixture: tuple[list[float], list[list[float]]]) -> None:
        """Asked twice, the same; nothing is changed and no generator is touched."""
        kept = copy.deepcopy(mixture)
        first = unseeded(lambda: self._given(*mixture), outer=1)
        if mixture != kept:
            broken(f"it changed what it was given from {kept} to {mixture}")
        if (again := unseeded(lambda: self._given(*kept), outer=2)) != first:
            broken(f"for the same rewards {kept[1]} it gave {first} and, asked again, {again}")

    def _given(self, probabilities: list[float], rewards: list[list[float]]) -> list[float]:
        told = f"for the probabilities {probabilities} and the rewards {rewards}"
        try:
            return adapted(self.adapt, probabilities, rewards)
        except OperatorError as error:
            broken(f"{told}: {error}")
