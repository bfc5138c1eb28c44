"""Write a trained fly in the forms others read: ``python experiments/fruit_fly/export.py FOLDER OUT [--name fly]``.

``OUT`` gets ``model.safetensors`` with config, tokenizer and chat template (transformers, vLLM) and ``fly.gguf``
(llama.cpp), all float32, and ``SHA256SUMS``. Checked before anything is kept: transformers' Llama, loaded from
the files, gives the logits of the network that was trained, and its tokenizer the same ids.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import bundles as b
import gguf
import numpy as np
import torch
from evaluate import held_out_problems, loaded
from model import Fly
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from evolve_llm.train.fly_weights import gguf_name, paired

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""The identity: the one user message is the prompt, character for character."""


def write_transformers(fly: Fly, out: Path) -> None:
    """Weights, configuration, tokenizer and chat template as transformers and vLLM read them."""
    shape = fly.shape
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_attention_heads,
        max_position_embeddings=shape.max_position_embeddings,
        rms_norm_eps=shape.rms_norm_eps,
        rope_theta=shape.rope_theta,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=b.ID[b.EOS],
        pad_token_id=b.ID[b.PAD],
        dtype="float32",
    ).save_pretrained(out)
    weights = {name: tensor.contiguous() for name, tensor in fly.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    inner = Tokenizer(models.BPE(vocab=b.ID, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(t, special=True) for t in b.VOCABULARY if len(t) > 1])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=b.PAD,
        eos_token=b.EOS,
        model_max_length=shape.max_position_embeddings,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(out)


def write_gguf(fly: Fly, path: Path) -> None:
    """The same weights for llama.cpp, which pairs the two halves of a rotated vector otherwise than transformers."""
    shape = fly.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("fly")
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_attention_heads)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(b.VOCABULARY)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if len(t) > 1 else gguf.TokenType.NORMAL for t in b.VOCABULARY]
    )
    writer.add_token_merges(["~ ~"])  # never applies; llama.cpp refuses an empty list
    writer.add_eos_token_id(b.ID[b.EOS])
    writer.add_pad_token_id(b.ID[b.PAD])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in fly.state_dict().items():
        values = tensor.numpy().astype(np.float32)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            values = paired(values, shape.num_attention_heads)
        writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@torch.no_grad()
def check(fly: Fly, out: Path) -> float:
    """Largest difference of logits between transformers, from the files, and the network itself."""
    tokenizer = AutoTokenizer.from_pretrained(out)
    theirs = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    worst = 0.0
    for problems in held_out_problems(40, 0).values():
        candidates = b.chain_tokens(problems, problems[..., 1])[:, None].repeat(3, 1)
        tokens = b.prompt_tokens(problems, candidates)
        text = b.decode(tokens[0])
        message = [{"role": "user", "content": text}]
        if tokenizer(text)["input_ids"] != tokens[0].tolist() or tokenizer.decode(tokens[0]) != text:
            raise SystemExit(f"the tokenizer reads {text!r} otherwise")
        if tokenizer.apply_chat_template(message, tokenize=False) != text:
            raise SystemExit("the chat template is not the identity")
        ids = torch.as_tensor(tokens)
        worst = max(worst, float((theirs(ids).logits - fly(ids)).abs().max()))
    if worst > 1e-3:
        raise SystemExit(f"transformers' logits differ by {worst}")
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", default="fly", choices=["fly", "base"])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    fly = loaded(given.folder, given.name)
    write_transformers(fly, given.out)
    write_gguf(fly, given.out / "fly.gguf")
    print(f"logits agree with transformers within {check(fly, given.out):.1e}")
    identity = torch.load(given.folder / f"{given.name}.pt", weights_only=False)["identity"]
    (given.out / "training.json").write_text(json.dumps(identity, indent=1) + "\n")
    written = ["model.safetensors", "fly.gguf", "config.json", "tokenizer.json", "training.json"]
    sums = {name: hashlib.sha256((given.out / name).read_bytes()).hexdigest() for name in written}
    (given.out / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    print((given.out / "SHA256SUMS").read_text(), end="")


if __name__ == "__main__":
    main()
