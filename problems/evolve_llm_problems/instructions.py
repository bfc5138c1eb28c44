r"""Answer-format instructions that data sets carry at the end of a question.

Our prompt templates say how to write the answer; a question that says it too would say it twice, or say
something else. Only a closing sentence that names the place of the answer (``\boxed{}``, ``<answer>``) goes,
and only if it is made of the stock words below: "give the remainder modulo 9 in \boxed{}" belongs to
the question.
"""

from __future__ import annotations

import re

_STOCK_WORDS = """
    a an and answer answers as at be between boxed by careful carefully choice clearly conclude correct
    e enclose enclosed end ending ends example final finally first follow following for form format g
    give given in inside into is it let lets letter letters like make of on only option options output
    place please present problem provide put question reason reasoning remember respond response return
    s should show single so solution solve step sure surround tag tags that the then think thinking this
    to us using with within without wrap wrapped write x you your
"""
_STOCK = frozenset(_STOCK_WORDS.split())
_PLACE = re.compile(r"\\{1,2}boxed\b|</?answer>", re.IGNORECASE)
_BOX = re.compile(r"\\{1,2}boxed\s*(\{[^{}\n]{0,20}\})?", re.IGNORECASE)
_TAGS = re.compile(r"</?answer>", re.IGNORECASE)
_SENTENCE_START = re.compile(
    r"(?:^|\n|(?<=[.?!:$)\]}])[ \t]+|[ \t]+(?=let'?s think|let us think|please|think step))", re.IGNORECASE
)
_THINK = re.compile(
    r"(?:^|\s)(?:please )?(?:let'?s |let us )?(?:think|reason|solve|work)[a-z ]{0,20} step[ -]by[ -]step"
    r"\s*[.:!]?$",
    re.IGNORECASE,
)
_PROSE = re.compile(r"[a-z\s,.;:!'\"()-]*")
_ANSWER = frozenset({"answer", "option", "letter"})
# Instructions are short and last: the search looks at no more than this.
_TAIL = 400


def split_instruction(question: str) -> tuple[str, str, str | None]:
    """``(bare question, instruction, format)``; instruction empty and format None where none is known.

    The format is ``option``, ``boxed`` or ``tags``. A question that would be left empty is left whole.
    """
    text = question.rstrip()
    offset = max(0, len(text) - _TAIL)
    for start in _SENTENCE_START.finditer(text, offset):
        instruction = text[start.end() :].strip()
        place = _PLACE.search(instruction)
        if place and _is_stock(instruction):
            bare = _THINK.sub("", text[: start.start()].rstrip()).rstrip()
            if not bare:
                return question, "", None
            return bare, instruction, _format(instruction, place.group())
    return question, "", None


def _is_stock(instruction: str) -> bool:
    prose = _BOX.sub(" ", _TAGS.sub(" ", instruction)).lower()
    words = set(re.findall(r"[a-z]+", prose))
    return _PROSE.fullmatch(prose) is not None and words <= _STOCK and not words.isdisjoint(_ANSWER)


def _format(instruction: str, place: str) -> str:
    if re.search(r"\b(letter|option|choice)s?\b", instruction, re.IGNORECASE):
        return "option"
    return "tags" if "answer>" in place.lower() else "boxed"
