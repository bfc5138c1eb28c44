"""Conversations as tokens: the model's own chat template and tokenizer."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from evolve_llm.backends.messages import chat_messages
from evolve_llm.nouns.errors import RequestError, UserError
from evolve_llm.nouns.picture import Picture
from evolve_llm.nouns.request import Prompt


class Chat:
    """The tokenizer of a started engine, with the template that its prompts are written by.

    Not to be used by two threads at once. Raises UserError where there is no template.
    """

    def __init__(
        self, tokenizer: Any, model: str, template: str | None, template_kwargs: Mapping[str, Any]
    ) -> None:
        if template is None and getattr(tokenizer, "chat_template", "") is None:
            raise UserError(
                f"the model {model!r} has no chat template (most base models have none). Name a Jinja file "
                "with --set engine.chat_template=FILE. For plain continuation, the file needs only this "
                "line: {% for message in messages %}{{ message['content'] }}{% endfor %}"
            )
        self._tokenizer = tokenizer
        self._arguments = {"add_generation_prompt": True, **template_kwargs}
        if template is not None:
            self._arguments["chat_template"] = template

    def tokens(self, prompt: Prompt) -> list[int]:
        """The prompt's token ids. Raises RequestError where the template refuses the conversation."""
        try:
            ids = self._tokenizer.apply_chat_template(
                chat_messages(prompt, placeholders=True), tokenize=True, return_dict=False, **self._arguments
            )
        except Exception as error:  # templates raise what they like
            raise RequestError("bad_request", f"the chat template refuses the prompt: {error}") from error
        return [int(one) for one in ids]

    def starts(self, text: str) -> Sequence[int] | None:
        """Where each token of a text starts, in characters, ascending; None without a fast tokenizer."""
        if not getattr(self._tokenizer, "is_fast", False):
            return None
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [int(start) for start, _ in found["offset_mapping"]]


def inputs(ids: list[int], pictures: Sequence[Picture]) -> dict[str, Any]:
    """What vLLM's engine is asked: tokens as they are, or tokens with pictures for it to put at their placeholders."""
    if not pictures:
        return {"type": "token", "prompt_token_ids": ids}
    from PIL import Image

    shown = [Image.open(io.BytesIO(one.data)).convert("RGB") for one in pictures]
    return {"prompt_token_ids": ids, "multi_modal_data": {"image": shown}}
