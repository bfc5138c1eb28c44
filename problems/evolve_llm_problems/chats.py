"""A chat as the question of a problem: what the system and the user say, and the answer that may stand at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm.nouns.errors import UserError

# Names of the layout {"role", "content"}, and of the one with {"from", "value"}.
ROLES = {
    "system": "System", "developer": "System", "user": "User", "human": "User", "assistant": "Assistant",
    "gpt": "Assistant",
}  # fmt: skip


@dataclass(frozen=True)
class Chat:
    """One question, and what an assistant answers to it at the end; None where the chat ends with the question."""

    question: str
    answer: str | None = None


def read_chat(messages: Sequence[Any], where: str) -> Chat:
    """The question of a list of chat messages, in one text.

    The messages of the system and the user follow each other with a blank line between. Where the assistant speaks
    in between, the chat is a transcript, whose turns begin with ``User:`` and ``Assistant:``.

    Raises UserError, which begins with ``where``, for other roles, for content that is not text, and for a chat
    in which the user asks nothing.
    """
    turns = [_turn(message, where) for message in messages]
    answers: list[str] = []
    while turns and turns[-1][0] == "Assistant":
        answers.insert(0, turns.pop()[1])
    if not any(role == "User" and text.strip() for role, text in turns):
        raise UserError(f"{where}: the question is a conversation in which the user asks nothing")
    return Chat(_question(turns), "\n\n".join(answers) if answers else None)


def _question(turns: Sequence[tuple[str, str]]) -> str:
    if all(role != "Assistant" for role, _ in turns):
        return "\n\n".join(text for _, text in turns)
    begun = next(place for place, (role, _) in enumerate(turns) if role != "System")
    opening = [text for _, text in turns[:begun]]
    return "\n\n".join([*opening, *(f"{role}: {text}" for role, text in turns[begun:])])


def _turn(message: Any, where: str) -> tuple[str, str]:
    """Who speaks, as the transcript names them, and what they say."""
    if not isinstance(message, Mapping):
        raise UserError(
            f"{where}: a message of the question is of type {type(message).__name__}, not an object"
        )
    role = message.get("role", message.get("from"))
    if not isinstance(role, str) or role not in ROLES:
        raise UserError(
            f"{where}: the question is a conversation with a message of role {role!r}; "
            f"a problem can hold messages of {', '.join(ROLES)}"
        )
    content = message.get("content", message.get("value"))
    if isinstance(content, list) and all(isinstance(p, Mapping) and p.get("type") == "text" for p in content):
        content = "\n".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise UserError(f"{where}: a message of the question holds something other than text")
    return ROLES[role], content
