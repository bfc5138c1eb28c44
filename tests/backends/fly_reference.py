"""The fly as transformers reads it: what the engines' probabilities are compared with."""

from __future__ import annotations

import functools
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from evolve_llm.backends.fly import FOLDER

EOS = "<eos>"


class Reference:
    """LlamaForCausalLM in float32 from a folder that ships."""

    def __init__(self, folder: Path = FOLDER) -> None:
        import torch
        from transformers import AutoTokenizer, LlamaForCausalLM

        self._torch = torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        self.vocabulary: list[str] = self._tokenizer.convert_ids_to_tokens(range(len(self._tokenizer)))
        self.eos: int = self._tokenizer.eos_token_id

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return list(self._tokenizer(text)["input_ids"])

    def template(self, text: str) -> str:
        """A user's message as the chat template writes it."""
        message = [{"role": "user", "content": text}]
        return str(self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))

    def after(self, prompt: str, chain: str) -> list[dict[str, float]]:
        """Natural log-probability of every token after the prompt and after each character of the chain."""
        before = self.ids(prompt)
        threads = self._torch.get_num_threads()
        self._torch.set_num_threads(1)  # the products are too small for a second one
        try:
            with self._torch.inference_mode():
                logits = self._model(self._torch.tensor([[*before, *self.ids(chain)]])).logits[0]
        finally:
            self._torch.set_num_threads(threads)
        rows = self._torch.log_softmax(logits[len(before) - 1 :].double(), -1).tolist()
        return [dict(zip(self.vocabulary, row, strict=True)) for row in rows]


@functools.cache
def reference(folder: Path = FOLDER) -> Reference:
    """The model, loaded once. Without torch and transformers the test is skipped, and fails under CI."""
    try:
        return Reference(folder)
    except ImportError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"torch and transformers are not installed ({error}): they come with the test extra")


def gguf_tokens(data: bytes) -> list[str]:
    """The vocabulary of a GGUF file, by id."""
    key = b"tokenizer.ggml.tokens"
    place = data.index(key) + len(key)
    array, strings, count = struct.unpack_from("<IIQ", data, place)
    assert (array, strings) == (9, 8)
    place, found = place + 16, []
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", data, place)
        found.append(data[place + 8 : place + 8 + length].decode())
        place += 8 + length
    return found
