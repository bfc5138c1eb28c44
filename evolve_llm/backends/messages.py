"""Conversations in the form every chat API takes."""

from __future__ import annotations

from evolve_llm.nouns.request import Prompt


def chat_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The messages as role and content, without what UTF-8 cannot carry.

    A chain may hold half a surrogate pair (models write ``\\ud800`` in JSON); it becomes a question mark, since
    clients and servers fail on it.
    """
    return [{"role": one.role, "content": well_formed(one.content)} for one in prompt.messages]


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced."""
    return text.encode(errors="replace").decode()
