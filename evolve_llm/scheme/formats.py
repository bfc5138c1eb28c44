"""Answer formats: how a final answer is written in a chain, and how it is taken out again.

``extract`` functions are pure and linear in the length of the chain: model output is hostile input.
A plug-in adds a format by an entry point of the group ``evolve_llm.formats`` that names an
``AnswerFormat``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from evolve_llm.scheme.option_reading import AMBIGUOUS, in_prose, in_statement, own_words

_BOX = re.compile(r"\\f?boxed\s*(?=\{)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TAG_OPEN = re.compile(r"<answer>", re.IGNORECASE)
_TAG_CLOSE = re.compile(r"</answer>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[^\n`]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Placed:
    """A grid of colours (0 to 9) in a text: characters ``start`` to ``end``, and its rows, perhaps ragged."""

    start: int
    end: int
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class AnswerFormat:
    """A way of writing answers.

    ``extract`` takes a chain and gives its final answer as written, or None when there is none.
    ``prompts`` is the folder of the format's own templates; None means the built-in folder of the
    same name beside the variation operators. ``pictures``, where questions and answers hold grids of colours, gives
    those of a text in order, so that ``show`` can draw them.
    """

    name: str
    extract: Callable[[str], str | None]
    prompts: Path | Traversable | None = None
    pictures: Callable[[str], Sequence[Placed]] | None = None


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete ``\boxed{...}`` with balanced braces, or None.

    An escaped brace (``\{``) does not count. A box that never closes is passed over for the one before.
    One pass over the text, whatever it nests.
    """
    boxes = {match.end() for match in _BOX.finditer(text)}
    if not boxes:
        return None
    opened: list[int] = []
    last: tuple[int, int] | None = None
    for match in _BRACE.finditer(text, min(boxes)):
        place = match.start()
        character = text[place]
        if character == "{":
            opened.append(place)
        elif character == "}" and opened:
            start = opened.pop()
            if start in boxes and (last is None or start > last[0]):
                last = (start, place)
    return text[last[0] + 1 : last[1]].strip() or None if last else None


def last_tagged(text: str) -> str | None:
    """Content of the last ``<answer>...</answer>``; an unclosed last tag runs to the end of the text."""
    opens = list(_TAG_OPEN.finditer(text))
    if not opens:
        return None
    start = opens[-1].end()
    close = _TAG_CLOSE.search(text, start)
    return text[start : close.start() if close else len(text)].strip() or None


def last_option(text: str) -> str | None:
    r"""The letter of the option chosen last: boxed or tagged first, then stated ("the answer is C").

    Where no letter is named, the words in the box, in the tags or after "the answer is", which may be an option's own
    text. Two different letters in one statement are no answer.
    """
    inner = last_boxed(text) or last_tagged(text)
    letter = in_statement(inner) if inner else None
    if letter is None:
        before, _, after = text.rpartition(inner) if inner else ("", "", text)
        letter = in_prose(f"{before}{after}")
    return letter or (None if letter == AMBIGUOUS else inner or own_words(text))


def last_code_block(text: str) -> str | None:
    """The last complete fenced code block, without its fences."""
    fences = list(_FENCE.finditer(text))
    blocks = [text[a.end() : b.start()].strip("\n") for a, b in zip(fences[::2], fences[1::2], strict=False)]
    return next((block for block in reversed(blocks) if block.strip()), None)


def whole_text(text: str) -> str | None:
    """The chain itself, stripped."""
    return text.strip() or None


boxed = AnswerFormat("boxed", last_boxed)
tags = AnswerFormat("tags", last_tagged)
option = AnswerFormat("option", last_option)
code = AnswerFormat("code", last_code_block)
text = AnswerFormat("text", whole_text)
