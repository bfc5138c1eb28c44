"""LiveCodeBench's private tests: JSON, or base64 of zlib of a pickle of one JSON text. Nothing is ever unpickled."""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

LARGEST = 512 << 20
"""Bytes the tests of one problem may unpack to."""

_FRAMING = frozenset({"PROTO", "FRAME", "STOP", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})
_TEXTS = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})


def unpacked(text: str) -> list[Any]:
    """The list of tests in a ``private_test_cases`` cell.

    Raises ValueError, saying what is wrong: not base64, not zlib, a pickle of anything but one text (it is read,
    never executed), not JSON, not a list, or more than ``LARGEST``.
    """
    stripped = text.lstrip()
    if stripped[:1] in ("[", "{"):
        return _listed(text)
    try:
        packed = base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"neither JSON nor base64: {error}") from error
    inflate = zlib.decompressobj()
    try:
        pickled = inflate.decompress(packed, LARGEST)
    except zlib.error as error:
        raise ValueError(f"base64 of something that is not zlib: {error}") from error
    if inflate.unconsumed_tail:
        raise ValueError(f"the tests unpack to more than {LARGEST >> 20} MiB")
    if not inflate.eof:
        raise ValueError("the compressed tests are cut short")
    return _listed(the_text(pickled))


def the_text(pickled: bytes) -> str:
    """The one string a pickle holds. Raises ValueError for a pickle of anything else, which is not executed."""
    found: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in _TEXTS and isinstance(argument, str):
                found.append(argument)
            elif opcode.name not in _FRAMING:
                raise ValueError(f"a pickle that holds more than a text ({opcode.name})")
    except ValueError:
        raise
    except Exception as error:  # pickletools raises many kinds for damaged pickles
        raise ValueError(f"a damaged pickle: {error}") from error
    if len(found) != 1:
        raise ValueError(f"a pickle of {len(found)} texts, not one")
    return found[0]


def _listed(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(value, list):
        raise ValueError(f"a JSON {type(value).__name__}, not a list of tests")
    return value
