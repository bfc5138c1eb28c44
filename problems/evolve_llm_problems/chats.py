"""A chat as the question of a problem: what the system and the user say, and the answer that may stand at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.pictures import is_picture, source_of

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
    pictures: tuple[Any, ...] = ()
    """Where the pictures of its parts are, in order; ``[picture 1]`` stands in the text where several do."""


def read_chat(messages: Sequence[Any], where: str) -> Chat:
    """The question of a list of chat messages, in one text.

    The messages of the system and the user follow each other with a blank line between. Where the assistant speaks
    in between, the chat is a transcript, whose turns begin with ``User:`` and ``Assistant:``.

    Raises UserError, which begins with ``where``, for other roles, for content that is not text, and for a chat
    in which the user asks nothing.
    """
    pictures: list[Any] = []
    count = sum(is_picture(part) for message in messages for part in _parts(message))
    turns = [_turn(message, where, pictures, count) for message in messages]
    answers: list[str] = []
    while turns and turns[-1][0] == "Assistant":
        answers.insert(0, turns.pop()[1])
    if not any(role == "User" and text.strip() for role, text in turns):
        raise UserError(f"{where}: the question is a conversation in which the user asks nothing")
    return Chat(_question(turns), "\n\n".join(answers) if answers else None, tuple(pictures))


def _question(turns: Sequence[tuple[str, str]]) -> str:
    if all(role != "Assistant" for role, _ in turns):
        return "\n\n".join(text for _, text in turns)
    begun = next(place for place, (role, _) in enumerate(turns) if role != "System")
    opening = [text for _, text in turns[:begun]]
    return "\n\n".join([*opening, *(f"{role}: {text}" for role, text in turns[begun:])])


def _parts(message: Any) -> list[Any]:
    content = message.get("content", message.get("value")) if isinstance(message, Mapping) else None
    return content if isinstance(content, list) else []


def _turn(message: Any, where: str, pictures: list[Any], count: int) -> tuple[str, str]:
    """Who speaks, as the transcript names them, and what they say; ``pictures`` gains those that are shown.

    Where the whole chat has one picture, nothing in the text marks its place.
    """
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
    if isinstance(content, list) and all(is_picture(p) or _is_text(p) for p in content):
        texts = []
        for part in content:
            if not is_picture(part):
                texts.append(str(part.get("text", "")))
                continue
            pictures.append(source_of(part))
            if count > 1:
                texts.append(f"[picture {len(pictures)}]")
        content = "\n".join(texts)
    if not isinstance(content, str):
        raise UserError(f"{where}: a message of the question holds something other than text and pictures")
    return ROLES[role], content


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("text", "input_text")
