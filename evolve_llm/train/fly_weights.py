"""A trained fly as llama.cpp reads it: the file of the fly it was, with other numbers in it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evolve_llm.backends.fly import FILE_NAME, SUMS_NAME
from evolve_llm.basics.whole_file import whole_file, write_whole
from evolve_llm.nouns.errors import UserError

_PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """What llama.cpp calls a tensor of transformers' Llama."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_PARTS[rest.removesuffix('.weight')]}.weight"


def paired(values: Any, heads: int) -> Any:
    """Query and key weights in llama.cpp's order, where the two numbers of a rotated pair are neighbours.

    transformers keeps the first halves of all pairs before the second ones. ``values``: (heads x size, width).
    """
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, -1)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def write_gguf(weights: Mapping[str, Any], heads: int, like: Path, folder: Path) -> Path:
    """Write ``fly.gguf`` and its checksum to a folder.

    Args:
        weights: float32 arrays by their names in transformers.
        heads: The number of attention heads.
        like: The GGUF of the fly that was trained: shapes, tokenizer and chat template are its.
        folder: Where to write.

    Raises:
        UserError: gguf is missing, or the weights are not those of such a model.
        StoreError: The disk is full.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UserError('writing a fly for llama.cpp needs gguf: pip install "evolve-llm[train]"') from error
    target = folder / FILE_NAME
    with whole_file(target) as part:
        shutil.copyfile(like, part)
        reader = GGUFReader(part, "r+")
        by_name = {one.name: one.data for one in reader.tensors}
        named = {gguf_name(name): name for name in weights if name != "lm_head.weight"}
        if set(named) != set(by_name):
            raise UserError(
                f"the trained weights are not those of {like}: {sorted(set(named) ^ set(by_name))[:3]}"
            )
        for ours, theirs in named.items():
            values = np.asarray(weights[theirs], dtype=np.float32)
            if theirs.endswith(("q_proj.weight", "k_proj.weight")):
                values = paired(values, heads)
            by_name[ours][...] = values
        reader.data.flush()
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    write_whole(folder / SUMS_NAME, f"{digest}  {FILE_NAME}\n")
    return target
