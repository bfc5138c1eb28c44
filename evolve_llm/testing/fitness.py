"""The contract of fitness: one tuple a candidate, and nothing that the reference could have told."""

from __future__ import annotations

import asyncio
import copy
import functools
import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.errors import OperatorError
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.nouns.verdict import Grade, Verdict
from evolve_llm.scheme.applying import measure
from evolve_llm.scheme.declarations import measures
from evolve_llm.testing.elsewhere import agree_everywhere
from evolve_llm.testing.strategies import HOSTILE
from evolve_llm.testing.wording import (
    CONTRACT,
    SECRET,
    BrokenError,
    broken,
    problem,
    shown,
    state,
    unchanged,
    unseeded,
)

Model = Callable[[str, int, str], Completion | None]

_SMALL = sorted((text for text in HOSTILE.values() if len(text) < 1_000), key=len)


@st.composite
def _live(draw: st.DrawFn) -> list[Candidate]:
    """What a fitness is handed: candidates that did not fail, of any text, with ties."""
    found = []
    for slot in range(draw(st.integers(1, 5))):
        answer = draw(st.sampled_from((None, "4", "5", "6")))
        text = draw(st.sampled_from(("a chain", "another chain, longer", *_SMALL)))
        one = Candidate("p", 0, slot, "sample", text, answer, answer)
        one.status = draw(st.sampled_from((Status.OK, Status.TRUNCATED)))
        one.text_tokens = one.completion_tokens = draw(st.integers(0, 9))
        one.logprobs = (-0.25,) * max(1, one.text_tokens)
        found.append(one)
    return found


class FitnessContract:
    """What the engine asks of every fitness (invariant I3).

    Set ``fitness`` to the operator, parameters bound. The model that answers ``ask`` is a fixed function of the
    candidate, the number of the call about it and the prompt; sometimes it answers nothing at all.
    """

    fitness: ClassVar[Callable[..., Any]]

    @CONTRACT
    @given(candidates=_live(), salt=st.integers(0, 99))
    def test_gives_finite_tuples_of_the_declared_length(self, candidates: list[Candidate], salt: int) -> None:
        """A list of one tuple a candidate, as long as its weights, of finite numbers."""
        self._values(candidates, _model(salt))  # anything else is refused where it is applied

    @CONTRACT
    @given(candidates=_live())
    def test_survives_a_model_that_never_answers(self, candidates: list[Candidate]) -> None:
        """Every call fails: there are values all the same."""
        self._values(candidates, lambda *_: None)

    @CONTRACT
    @given(candidates=_live(), salt=st.integers(0, 99))
    def test_changes_nothing_but_evidence(self, candidates: list[Candidate], salt: int) -> None:
        """Candidates are what they were, but for ``evidence``, and that holds lists of finite numbers."""
        given, were = problem(), list(candidates)
        before = [state(one, evidence=False) for one in candidates]
        self._values(candidates, _model(salt), given=given)
        if given != problem():
            broken(f"it changed the problem to {shown(given, 200)}")
        if [*map(id, were)] != [*map(id, candidates)]:
            broken(f"it changed the list of candidates it was given: {[one.uid for one in candidates]}")
        unchanged(before, candidates, evidence=False)
        for one in candidates:
            for key, found in one.evidence.items():
                if not isinstance(found, list) or not all(math.isfinite(number) for number in found):
                    broken(
                        f"the evidence {key!r} of {one.uid} must be a list of finite numbers, but it is "
                        f"{shown(found)}"
                    )

    @CONTRACT
    @given(candidates=_live(), salt=st.integers(0, 99))
    def test_is_a_function_of_the_answers(self, candidates: list[Candidate], salt: int) -> None:
        """Same answers, whichever came first: the same calls in the same order, and the same values."""
        first = unseeded(lambda: self._values(copy.deepcopy(candidates), _model(salt)), outer=1)
        for order in (1, 2):
            again = unseeded(
                functools.partial(self._values, copy.deepcopy(candidates), _model(salt), order=order), outer=2
            )
            if again.asked != first.asked:
                broken(
                    f"it asked about {[uid for uid, _ in first.asked]} and, when the answers came in "
                    "another order, about "
                    f"{[uid for uid, _ in again.asked]}: the calls must be made in a fixed order"
                )
            if again.values != first.values:
                broken(
                    f"for the same answers it gave {shown(first.values, 200)} and {shown(again.values, 200)}"
                )

    @CONTRACT
    @given(candidates=_live(), salt=st.integers(0, 99), data=st.data())
    def test_judges_candidates_wherever_they_stand(
        self, candidates: list[Candidate], salt: int, data: st.DataObject
    ) -> None:
        """The same candidates in another order get the same values."""
        order = data.draw(st.permutations(range(len(candidates))))
        straight = self._values(copy.deepcopy(candidates), _model(salt)).values
        turned = self._values([copy.deepcopy(candidates[place]) for place in order], _model(salt)).values
        for there, place in enumerate(order):
            one, other = straight[place], turned[there]
            if not all(
                math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(one, other, strict=True)
            ):
                broken(
                    f"candidate {candidates[place].uid} ({_case(candidates[place])}) got {one} "
                    f"standing at place {place} of "
                    f"{len(order)} and {other} at place {there}, among the same candidates"
                )

    @CONTRACT
    @given(candidates=_live(), salt=st.integers(0, 99))
    def test_never_sees_the_reference(self, candidates: list[Candidate], salt: int) -> None:
        """Another reference, or none: the same values and the same prompts. An oracle is told verdicts, and says so."""
        references = (SECRET, "4", "5", None)
        ways = [
            self._values(copy.deepcopy(candidates), _model(salt), given=problem(reference))
            for reference in references
        ]
        if any(SECRET in text for _, text in ways[0].asked):
            broken("the reference is in a prompt")
        for reference, way in zip(references[1:], ways[1:], strict=True):
            if (way.asked, way.values) != (ways[0].asked, ways[0].values):
                broken(
                    f"with the reference {reference!r} in the problem it gives "
                    f"{shown(way.values, 200)}, with {SECRET!r} "
                    f"{shown(ways[0].values, 200)}: a fitness that reads the reference must be declared an oracle"
                )

    @CONTRACT
    @given(candidates=_live())
    def test_asks_as_often_as_it_declares(self, candidates: list[Candidate]) -> None:
        """About no stranger, and where every call is answered no more often than ``calls`` and ``again`` say."""
        for attribute in ("calls", "again"):
            most = getattr(measures(self.fitness), attribute)
            asked = [uid for uid, _ in self._values(candidates, _obliging).asked]
            for one in candidates:
                if asked.count(one.uid) > most:
                    broken(
                        f"it asked {asked.count(one.uid)} times about candidate {one.uid}, but declares "
                        f"{attribute} = {most}, from which costs are estimated"
                    )
            strangers = {*asked} - {one.uid for one in candidates}
            if strangers:
                broken(f"it asked about {sorted(strangers)}, who are not among the candidates it was given")

    def test_gives_the_same_in_every_process(self) -> None:
        """Same candidates and answers, same values, on another day and with another seed of Python's hashes."""
        agree_everywhere(_scene, getattr(self.fitness, "__func__", self.fitness))

    def _values(
        self, candidates: list[Candidate], model: Model, *, given: Any = None, order: int = 0
    ) -> _Asked:
        return _measured(self.fitness, candidates, model, given=given, order=order)


class _Asked:
    """An ``ask`` that keeps the calls in order, and gives the answers in another."""

    def __init__(self, model: Model, order: int) -> None:
        self.model = model
        self.rng = Random(order)
        self.asked: list[tuple[str, str]] = []
        self.values: Any = None
        self._calls: dict[str, int] = {}
        self._order = order

    def __call__(self, candidate: Candidate, prompt: Prompt) -> Awaitable[Completion | None]:
        if not isinstance(prompt, Prompt):
            broken(f"it asks with a {type(prompt).__name__}, which is not a Prompt")
        number = self._calls.get(candidate.uid, 0)
        self._calls[candidate.uid] = number + 1
        text = "\x00".join(f"{one.role}: {one.content}" for one in prompt.messages)
        self.asked.append((candidate.uid, text))
        pauses = self.rng.randrange(6) if self._order else 0

        async def reply() -> Completion | None:
            for _ in range(pauses):
                await asyncio.sleep(0)
            return self.model(candidate.uid, number, text)

        return asyncio.ensure_future(reply())


def _model(salt: int) -> Model:
    def answer(uid: str, number: int, prompt: str) -> Completion | None:
        rng = Random(f"{salt}|{uid}|{number}|{len(prompt)}")
        fate = rng.random()
        if fate < 0.15:
            return None
        said = rng.choice(("Verdict: CORRECT", "Verdict: INCORRECT", "I cannot tell", "0.7", *_SMALL[:4]))
        likely = (("True", math.log(0.2 + 0.6 * rng.random())), ("False", math.log(0.1)))
        return Completion(
            said, "length" if fate > 0.9 else "stop", 10, 5, logprobs=(-0.5,) * 5, first_token=likely
        )

    return answer


def _obliging(uid: str, number: int, prompt: str) -> Completion:  # noqa: ARG001
    likely = (("True", -0.5), ("False", -1.5))
    return Completion("Verdict: CORRECT", "stop", 10, 5, logprobs=(-0.5,) * 5, first_token=likely)


def _measured(
    fitness: Callable[..., Any],
    candidates: list[Candidate],
    model: Model,
    *,
    given: Any = None,
    order: int = 0,
) -> _Asked:
    ask = _Asked(model, order)
    verdicts = {
        one.uid: Verdict(Grade.CORRECT if one.answer == "4" else Grade.INCORRECT, "exact-text")
        for one in candidates
    }
    told = "; ".join(map(_case, candidates))

    async def work() -> list[tuple[float, ...]]:
        shown_problem = problem() if given is None else given
        found = await measure(fitness, shown_problem, candidates, ask, verdicts=verdicts)
        return [one.values for one in found]

    try:
        with asyncio.Runner() as runner:
            ask.values = runner.run(work())
    except OperatorError as error:
        if isinstance(error.__cause__, BrokenError):  # told from inside the operator's own call
            raise error.__cause__ from None
        broken(f"for candidates of {told}: {error}")
    return ask


def _case(one: Candidate) -> str:
    return f"text {shown(one.text, 40)}, answer {one.answer!r}, {one.text_tokens} tokens"


def _scene(fitness: Callable[..., Any]) -> Any:
    candidates = [
        Candidate("p", 0, slot, "sample", f"chain {slot}", str(slot % 3), str(slot % 3), text_tokens=slot)
        for slot in range(6)
    ]
    for one in candidates:
        one.logprobs = (-0.25, -0.5)
    found = _measured(fitness, candidates, _model(1), given=problem(None))
    return found.asked, found.values
