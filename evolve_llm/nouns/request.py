"""What a backend is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from evolve_llm.nouns.address import Address
from evolve_llm.nouns.picture import Picture

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with the model. Its pictures come before its text."""

    role: Role
    content: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation to be continued by the model. What every variation operator returns."""

    messages: tuple[Message, ...]

    @classmethod
    def user(cls, text: str) -> Prompt:
        """A prompt that consists of one message from the user."""
        return cls((Message("user", text),))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Those of all messages, in order."""
        return tuple(picture for message in self.messages for picture in message.pictures)

    def showing(self, pictures: tuple[Picture, ...]) -> Prompt:
        """This prompt with pictures in its first message of the user; as it is where it has some, or there are none.

        They stand before everything that differs between the prompts of a problem, so that engines keep what they
        computed of them.
        """
        place = next((n for n, one in enumerate(self.messages) if one.role == "user"), None)
        if not pictures or self.pictures or place is None:
            return self
        shown = replace(self.messages[place], pictures=pictures)
        return Prompt((*self.messages[:place], shown, *self.messages[place + 1 :]))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. ``max_tokens`` bounds the completion, not the prompt."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int = 8192
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the model.

    ``problem`` (its id) and ``address`` say what it is for; they never change between resumes, and no two
    requests of a run share them. ``seed`` is in [0, 2**63); a backend with a smaller range reduces it.
    ``logprobs`` asks for the log-probabilities of the completion's tokens; a backend that cannot give them
    raises UserError at once.
    """

    problem: str
    address: Address
    prompt: Prompt
    sampling: Sampling
    seed: int
    logprobs: bool = False

    @property
    def id(self) -> str:
        """``problem/generation/slot/purpose/call``: a name for logs and for engines that want one."""
        return "/".join(map(str, (self.problem, *self.address)))


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the model, with the token counts *as the backend reported them* (invariant I8).

    ``finish_reason`` is ``length`` when the text was cut at ``max_tokens`` or at the window's end.
    ``cached_tokens`` of the prompt were served from a prefix cache (0 where the backend cannot tell).
    ``reasoning`` is a separate thinking channel where the backend has one. ``logprobs`` holds the natural
    log-probability of each completion token, where they were asked for; ``first_token`` the likeliest
    first tokens with theirs, most likely first.
    """

    text: str
    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning: str = ""
    logprobs: tuple[float, ...] = ()
    first_token: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a started backend says of its model.

    ``context_length`` is the largest prompt + completion of one request in tokens, None if unknown.
    ``details`` go into the run directory beside the versions (quantisation, engine version, file hash).
    """

    name: str
    context_length: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
