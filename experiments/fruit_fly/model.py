"""A Llama small enough for a laptop, with the parameter names of transformers' LlamaForCausalLM, and its sampler.

Written out because transformers' own classes spend most of their time outside the matrix products at this
size; ``export.py`` checks that both give the same logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from bundles import Array
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the network, named as in a LlamaConfig."""

    vocab_size: int = 32
    hidden_size: int = 128
    intermediate_size: int = 352
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    max_position_embeddings: int = 512
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


class _Norm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.hidden_size
        self.heads, self.size = shape.num_attention_heads, shape.head_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (_linear(d, d) for _ in range(4))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, self.size).transpose(1, 2)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor] | None,
        start: int,
        last: int,
    ) -> Tensor:
        """``last``: positions from the end that need an output (all others only serve as keys and values)."""
        length = x.shape[1]
        q = _turned(self._split(self.q_proj(x[:, -last:])), turn, start + length - last)
        k = _turned(self._split(self.k_proj(x)), turn, start)
        v = self._split(self.v_proj(x))
        if cache is not None:
            cache[0][:, :, start : start + length] = k
            cache[1][:, :, start : start + length] = v
            if start:
                k, v = cache[0][:, :, : start + length], cache[1][:, :, : start + length]
        if last == 1:
            mixed = F.scaled_dot_product_attention(q, k, v)
        elif last == length and not start:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            reach = torch.ones(last, k.shape[2], dtype=torch.bool).tril(k.shape[2] - last)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=reach)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(x.shape[0], last, -1))
        return out


def _turned(x: Tensor, turn: tuple[Tensor, Tensor], start: int) -> Tensor:
    cos, sin = (table[start : start + x.shape[2]] for table in turn)
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class _Mlp(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, wide = shape.hidden_size, shape.intermediate_size
        self.gate_proj, self.up_proj, self.down_proj = _linear(d, wide), _linear(d, wide), _linear(wide, d)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = _Norm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = _Attention(shape)
        self.post_attention_layernorm = _Norm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = _Mlp(shape)


class _Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = _Norm(shape.hidden_size, shape.rms_norm_eps)


class Fly(nn.Module):
    """Input and output embeddings are tied."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = _Body(shape)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 if deep else 0.04)
        half = torch.arange(0, shape.head_size, 2) / shape.head_size
        angles = torch.outer(torch.arange(shape.max_position_embeddings), shape.rope_theta**-half)
        angles = torch.cat([angles, angles], -1)
        self.turn = (angles.cos(), angles.sin())

    def forward(
        self,
        tokens: Tensor,
        last: int | None = None,
        cache: list[tuple[Tensor, Tensor]] | None = None,
        start: int = 0,
    ) -> Tensor:
        """Logits of the last ``last`` positions (default: all), [batch, last, vocabulary]."""
        x = self.model.embed_tokens(tokens)
        last = last or tokens.shape[1]
        for i, layer in enumerate(self.model.layers):
            wanted = last if i + 1 == len(self.model.layers) else x.shape[1]
            held = None if cache is None else cache[i]
            mixed = layer.self_attn(layer.input_layernorm(x), self.turn, held, start, wanted)
            x = x[:, -wanted:] + mixed
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


@torch.inference_mode()
def sample(
    fly: Fly,
    prompts: Array,
    length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    batch: int = 256,
) -> Array:
    """``length`` tokens after each prompt (prompts of one length), [count, length]. Temperature 0 is greedy."""
    shape, out = fly.shape, []
    for first in range(0, len(prompts), batch):
        tokens = torch.as_tensor(prompts[first : first + batch])
        rows, start = tokens.shape
        room = (rows, shape.num_attention_heads, start + length, shape.head_size)
        cache = [(torch.empty(room), torch.empty(room)) for _ in range(shape.num_hidden_layers)]
        logits = fly(tokens, 1, cache)[:, -1]
        chosen: list[Tensor] = []
        for place in range(start, start + length):
            if temperature == 0:
                following = logits.argmax(-1)
            else:
                noise = torch.empty_like(logits).exponential_(generator=generator)
                following = (F.softmax(logits / temperature, -1) / noise).argmax(-1)
            chosen.append(following)
            if len(chosen) < length:
                logits = fly(following[:, None], 1, cache, place)[:, -1]
        out.append(torch.stack(chosen, 1).numpy())
    return np.concatenate(out)
