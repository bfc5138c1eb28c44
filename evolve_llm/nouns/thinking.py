"""Thinking apart from the answer: a chain is what the model thought, if it did so aloud, and what it then said.

Linear in the length of the text: model output is hostile input.
"""

from __future__ import annotations

from typing import NamedTuple

OPEN, CLOSE = "<think>", "</think>"


class Chain(NamedTuple):
    """``thinking``: without its tags, empty where the model did not think aloud. ``answer``: the rest."""

    thinking: str
    answer: str


def apart(reasoning: str, text: str) -> Chain:
    """The two parts of a completion: the backend's own where it has a reasoning channel, else ``split_thinking``."""
    return Chain(reasoning, text) if reasoning.strip() else split_thinking(text)


def split_thinking(text: str) -> Chain:
    """Take inline thinking apart, without changing a character of either part.

    Everything before the last ``</think>`` is thinking; the opening tag may be missing, as many chat templates
    put it into the prompt. A ``<think>`` that begins the text, or what follows the last ``</think>``, and is never
    closed was cut in thought: all of it is thinking and the answer is empty. Other mentions of the
    opening tag are text. Thinking that is blank is none, and its tags go.
    """
    before, closed, after = text.rpartition(CLOSE)
    if after.lstrip().startswith(OPEN):
        thinking, answer = text, ""
    elif closed:
        thinking, answer = before, after
    else:
        return Chain("", text)
    opened = thinking.lstrip()
    if opened.startswith(OPEN):
        thinking = opened[len(OPEN) :]
    return Chain(thinking if thinking.strip() else "", answer)


def join_thinking(thinking: str, answer: str) -> str:
    """The chain as its children read it: as the model writes it, the opening tag put back.

    Without thinking it is the answer alone, as it is; without an answer the thought stays open.
    """
    if not thinking:
        return answer
    return f"{OPEN}{thinking}{CLOSE}{answer}" if answer or CLOSE in thinking else f"{OPEN}{thinking}"
