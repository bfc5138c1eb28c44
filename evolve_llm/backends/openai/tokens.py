"""Exact token counts and token places from servers that have a ``/tokenize`` beside the chat API.

vLLM's takes a conversation or a text; llama.cpp's takes a text, and ``/apply-template`` makes one of a
conversation. Where tokens start is worked out from their spellings, and believed only if these, put
together, are the text byte for byte.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evolve_llm.backends.messages import chat_messages, well_formed
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.request import Prompt

Post = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""POST a JSON body to a path at the server's root; gives the text of the answer."""

PROBE = Prompt.user("0")
"""What the counting is tried on at the start."""

_TEMPLATE_FIELDS = (
    "add_generation_prompt",
    "add_special_tokens",
    "chat_template",
    "chat_template_kwargs",
    "continue_final_message",
    "tools",
)
"""What of ``extra_body`` changes how many tokens a conversation has."""


NONSENSE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an answer raises that is not what it should be."""


class Tokenizer(Protocol):
    """A server's tokenizer. Its methods raise what ``post`` raises, and one of NONSENSE."""

    async def count(self, post: Post, prompt: Prompt) -> int:
        """Tokens of a conversation with its template, as the server will count them for the prompt."""
        ...

    async def starts(self, post: Post, text: str) -> list[int] | None:
        """Where the tokens of a plain text start, in characters; None where that cannot be told exactly."""
        ...


@dataclass(frozen=True, slots=True)
class VllmTokenizer:
    """vLLM's ``/tokenize``: the template is applied there."""

    model: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    async def count(self, post: Post, prompt: Prompt) -> int:
        """Count the tokens of one prompt."""
        body = {"model": self.model, "messages": chat_messages(prompt), **_template_fields(self.extra)}
        return _positive(json.loads(await post("/tokenize", body))["count"])

    async def starts(self, post: Post, text: str) -> list[int] | None:
        """One question. The strings are in the vocabulary's own spelling, which has two customs."""
        text = well_formed(text)
        body = {"model": self.model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
        strings = json.loads(await post("/tokenize", body))["token_strs"]
        if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
            return None
        for spelling in (byte_level, sentence_piece):
            found = starts_of([spelling(one) for one in strings], text)
            if found is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class LlamaCppTokenizer:
    """llama.cpp's ``/apply-template`` and ``/tokenize``."""

    extra: Mapping[str, Any] = field(default_factory=dict)

    async def count(self, post: Post, prompt: Prompt) -> int:
        """Two questions: the conversation as text, and its tokens."""
        body = {"messages": chat_messages(prompt), **_template_fields(self.extra)}
        text = json.loads(await post("/apply-template", body))["prompt"]
        body = {"content": text, "add_special": True, "parse_special": True}
        return _positive(len(json.loads(await post("/tokenize", body))["tokens"]))

    async def starts(self, post: Post, text: str) -> list[int] | None:
        """One question. A piece is a text, or bytes where it is no whole characters."""
        text = well_formed(text)
        body = {"content": text, "add_special": False, "parse_special": True, "with_pieces": True}
        tokens = json.loads(await post("/tokenize", body))["tokens"]
        if not all(isinstance(one, Mapping) for one in tokens):  # older servers know no pieces
            return None
        return starts_of([_piece(one["piece"]) for one in tokens], text)


class LocalTokenizer:
    """A ``tokenizer.json`` on this machine, for where tokens start; counting a prompt would need its template.

    Raises UserError where the library is not installed or the file is no tokenizer.
    """

    def __init__(self, path: Path) -> None:
        try:
            library = importlib.import_module("tokenizers")
        except ImportError as error:
            raise UserError("engine.tokenizer needs: pip install tokenizers") from error
        try:
            self._inner = library.Tokenizer.from_file(str(path.expanduser()))
            self.fingerprint = hashlib.sha256(path.expanduser().read_bytes()).hexdigest()[:16]
        except Exception as error:  # the library raises bare exceptions
            raise UserError(f"engine.tokenizer={path} is not a tokenizer.json: {error}") from error

    def starts(self, text: str) -> list[int]:
        """Where the tokens of a plain text start, in characters, ascending."""
        encoded = self._inner.encode(well_formed(text), add_special_tokens=False)
        starts = [start for start, _ in encoded.offsets]
        return [max(starts[: place + 1][-2:]) for place in range(len(starts))]


def candidates(owner: str, model: str, extra: Mapping[str, Any]) -> list[Tokenizer]:
    """The tokenizers that a server may have, by ``owned_by`` of its model; a gateway may hide who answers."""
    vllm, llama = VllmTokenizer(model, extra), LlamaCppTokenizer(extra)
    known: dict[str, list[Tokenizer]] = {"vllm": [vllm], "llamacpp": [llama]}
    return known.get(owner.lower(), [vllm, llama])


def _template_fields(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: extra[name] for name in _TEMPLATE_FIELDS if name in extra}


def _positive(count: object) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"a prompt of {count!r} tokens")
    return count


def _piece(given: str | list[int]) -> bytes:
    return given.encode(errors="replace") if isinstance(given, str) else bytes(list(given))


# ---- from spellings to places


def starts_of(pieces: Sequence[bytes], text: str) -> list[int] | None:
    """Where in ``text`` each of these pieces begins, in characters; ascending, one a piece.

    A piece that begins inside a character begins where that character does. A single space that some
    tokenizers put before the text counts as its beginning. None where the pieces are not the text.
    """
    data, joined = text.encode(), b"".join(pieces)
    if joined == data:
        place = 0
    elif joined == b" " + data:
        place = -1
    else:
        return None
    character_at = [index for index, one in enumerate(text) for _ in one.encode()]
    character_at.append(len(text))
    starts = []
    for piece in pieces:
        starts.append(character_at[max(place, 0)])
        place += len(piece)
    return starts


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 stands for itself, the others are numbered from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + number): byte for number, byte in enumerate(others)
    }


_BYTE_OF = _byte_letters()
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


def byte_level(token: str) -> bytes:
    """The bytes of a byte-level BPE's token; added tokens, written in other letters, are their own text."""
    if all(letter in _BYTE_OF for letter in token):
        return bytes(_BYTE_OF[letter] for letter in token)
    return token.encode(errors="replace")


def sentence_piece(token: str) -> bytes:
    """The bytes of a SentencePiece token: ``▁`` is a space, ``<0x0A>`` a byte."""
    byte = _BYTE_TOKEN.fullmatch(token)
    if byte is not None:
        return bytes([int(byte[1], 16)])
    return token.replace("▁", " ").encode(errors="replace")
