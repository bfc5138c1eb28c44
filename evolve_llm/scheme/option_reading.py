r"""Which option a chain has chosen, in the ways that models state one.

``in_statement`` reads what stands in a box or in tags, ``in_prose`` the rest. Every pattern is bounded in what it may
skip, so the time is linear in the text. Two different letters in one statement are no answer.
"""

from __future__ import annotations

import re

AMBIGUOUS = ""
"""What is read from a statement that names two options."""

_LONGEST_STATEMENT = 2_000
_MOST_LOOKED_AT = 200  # statements, from the last backwards
_SKIN = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|boldsymbol|bf|rm|boxed)\b|\\[()\[\],;!:]|[{}$*_`\"“”]"
)
_BARE = re.compile(
    r"(?i:(?:the )?(?:correct |final )?(?:answer|option|choice|letter)?(?: is)?)\s*[:=]?\s*"
    r"(?i:(?:option|choice|letter)\s+)?[(\[]?\s*([A-Za-z])\s*[)\].:,;]{0,2}"
)
_WITH_TEXT = re.compile(
    r"(?i:option\s+|choice\s+)?(?:[(\[]([A-Za-z])[)\]][.:]?|([A-Z])\s?[).:]|([A-Z])\s+[-–—])\s*\S"
)
_MARKED = re.compile(r"(?<![A-Za-z0-9])([A-Z])[):](?=\s)|(?<![A-Za-z0-9}])[(\[]([A-Za-z])[)\]]")
_WORDS = re.compile(r"[A-Za-z]+|[^\sA-Za-z,/&;+().\[\]:]")
_JOINING = frozenset(
    {"and", "or", "both", "either", "nor", "option", "options", "choice", "choices", "answer", "answers"}
)

_WRAP = r"[\s*_`\"'“‘(\[{$\\]{0,12}(?:(?:text|textbf|mathrm|mathbf|boxed)\{[\s*(]{0,4})?"
_GLUE = r"[\s*_:=→\-–—`\"“$.]{0,10}"
_LETTER = r"(?:([A-Z])|(?<=\()([a-z])(?=\)))(?![A-Za-z0-9'’]|\s{0,2}(?:[=^+|<]|_[A-Za-z0-9{]))"
_BEFORE = r"(?:(?i:option|choice|letter|answer)[\s*_:]{1,4})?"
_VERB = (
    r"(?i:(?:is|are|was|be|must|should|would|will|has|to|seems|indeed|"
    r"therefore|thus|then|clearly|likely|probably|definitely|obviously)\b)"
)
_CHOSEN = re.compile(
    r"(?:(?i:\b(?:answers?|(?:correct|right|best|final|chosen)\s{1,3}(?:one|option|choice|letter|response|statement)"
    r"|choose|chose|select|selected|pick|picked|go\s{1,3}with|going\s{1,3}with|settle\s{1,3}on)\b)|答案)"
    r"(?i:\s{1,3}(?:choice|option|letter|here|to\s{1,3}(?:this|the)\s{1,3}(?:question|problem)))?[是为：]?"
    rf"{_GLUE}(?:{_VERB}{_GLUE}){{0,4}}{_BEFORE}{_WRAP}{_LETTER}"
)
_CORRECT = re.compile(
    r"(?<![A-Za-z0-9'’])([A-Z])[)*\]`\"”]{0,4}\s{1,3}(?i:is|seems|must\s{1,3}be|would\s{1,3}be|has\s{1,3}to\s{1,3}be)\s{1,3}"
    r"(?i:(?:therefore|thus|clearly|the|indeed|our|my|most\s{1,3}likely)\s{1,3}){0,2}(?i:correct|right|best|answer)\b"
)
_SO = re.compile(
    rf"(?i:\b(?:therefore|thus|hence|so)\b)[,:\s*]{{1,6}}{_BEFORE}{_WRAP}{_LETTER}[)*\]}}.$\\!`\"”]{{0,6}}[ \t]*$",
    re.MULTILINE,
)
_ARTICLE = re.compile(r"[ \t]+(?!(?:because|since|as|for|is|and|or|by|given|due|which|here|with)\b)[a-z]")
_RIVAL = re.compile(
    r"[)*\]}.`\"”$]{0,6}\s{0,3}(?:,?\s{0,3}(?:or|and|and/or)\b|[/&,+])\s{0,3}(?:(?i:option|choice)\s{1,3})?[(\[*]{0,3}([A-Z])"
    r"(?![A-Za-z0-9'’])(?!\s{1,3}(?:is|are|was|would|cannot|can|does|has|being|fails?)\b)"
)
_LISTED = re.compile(r"^[ \t(*\[]{0,6}([A-Z])[)*\].:]{1,4}[ \t]", re.MULTILINE)
_UNSURE = re.compile(
    r"(?i:\b(?:if|whether|suppose|assume|assuming|not|why)\s+(?:that\s+)?(?:the\s+)?(?:option\s+|choice\s+|answer\s+)?[(*]*)$"
)
_LAST_LINE = re.compile(
    r"[ \t>#*_(\[$`\"“]{0,8}([A-Z])(?:[ \t)\]*_.:$`\"”]{0,8}|[)\].:]{1,2}[*_]{0,3}[ \t]+\S.*)"
)
_OWN_TEXT = re.compile(r"(?i:\banswer\b)(?:[ \t*_]{0,4}:|[ \t]{1,3}(?i:is):?)[ \t*_]{0,6}([^\n]{1,300})")


def in_statement(text: str) -> str | None:
    """The letter that a short statement names, AMBIGUOUS for several, None where it names none."""
    plain = " ".join(_SKIN.sub(" ", text[:_LONGEST_STATEMENT]).split())
    bare = _BARE.fullmatch(plain)
    if bare:
        return bare[1].upper()
    if _only_letters(plain):
        return AMBIGUOUS
    with_text = _WITH_TEXT.match(plain)
    if with_text is None:
        return None
    others = {(a or b).upper() for a, b in _MARKED.findall(plain)}
    letter = (with_text[1] or with_text[2] or with_text[3]).upper()
    return letter if others <= {letter} else AMBIGUOUS


def in_prose(text: str) -> str | None:
    """The letter that the last statement of a text names, AMBIGUOUS for several, None where nothing is stated.

    A statement is "the answer is C", "C is correct", "so, C" and the like, else a last line that is a letter.
    """
    found = [match for pattern in (_CHOSEN, _CORRECT, _SO) for match in pattern.finditer(text)]
    found.sort(key=lambda match: match.start(), reverse=True)
    last = next((match for match in found[:_MOST_LOOKED_AT] if _states(text, match)), None)
    if last is not None:
        letter = next(group for group in last.groups() if group).upper()
        rival = _RIVAL.match(text, last.end(last.lastindex or 0))
        return AMBIGUOUS if rival and rival[1] != letter else letter
    return _on_last_line(text)


def own_words(text: str) -> str | None:
    """What the last "the answer is ..." goes on with, to the end of its line: perhaps an option's own text."""
    last = None
    for match in _OWN_TEXT.finditer(text):
        last = match[1].strip(' \t*_`"“”$').rstrip(".").strip(' \t*_`"“”$')
    return last if last and not last.lower().startswith("not ") else None


def _only_letters(plain: str) -> bool:
    """Whether a text is nothing but several letters and words that join them: "A, C", "both A and B"."""
    words = _WORDS.findall(plain)
    letters = {word for word in words if len(word) == 1 and word.isascii() and word.isupper()}
    return len(letters) > 1 and all(word in letters or word.lower() in _JOINING for word in words)


def _states(text: str, match: re.Match[str]) -> bool:
    """Whether this states a choice: no article, no list of options that begins here, nothing merely supposed."""
    group = match.lastindex or 0
    end = match.end(group)
    if match.re is not _CORRECT and match[group] in ("A", "I") and _ARTICLE.match(text, end):
        return False
    if _UNSURE.search(text, max(0, match.start() - 40), match.start()):
        return False
    if text[end : end + 1] in (".", ")", ":"):
        following = chr(ord(match[group].upper()) + 1)
        return all(one[1] != following for one in _LISTED.finditer(text, end, end + _LONGEST_STATEMENT))
    return True


def _on_last_line(text: str) -> str | None:
    lines = [line for line in text[-4_000:].split("\n") if line.strip()][-2:]
    if not lines:
        return None
    last = _LAST_LINE.fullmatch(lines[-1].rstrip())
    if last is None or (len(lines) == 2 and _LISTED.match(lines[0])):
        return None
    marked = {a or b for a, b in _MARKED.findall(lines[-1])}
    return last[1] if marked <= {last[1]} else AMBIGUOUS
