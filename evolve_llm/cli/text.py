"""Text of a model or a problem file, made harmless for a terminal (invariant I9).

Escape sequences are removed whole, other control and invisible format characters (bidi overrides among
them) one by one. Rich markup needs no escaping: such text is only ever printed as ``rich.text.Text``.
"""

from __future__ import annotations

import json
import re
import unicodedata

# Every alternative stops where another could begin, so the whole is linear however the text was made.
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90-\x9f]*(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, ...: titles, links
    "|\x1b[ -/]*[0-~]"
)
_UNWANTED = {"Cc", "Cf", "Cs", "Co", "Cn"}
_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def printable(text: str) -> str:
    """The text with its line breaks, without anything a terminal could act on. Tabs become spaces."""
    text = _BREAKS.sub("\n", _SEQUENCE.sub("", text)).replace("\t", "    ")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        character
        for character in text
        if character == "\n" or unicodedata.category(character) not in _UNWANTED
    )


def one_line(text: str, limit: int = 60) -> str:
    """At most ``limit`` characters on one line, white space folded, cut with an ellipsis."""
    folded = " ".join(printable(text[: 40 * limit + 4000]).split())
    return folded if len(folded) <= limit else folded[: max(0, limit - 1)].rstrip() + "…"


def json_printable(document: str) -> str:
    """A JSON document with every character a terminal could act on written as an escape: the same data."""
    if document.isascii() and "\x7f" not in document:
        return document
    return "".join(
        json.dumps(character)[1:-1] if unicodedata.category(character) in _UNWANTED else character
        for character in document.replace("\x7f", "\\u007f")
    )
