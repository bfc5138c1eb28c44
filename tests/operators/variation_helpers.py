"""Driving variation operators by hand, without a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from evolve_llm import Candidate, Problem
from evolve_llm.nouns.errors import RequestError
from evolve_llm.nouns.request import Completion, Prompt
from evolve_llm.scheme.operator import Consult, Copy

FORMATS = ("boxed", "tags", "option", "code", "text")


def problem(form: str = "boxed", reference: object = None) -> Problem:
    return Problem("p", "What is 2 + 2?", form, "exact", reference)


def parents(
    *texts: str, answers: Sequence[str | None] = (), classes: Sequence[str | None] = ()
) -> list[Candidate]:
    """Candidates of generation 0 with these texts; each answer is its class unless classes are given."""
    found = []
    for slot, text in enumerate(texts):
        answer = answers[slot] if answers else None
        known = classes[slot] if classes else answer
        found.append(Candidate("p", 0, slot, "sample", text, answer, known))
    return found


def text_of(prompt: Prompt) -> str:
    """All messages of a prompt."""
    return "\n".join(message.content for message in prompt.messages)


def drive(made: Any, *answers: str | RequestError) -> tuple[list[Prompt | Consult], Prompt | Copy]:
    """What an operator asks on the way, answered in order, and what it makes in the end."""
    if not isinstance(made, Generator):
        assert not answers
        return [], made
    asked: list[Prompt | Consult] = []
    replies = iter(answers)
    reply: Completion | RequestError | None = None
    while True:
        try:
            wanted = made.throw(reply) if isinstance(reply, RequestError) else made.send(reply)
        except StopIteration as stop:
            assert next(replies, None) is None, "the operator asked fewer times than expected"
            return asked, stop.value
        asked.append(wanted)
        answer = next(replies)
        reply = answer if isinstance(answer, RequestError) else Completion(answer)
