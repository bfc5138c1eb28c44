"""The fruit fly for vLLM: the same weights as ``--model fly``, in Hugging Face format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve_llm.backends.fly import FOLDER, SUMS_NAME, outside
from evolve_llm.errors import BackendError

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
    """The folder of this package with the fly's weights, their checksums verified.

    Raises BackendError where a file is missing or is not the one that was shipped.
    """
    again = "install evolve-llm again, or train one: experiments/fruit_fly/README.md in the source"
    try:
        lines = (folder / SUMS_NAME).read_text("ascii").splitlines()
        sums = {name: digest for digest, name in map(str.split, lines)}
        found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    except (OSError, ValueError) as error:
        raise BackendError(f"the fly's weights are missing or cannot be read ({error}); {again}") from error
    for name, digest in found.items():
        if digest != sums.get(name):
            raise BackendError(
                f"the fly's file {folder / name} is damaged: its SHA-256 is {digest[:16]}...; {again}"
            )
    return folder
