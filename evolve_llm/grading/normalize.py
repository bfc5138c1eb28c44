"""Text made comparable without changing what it says.

Unicode's compatibility normalisation (NFKC) is not used: it turns ``2²`` into ``22``. Letters that merely
look alike (a Cyrillic and a Latin ``a``) stay different.
"""

from __future__ import annotations

import re
import unicodedata

_MINUS = "\u2010\u2011\u2012\u2212\ufe63\uff0d"
_SPACES = re.compile(r"\s+")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_FIXED: dict[int, str | int] = {**_WIDE, **{ord(dash): "-" for dash in _MINUS}, 0x3000: " "}


def plain(text: str) -> str:
    """The text with invisible characters dropped and typographic variants of ASCII made ASCII.

    Zero-width and other format characters go; full-width forms, digits of any script and typographic
    minus signs become ASCII; then canonical composition (NFC). Linear in the length.
    """
    if text.isascii():
        return text
    fixed = text.translate(_FIXED)
    out = []
    for character in fixed:
        if character.isascii():
            out.append(character)
            continue
        category = unicodedata.category(character)
        if category == "Nd":
            out.append(str(unicodedata.decimal(character)))
        elif category == "Zs":
            out.append(" ")
        elif category != "Cf":
            out.append(character)
    return unicodedata.normalize("NFC", "".join(out))


def spaced(text: str) -> str:
    """`plain` text with every run of white space made one space, none at the ends."""
    return _SPACES.sub(" ", plain(text)).strip()


def folded(text: str) -> str:
    """`spaced` text without the difference of upper and lower case."""
    return spaced(text).casefold()


def lined(text: str) -> str:
    """The text without blank lines at its ends and without white space at the ends of its lines.

    For answers whose inner layout matters, such as boards and grids.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")]
    return "\n".join(lines)
