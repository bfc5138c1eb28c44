"""Thinking kept apart from the answer, by vLLM's own reasoning parsers; gpt-oss's channels by their token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.registry import unknown

GPT_OSS = "openai_gptoss"
"""The parser whose model writes channels in special tokens, which are gone from the text: read from the ids."""

_CHANNEL, _MESSAGE = "<|channel|>", "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>")

Split = Callable[[str, Sequence[int]], tuple[str, str]]
"""From text and token ids of a completion to its thinking and its answer."""


class Reasoning:
    """How one model's thinking is told from its answer.

    ``keep_special``: the text must keep its special tokens for it.
    """

    def __init__(self, split: Split, *, keep_special: bool = False) -> None:
        self.split = split
        self.keep_special = keep_special


def reasoning_for(name: str, model: str, tokenizer: Any, template_kwargs: Mapping[str, Any]) -> Reasoning:
    """The parser called ``name``, for a model and its tokenizer.

    Raises UserError for a name that vLLM has not, and for a tokenizer that lacks the parser's tokens.
    """
    from vllm.reasoning import ReasoningParserManager

    if name == GPT_OSS:
        return Reasoning(channels_of(tokenizer))
    names = {*ReasoningParserManager.reasoning_parsers, *getattr(ReasoningParserManager, "lazy_parsers", ())}
    if name not in names:
        raise UserError(unknown("reasoning parser of vLLM", name, names | {GPT_OSS}))

    def parser() -> Any:  # some keep a state, so every text gets its own
        kind = ReasoningParserManager.get_reasoning_parser(name)
        return kind(tokenizer, chat_template_kwargs=dict(template_kwargs))

    try:
        request = parser().adjust_request(_chat_request(model))
    except Exception as error:  # each parser looks for its own tokens, in its own way
        raise UserError(f"the reasoning parser {name!r} does not fit the model {model!r}: {error}") from error

    def split(text: str, _: Sequence[int]) -> tuple[str, str]:
        reasoning, content = parser().extract_reasoning(text, request)
        return reasoning or "", content or ""

    return Reasoning(split, keep_special=not request.skip_special_tokens)


def _chat_request(model: str) -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    return ChatCompletionRequest(model=model, messages=[{"role": "user", "content": ""}])


def channels_of(tokenizer: Any) -> Split:
    """The splitter of gpt-oss. Raises UserError where a tokenizer has not its special tokens."""
    vocabulary = tokenizer.get_vocab()
    marks = {vocabulary[token]: token for token in (_CHANNEL, _MESSAGE, *_ENDS) if token in vocabulary}
    if len(marks) < 2 + len(_ENDS):
        raise UserError(
            f"the reasoning parser {GPT_OSS!r} is for gpt-oss, and the tokenizer of this model lacks its "
            "special tokens"
        )

    def split(_: str, ids: Sequence[int]) -> tuple[str, str]:
        parts: dict[str, list[str]] = {"analysis": [], "final": []}
        for header, body in read_channels(ids, marks):
            channel = (tokenizer.decode(header).split() or [""])[0]
            parts["analysis" if channel == "analysis" else "final"].append(tokenizer.decode(body))
        return "\n".join(parts["analysis"]), "\n".join(parts["final"])

    return split


def read_channels(ids: Sequence[int], marks: Mapping[int, str]) -> list[tuple[list[int], list[int]]]:
    """The messages in a completion's ids, each as the ids of its channel's name and those of its body.

    Tokens outside any message are a message without a channel; an unfinished message is one too.
    """
    found: list[tuple[list[int], list[int]]] = []
    header: list[int] = []
    body: list[int] = []
    place = body
    for token in ids:
        mark = marks.get(token)
        if mark is None:
            if place is not None:
                place.append(token)
        elif mark == _CHANNEL:
            header, body = [], []
            place = header
        elif mark == _MESSAGE:
            place = body
        else:
            if body:
                found.append((header, body))
            header, body = [], []
            place = [] if mark == "<|start|>" else body  # the role after <|start|> is no text
    if body:
        found.append((header, body))
    return found
