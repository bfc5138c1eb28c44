"""A multiple-choice question as a stem and options, in an order drawn from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evolve_llm.nouns.seeding import derive

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKER = re.compile(r"^[ \t]*(?:option[ \t]*)?\(?([A-Z])[ \t]*[).:][ \t]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Choice:
    """``options`` in the order they are shown; ``right`` is the 0-based place of the right one, None unknown."""

    stem: str
    options: tuple[str, ...]
    right: int | None

    def written(self) -> str:
        """The question as the model sees it: the stem and one option a line, ``A. text``."""
        lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, self.options, strict=False)]
        return f"{self.stem}\n\n" + "\n".join(lines)


def shuffled(choice: Choice, order: Sequence[int]) -> Choice:
    """The options in this order of their places."""
    right = None if choice.right is None else list(order).index(choice.right)
    return Choice(choice.stem, tuple(choice.options[place] for place in order), right)


def drawn_order(count: int, seed: int, problem: str) -> list[int]:
    """An order of ``count`` options, drawn from the seed and the problem's id alone."""
    order = list(range(count))
    random.Random(derive(seed, problem, 0, 0, "options")).shuffle(order)
    return order


def taken_apart(question: str) -> tuple[str, tuple[str, ...]] | None:
    """Stem and options of a question that lists them in its text, ``A. text`` or ``Option A : text``; or None.

    The list is the last one that begins with A, goes on letter by letter, and ends the question. An option may
    have several lines.
    """
    marks = list(_MARKER.finditer(question))
    starts = [place for place, mark in enumerate(marks) if mark[1].upper() == "A"]
    for start in reversed(starts):
        listed = marks[start:]
        letters = "".join(mark[1].upper() for mark in listed)
        if len(listed) < 2 or not LETTERS.startswith(letters):
            continue
        ends = [*(mark.start() for mark in listed[1:]), len(question)]
        options = tuple(question[mark.end() : end].strip() for mark, end in zip(listed, ends, strict=True))
        if all(options):
            return question[: listed[0].start()].strip(), options
    return None
