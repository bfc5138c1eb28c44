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
from evolve_llm.scheme.statements import last_statement

_BOX = re.compile(r"\\(?:f?boxed|fbox)\s*(?=\{)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BETWEEN = 120
"""Characters between two boxes of one statement at most."""
_MOST_BOXES = 64
"""Boxes of one statement at most."""
_JOINT = re.compile(
    r"(?:\n\s*+(?:[-*•]|\d{1,2}[.)])\s|\s|\$|\\[()\[\],;:! ]|\\\\|[,;&*{}]|[.:](?=\s*+(?:[\n*$({\\]|$))|\\q?quad"
    r"|\\(?:text|textbf|mathrm|mbox)(?![a-zA-Z])|\b(?:and|or|for|parts?|cases?|the)\b|\(?(?:[a-h]|[1-9]|i{1,3}|iv|v)\)[.:]?)*+",
    re.IGNORECASE,
)
_CONJUNCTION = re.compile(r"\b(?:and|or)\b", re.IGNORECASE)
_APART = re.compile(
    r"[\n.?!=:<>]|\b(?:is|are|was|were|not?|so|but|thus|hence|then|therefore|instead|rather|actually|wait|sorry|correct\w*"
    r"|wrong|mistake|again|check\w*|gives?|equals?|becomes?|final\w*|answers?|which|since|because)\b",
    re.IGNORECASE,
)
_BOX_NAME = re.compile(r"(?<![A-Za-z0-9_\\^}])(\\?[A-Za-z](?:_(?:\{\w{1,3}\}|\w))?)\s*=\s*\$?\s*$")
_TAG_OPEN = re.compile(r"<answer>", re.IGNORECASE)
_TAG_CLOSE = re.compile(r"</answer>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([^\n`]*)$", re.MULTILINE)
_PYTHON = frozenset({"", "python", "python3", "py", "py3"})


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
    same name beside the variation operators. ``like`` names another format whose prompts serve this one too.
    ``reading`` is put before the rule of every verdict, for a format that has to guess where the answer is.
    ``pictures``, where questions and answers hold grids of colours, gives
    those of a text in order, so that ``show`` can draw them.
    """

    name: str
    extract: Callable[[str], str | None]
    prompts: Path | Traversable | None = None
    like: str = ""
    reading: str = ""
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


def final_boxes(text: str) -> str | None:
    r"""The answer that the last statement boxes: the content of its box, or of all its boxes, with commas between.

    Boxes belong to one statement where nothing but punctuation, ``and``, ``or``, labels of parts and the names of
    what is boxed stand between them, or where one sentence joins them with ``and`` or ``or`` and says nothing of a
    correction. Otherwise the last box is a second try, or a later step, and is read alone. A box that is repeated
    counts once. The last box alone gives what ``last_boxed`` gives.
    """
    boxes = _outer_boxes(text)[-_MOST_BOXES:]
    run = boxes[-1:]
    for before in reversed(boxes[:-1]):
        if not _together(text[before.end + 1 : run[-1].begin]):
            break
        run.append(before)
    contents = [(_named(text, one) + text[one.start + 1 : one.end]).strip() for one in reversed(run)]
    different = list({"".join(one.split()): one for one in contents if one})
    if len(different) < 2:
        return last_boxed(text)
    by_dense = {"".join(one.split()): one for one in contents if one}
    return ", ".join(by_dense[one] for one in different)


@dataclass(frozen=True)
class _Box:
    """Where the command begins, and where its braces stand."""

    begin: int
    start: int
    end: int


def _outer_boxes(text: str) -> list[_Box]:
    """Complete boxes that stand in no other box, in order. One pass."""
    begins = {match.end(): match.start() for match in _BOX.finditer(text)}
    if not begins:
        return []
    opened: list[int] = []
    found: list[_Box] = []
    for match in _BRACE.finditer(text, min(begins)):
        place = match.start()
        if text[place] == "{":
            opened.append(place)
        elif text[place] == "}" and opened:
            start = opened.pop()
            if start in begins:
                while found and found[-1].start > start:
                    found.pop()
                found.append(_Box(begins[start], start, place))
    return found


def _together(between: str) -> bool:
    """Whether what stands between two boxes joins them to one statement."""
    if len(between) > _BETWEEN:
        return False
    joined = _BOX_NAME.sub("", between)
    if _JOINT.fullmatch(joined):
        return True
    return _CONJUNCTION.search(joined) is not None and _APART.search(joined) is None


def _named(text: str, box: _Box) -> str:
    """``k = `` where it stands directly before a box."""
    match = _BOX_NAME.search(text[max(0, box.begin - 24) : box.begin])
    return f"{match[1]} = " if match is not None else ""


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
    """The last fenced code block, without its fences; None where the chain ends inside one.

    The language tag is optional. A block tagged as something other than Python (a sample output, say) is taken
    only where no other is there. A fence with a tag inside a block begins a new one: the block before it was
    never closed, and does not count.
    """
    blocks: list[tuple[str, str]] = []
    opened: tuple[str, str, int] | None = None
    for fence in _FENCE.finditer(text):
        mark, tag = fence[1], fence[2].strip().partition(" ")[0].lower()
        if opened is not None and not tag and mark.startswith(opened[0]):
            blocks.append((opened[1], text[opened[2] : fence.start()].strip("\n")))
            opened = None
        elif opened is None or (tag and mark.startswith(opened[0])):
            opened = (mark, tag, fence.end())
    if opened is not None and text[opened[2] :].strip():
        return None
    written = [(tag, block) for tag, block in blocks if block.strip()]
    python = [block for tag, block in written if tag in _PYTHON]
    return python[-1] if python else written[-1][1] if written else None


def whole_text(text: str) -> str | None:
    """Extract the whole chain, without white space around it."""
    return text.strip() or None


def stated(text: str) -> str | None:
    """What is boxed last; without a box, what the last statement says."""
    return final_boxes(text) or last_statement(text)


boxed = AnswerFormat("boxed", final_boxes)
boxed_or_stated = AnswerFormat("boxed_or_stated", stated, like="boxed", reading="last-statement")
tags = AnswerFormat("tags", last_tagged)
option = AnswerFormat("option", last_option)
code = AnswerFormat("code", last_code_block)
text = AnswerFormat("text", whole_text)
