"""The fruit fly for vLLM: the same weights as ``--model fly``, in Hugging Face format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve_llm.backends.fly import FOLDER, outside, shipped

NAME = "fly"
FILES = ("model.safetensors", "config.json", "tokenizer.json")
ARGUMENTS: Mapping[str, Any] = {
    "dtype": "float32",
    "max_model_len": 512,
    "max_num_seqs": 64,
    "block_size": 32,  # only whole blocks are cached, and its prompts are short
    "enforce_eager": True,  # compiling takes longer than it runs
}

__all__ = ["ARGUMENTS", "NAME", "outside", "shipped_folder"]


def shipped_folder(folder: Path = FOLDER) -> Path:
    """The folder of this package with the fly's weights. Raises as ``fly.shipped``."""
    return shipped(FILES, folder)
