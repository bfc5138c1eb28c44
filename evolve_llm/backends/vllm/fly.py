"""The fruit flies for vLLM: the same weights as ``--model fly`` and ``fly-hard``, in Hugging Face format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from evolve_llm.backends.fly import FOLDER, SHIPPED, outside, shipped
from evolve_llm.backends.vllm.backend import Vllm
from evolve_llm.nouns.request import Prompt

FILES = ("model.safetensors", "config.json", "tokenizer.json")
ARGUMENTS: Mapping[str, Any] = {
    "dtype": "float32",
    "max_model_len": 512,
    "max_num_seqs": 64,
    "block_size": 32,  # only whole blocks are cached, and its prompts are short
    "enforce_eager": True,  # compiling takes longer than it runs
}

__all__ = ["ARGUMENTS", "VllmFly", "shipped_folder"]


def shipped_folder(folder: Path = FOLDER) -> Path:
    """The folder with a fly's weights, by default that of ``fly``. Raises as ``fly.shipped``."""
    return shipped(FILES, folder)


class VllmFly(Vllm):
    """A fly that this package carries. It refuses a prompt with characters that the fly has no letters for."""

    preferred: ClassVar[Mapping[str, Any]] = ARGUMENTS

    def _folder(self) -> Path | None:
        return shipped_folder(SHIPPED[self.model])

    def _outside(self, prompt: Prompt) -> str | None:
        return outside(prompt)
