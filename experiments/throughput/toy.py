"""A Llama without any training, for studies in which only the number of tokens matters. Needs torch and transformers.

It draws from its 512 tokens almost evenly, so that the end of a text comes after 512 tokens in the mean: with
``max_tokens=512`` its chains have 1 to 512 tokens, 324 in the mean. A token is a character.
"""

from __future__ import annotations

import string
from pathlib import Path

WINDOW = 4096
LONGEST = 512
PAD, EOS = "<pad>", "<eos>"
_ASCII = string.ascii_letters + string.digits + string.punctuation
CHARACTERS = _ASCII + "".join(map(chr, range(0x4E00, 0x4E00 + 510 - len(_ASCII))))


def write_toy(folder: Path) -> None:
    """One layer, width 64, in Hugging Face format."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {word: place for place, word in enumerate((PAD, EOS, *CHARACTERS))}
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=WINDOW,
        pad_token_id=words[PAD],
        eos_token_id=words[EOS],
        bos_token_id=None,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
    inner = Tokenizer(models.BPE(vocab=words, merges=[]))
    inner.decoder = decoders.Fuse()
    inner.add_special_tokens([AddedToken(word, special=True) for word in (PAD, EOS)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=EOS,
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
