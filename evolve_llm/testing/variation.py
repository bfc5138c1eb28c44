"""The contract of variation: what becomes of the parents' texts on their way into a prompt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.candidate import Candidate, Status
from evolve_llm.nouns.errors import OperatorError, RequestError
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.scheme.applying import conversation
from evolve_llm.scheme.declarations import Variation, declaration
from evolve_llm.scheme.operator import Consult, Copy
from evolve_llm.testing.elsewhere import agree_everywhere
from evolve_llm.testing.strategies import HOSTILE, hostile_texts
from evolve_llm.testing.wording import (
    CONTRACT,
    QUESTION,
    SECRET,
    broken,
    members,
    problem,
    shown,
    state,
    unchanged,
    unseeded,
)

Shows = Literal["texts", "answers", "nothing"]
Answers = Callable[[int], "str | RequestError"]

_SMALL = sorted((text for text in HOSTILE.values() if len(text) < 1_000), key=len)


class VariationContract:
    """What the engine asks of every variation operator (invariants I3, I4, I9).

    Set ``variation`` to the operator, parameters bound. ``shows`` is what of each parent stands in its prompts:
    the whole ``texts``, the final ``answers``, or ``nothing``; None finds out by one look. Whatever it is must
    stand there exactly, of every parent, in the plan's order, counting the prompts of all calls to the child.
    """

    variation: ClassVar[Callable[..., Any]]
    shows: ClassVar[Shows | None] = None

    @CONTRACT
    @given(texts=st.lists(hostile_texts(), min_size=1, max_size=4))
    def test_shows_every_parent_exactly_and_in_order(self, texts: list[str]) -> None:
        """No parent is dropped, none is altered, and they stand in the order of the plan."""
        parents = self._parents(texts)
        wanted = self._wanted(parents)
        prompts, made = self._driven(parents)
        if isinstance(made, Copy) or not wanted:
            return
        everything = "\x00\x00".join(map(_text, prompts))
        place = 0
        for number, text in enumerate(wanted):
            found = everything.find(text, place)
            if found < 0:
                why = (
                    "stands before the parent it should follow"
                    if text in everything
                    else "is not in the prompt"
                )
                broken(
                    f"parent {number + 1} of {len(wanted)}, whose text is {shown(text)}, {why}: every parent must be "
                    "shown, exactly as it is, in the order given"
                )
            place = found + len(text)

    @CONTRACT
    @given(texts=st.lists(hostile_texts(), min_size=1, max_size=3))
    def test_asks_the_question_exactly(self, texts: list[str]) -> None:
        """The last prompt holds the problem's question as it is."""
        _, made = self._driven(self._parents(texts))
        if isinstance(made, Prompt) and QUESTION not in _text(made):
            broken(f"the question {QUESTION!r} is not in the prompt {shown(_text(made), 300)}")

    @CONTRACT
    @given(texts=st.lists(st.sampled_from(_SMALL), min_size=1, max_size=4))
    def test_gives_prompts_or_copies_of_its_parents(self, texts: list[str]) -> None:
        """A Prompt with something in it, or a Copy of one of the parents; on the way Prompts and Consults."""
        parents = self._parents(texts)
        prompts, _ = self._driven(parents)
        for prompt in prompts:
            if not prompt.messages or not _text(prompt).strip():
                broken("it gives an empty prompt")

    @CONTRACT
    @given(texts=st.lists(st.sampled_from(_SMALL), min_size=1, max_size=3))
    def test_never_sees_the_reference(self, texts: list[str]) -> None:
        """Another reference, or none, and the prompts are the same (I3)."""
        parents = self._parents(texts)
        ways = [self._told(parents, reference=reference) for reference in (SECRET, "another", None)]
        if any(SECRET in text for text in ways[0]):
            broken(
                f"the reference is in the prompt {shown(next(text for text in ways[0] if SECRET in text), 300)}"
            )
        if ways[0] != ways[1] or ways[0] != ways[2]:
            broken("its prompts differ although only the problem's reference does")

    @CONTRACT
    @given(texts=st.lists(st.sampled_from(_SMALL), min_size=1, max_size=4))
    def test_changes_nothing_it_was_given(self, texts: list[str]) -> None:
        """Problem and parents are what they were."""
        parents = self._parents(texts)
        given, were, before = problem(), list(parents), [state(one) for one in parents]
        _drive(self.variation, given, parents, _replies)
        if given != problem():
            broken(f"it changed the problem to {shown(given, 200)}")
        if [*map(id, were)] != [*map(id, parents)]:
            broken(f"it changed the list of parents from {members(were)} to {members(parents)}")
        unchanged(before, parents)

    @CONTRACT
    @given(texts=st.lists(hostile_texts(), min_size=1, max_size=3))
    def test_is_a_function_of_its_arguments(self, texts: list[str]) -> None:
        """Same problem, same parents, same replies: the same prompts, and no global generator is touched."""
        parents = self._parents(texts)
        first = unseeded(lambda: self._told(parents), outer=1)
        for again in (
            unseeded(lambda: self._told(parents), outer=2),
            unseeded(lambda: self._told(copy.deepcopy(parents)), outer=3),
        ):
            if again != first:
                one, other = next(
                    ((a, b) for a, b in zip(first, again, strict=False) if a != b), (first, again)
                )
                broken(
                    f"called twice with the same parents, it gives {shown(one, 200)} and {shown(other, 200)}"
                )

    @CONTRACT
    @given(texts=st.lists(st.sampled_from(_SMALL), min_size=1, max_size=4), data=st.data())
    def test_ends_whatever_the_model_replies(self, texts: list[str], data: st.DataObject) -> None:
        """Calls that fail and replies of any kind: it ends within the bound, by a prompt or by RequestError alone."""
        parents = self._parents(texts)
        replies = data.draw(st.lists(st.one_of(st.none(), st.sampled_from(_SMALL)), max_size=8))

        def reply(call: int) -> str | RequestError:
            said = replies[call] if call < len(replies) else "a reply"
            return RequestError("timeout", "as scripted") if said is None else said

        try:
            _drive(self.variation, problem(), parents, reply)
        except RequestError:
            return

    def test_works_with_the_parents_that_are_left(self) -> None:
        """Failed parents are dropped before it is called: it takes any number from 1 to its arity."""
        arity = declaration(Variation, self.variation).arity
        if arity == 0:
            self._driven([])
            return
        for number in range(1, (arity or 4) + 1):
            parents = [
                Candidate("p", 0, slot, "sample", f"chain {slot}", "4", "4", status=status)
                for slot, status in enumerate((Status.OK, Status.TRUNCATED) * 2)
            ]
            try:
                self._driven(parents[:number])
            except BrokenCallError as error:
                broken(f"with {number} of its {arity or 'K'} parents left: {error}")

    def test_consults_about_a_parent_alone(self) -> None:
        """What it asks about a parent for one purpose is the same whoever the other parents are."""
        if declaration(Variation, self.variation).arity in (0, 1):
            return
        one, two, three = self._parents(["first", "second", "third"], exactly=3)
        asked: dict[tuple[str, str], str] = {}
        for parents in ([one, two], [two, one], [one, three]):
            for wanted in _drive(self.variation, problem(), parents, _replies)[0]:
                if isinstance(wanted, Consult):
                    text = asked.setdefault((wanted.about.uid, wanted.purpose), _text(wanted.prompt))
                    if text != _text(wanted.prompt):
                        broken(
                            f"it consults about {wanted.about.uid} for {wanted.purpose!r} with two different prompts"
                        )

    def test_gives_the_same_in_every_process(self) -> None:
        """Same parents, same prompts, on another day and with another seed of Python's hashes."""
        agree_everywhere(_scene, getattr(self.variation, "__func__", self.variation))

    def _parents(self, texts: Sequence[str], *, exactly: int | None = None) -> list[Candidate]:
        arity = declaration(Variation, self.variation).arity
        number = exactly if exactly is not None else len(texts) if arity is None else arity
        found = []
        for slot in range(number):
            answer = f"answer {slot}"
            one = Candidate("p", 0, slot, "sample", texts[slot % len(texts)], answer, answer)
            one.text_tokens = one.completion_tokens = 3 + slot
            found.append(one)
        return found

    def _wanted(self, parents: Sequence[Candidate]) -> list[str]:
        """What of each parent must stand in the prompts."""
        shows = self.shows or self._found_out()
        if shows == "nothing":
            return []
        return [one.text if shows == "texts" else one.answer or "" for one in parents]

    def _found_out(self) -> Shows:
        arity = declaration(Variation, self.variation).arity
        if arity == 0:
            return "nothing"
        parents = self._parents(["the first chain", "the second chain"], exactly=arity or 2)
        prompts, made = self._driven(parents)
        everything = " ".join(map(_text, prompts))
        if isinstance(made, Copy) or any(one.text in everything for one in parents):
            return "texts"
        if any((one.answer or "") in everything for one in parents):
            return "answers"
        return broken("it shows the model neither the text nor the answer of any parent")

    def _driven(
        self, parents: Sequence[Candidate], reference: Any = SECRET
    ) -> tuple[list[Prompt], Prompt | Copy]:
        """All prompts on the way and at the end; what it made."""
        asked, made = _drive(self.variation, problem(reference), parents, _replies)
        prompts = [one.prompt if isinstance(one, Consult) else one for one in asked]
        return [*prompts, made] if isinstance(made, Prompt) else prompts, made

    def _told(self, parents: Sequence[Candidate], reference: Any = SECRET) -> list[str]:
        prompts, made = self._driven(parents, reference)
        return [*map(_text, prompts), made.parent.uid if isinstance(made, Copy) else ""]


class BrokenCallError(AssertionError):
    """The operator raised where it must not."""


def _replies(call: int) -> str:
    return f"reply {call}"


def _text(prompt: Prompt) -> str:
    return "\x00".join(f"{message.role}: {message.content}" for message in prompt.messages)


def _drive(
    variation: Callable[..., Any], given: Any, parents: Sequence[Candidate], reply: Answers
) -> tuple[list[Prompt | Consult], Prompt | Copy]:
    """Call an operator as the engine does; raises what it may raise, RequestError, and BrokenCallError for others."""
    asked: list[Prompt | Consult] = []
    steps = conversation(variation, given, parents)
    answer: Completion | RequestError | None = None
    while True:
        try:
            wanted = steps.send(answer)  # type: ignore[arg-type]  # None starts it
        except StopIteration as stop:
            return asked, stop.value
        except OperatorError as error:
            shown_parents = [shown(one.text) for one in parents]
            raise BrokenCallError(f"for the parents {shown_parents}: {error}") from error
        said = reply(len(asked))
        asked.append(wanted)
        answer = said if isinstance(said, RequestError) else Completion(said)


def _scene(variation: Callable[..., Any]) -> list[str]:
    number = declaration(Variation, variation).arity
    parents = [
        Candidate("p", 0, slot, "sample", f"chain {slot}", str(slot % 2), str(slot % 2))
        for slot in range(4 if number is None else number)
    ]
    asked, made = _drive(variation, problem(None), parents, _replies)
    prompts = [one.prompt if isinstance(one, Consult) else one for one in asked]
    return [*map(_text, prompts), made.parent.uid if isinstance(made, Copy) else _text(made)]
