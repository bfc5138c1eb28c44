"""Conversations in the form every chat API takes."""

from __future__ import annotations

from typing import Any

from evolve_llm.nouns.request import Message, Prompt


def chat_messages(prompt: Prompt, *, placeholders: bool = False) -> list[dict[str, Any]]:
    """The messages as role and content, without what UTF-8 cannot carry.

    The content of a message with pictures is a list of parts, the pictures first: each its data, as OpenAI's API
    takes it, or with ``placeholders`` only the word that there is one, as chat templates want it.

    A chain may hold half a surrogate pair (models write ``\\ud800`` in JSON); it becomes a question mark, since
    clients and servers fail on it.
    """
    return [{"role": one.role, "content": _content(one, placeholders)} for one in prompt.messages]


def _content(message: Message, placeholders: bool) -> str | list[dict[str, Any]]:
    text = well_formed(message.content)
    if not message.pictures:
        return text
    shown: list[dict[str, Any]] = [
        {"type": "image"} if placeholders else {"type": "image_url", "image_url": {"url": one.url}}
        for one in message.pictures
    ]
    return [*shown, {"type": "text", "text": text}]


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced."""
    return text.encode(errors="replace").decode()
