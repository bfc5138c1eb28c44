"""A model with the dimensions of a large one and no weights, for studies in which only the number of tokens matters.

vLLM fills its weights at random (``load_format=dummy``), so that it draws almost evenly from its vocabulary; ends of
text are so many tokens that a chain ends after ``mean`` tokens in the mean. A token is a character.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from pathlib import Path

PAD, EOS = "<pad>", "<eos>"
_ASCII = string.ascii_letters + string.digits + string.punctuation + " \n"
_PLANE = 0x20000
"""First of the characters that stand for the rest of the vocabulary."""


@dataclass(frozen=True)
class Dimensions:
    """Of a Qwen3: what decides how long a step takes."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    vocabulary: int
    window: int = 8192


FOUR_BILLION = Dimensions(2560, 9728, 36, 32, 8, 128, 151_936)
"""Those of Qwen3-4B."""

SMALL = Dimensions(64, 128, 2, 2, 2, 32, 2_048)
"""For a look on a CPU."""


def write_model(folder: Path, size: Dimensions, mean: int) -> None:
    """Config and tokenizer in Hugging Face format; no weights."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast, Qwen3Config

    folder.mkdir(parents=True, exist_ok=True)
    rest = size.vocabulary - len(_ASCII) - 2
    words = {
        word: place for place, word in enumerate((PAD, EOS, *_ASCII, *map(chr, range(_PLANE, _PLANE + rest))))
    }
    ends = [1, *range(size.vocabulary - max(0, size.vocabulary // mean - 1), size.vocabulary)]
    config = Qwen3Config(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        head_dim=size.head,
        max_position_embeddings=size.window,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        dtype="bfloat16",
    )
    config.architectures = ["Qwen3ForCausalLM"]
    config.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends, "pad_token_id": 0}))
    inner = Tokenizer(models.BPE(vocab=words, merges=[]))
    inner.decoder = decoders.Fuse()
    inner.add_special_tokens([AddedToken(word, special=True) for word in (PAD, EOS)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=EOS,
        model_max_length=size.window,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)


def write_adapter(folder: Path, size: Dimensions, rank: int = 8) -> None:
    """A LoRA adapter of zeros on the queries of every layer, as PEFT saves it: it changes no text, and costs time."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    prefix = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    tensors = {}
    for layer in range(size.layers):
        tensors[prefix.format(layer, "A")] = torch.zeros(rank, size.hidden)
        tensors[prefix.format(layer, "B")] = torch.zeros(size.heads * size.head, rank)
    save_file(tensors, folder / "adapter_model.safetensors")
    described = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "bias": "none",
        "target_modules": ["q_proj"], "base_model_name_or_path": "", "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(described))
