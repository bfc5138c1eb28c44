"""Sampling with the fly, many rows at once: its weights laid out for it, one pass for all rows, and drafts.

Pure functions of prompts, seeds and weights; ``batched.py`` makes a backend of them. A row's text depends on its
prompt, its seed and the weights, never on what it is batched with, up to the last bits of a float32 sum (see
`uniforms`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from bundles import EOS, ID, SLOT, ZERO
from evolve_llm_problems.locks import LABELS, OPEN, SHUT, TURN, Lock, read_question
from model import Fly, Shape
from numpy.typing import NDArray
from safetensors.torch import load as read_safetensors
from torch import Tensor

HEAD_SIZE = 32
"""Of every fly; the weights tell all other sizes."""

CHUNK_TOKENS = 1024
"""Prompt tokens that go through the network at once: more do not stay in the cache of a core."""

END = ID[EOS]

Cache = list[tuple[Tensor, Tensor]]


def load_fly(path: Path) -> Fly:
    """The network of a weights file; its sizes are read off the weights."""
    if path.suffix == ".pt":
        weights = torch.load(path, weights_only=False, map_location="cpu")["weights"]
    else:
        weights = read_safetensors(path.read_bytes())
    words, width = weights["model.embed_tokens.weight"].shape
    shape = Shape(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=len(weights["model.layers.0.mlp.gate_proj.weight"]),
        num_hidden_layers=1 + max(int(name.split(".")[2]) for name in weights if ".layers." in name),
        num_attention_heads=width // HEAD_SIZE,
    )
    fly = Fly(shape)
    fly.load_state_dict(weights)
    return fly.eval()


@dataclass(frozen=True, slots=True)
class Shared:
    """What the requests of one batch have in common: lengths in tokens, and how to sample."""

    prompt: int
    room: int
    temperature: float
    logprobs: bool


Sampled = tuple[list[int], list[float]]
"""Tokens of one row, the end mark included, and their log-probabilities where they were asked for."""


def uniforms(seeds: Sequence[int], room: int) -> NDArray[np.float64]:
    """Random numbers in [0, 1) for each row, [rows, room], a function of the row's own seed.

    Philox is counter-based: the first numbers are the same whatever ``room`` is. One number picks one token from the
    cumulated probabilities, so another batch, whose logits differ in the last bits, gives another token
    only where the number falls within 1e-6 of a boundary.
    """
    out = np.empty((len(seeds), room))
    for row, seed in zip(out, seeds, strict=True):
        np.random.Generator(np.random.Philox(key=seed)).random(out=row)
    return out


class Network:
    """The weights of a `Fly`, laid out for sampling: fused matrices, norms folded in.

    ``cache`` is a list of (keys, values) for each layer, each [rows, heads, positions, head size].
    """

    def __init__(self, fly: Fly) -> None:
        self.shape = fly.shape
        self.words = fly.model.embed_tokens.weight.detach()
        self.head = self.words * fly.model.norm.weight.detach()
        self.turn = fly.turn
        self._room: Cache = []
        self.layers = []
        for layer in fly.model.layers:
            a, m = layer.self_attn, layer.mlp
            qkv = (
                torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]) * layer.input_layernorm.weight
            )
            gate_up = (
                torch.cat([m.gate_proj.weight, m.up_proj.weight]) * layer.post_attention_layernorm.weight
            )
            parts = (qkv, a.o_proj.weight, gate_up, m.down_proj.weight)
            self.layers.append([part.detach().contiguous() for part in parts])

    def room(self, rows: int, positions: int) -> Cache:
        """A cache for one batch: the same memory again and again, since fresh pages cost a fifth of the time.

        What it holds is stale but finite, and masked until it is written.
        """
        size = (rows, self.shape.num_attention_heads, positions, self.shape.head_size)
        count = math.prod(size)
        if not self._room or self._room[0][0].numel() < count:
            self._room = [(torch.zeros(count), torch.zeros(count)) for _ in self.layers]
        return [(keys[:count].view(size), values[:count].view(size)) for keys, values in self._room]

    def read(self, tokens: Tensor, cache: Cache, last: int) -> Tensor:
        """Fill the cache with texts of one length; logits after their last tokens, [rows, last, vocabulary]."""
        length = tokens.shape[1]
        size = max(1, CHUNK_TOKENS // length)
        turn = [table[None, :length, None] for table in self.turn]
        pieces = []
        for first in range(0, len(tokens), size):
            part = slice(first, first + size)

            def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, part: slice = part) -> Tensor:
                keys, values = cache[layer]
                keys[part, :, :length], values[part, :, :length] = k, v
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)

            pieces.append(self._pass(tokens[part], turn, attend, last))
        return torch.cat(pieces)

    def step(self, tokens: Tensor, cache: Cache, starts: Tensor) -> Tensor:
        """Some more tokens a row, [rows, m], from the row's own position on; logits after each of them."""
        rows, more = tokens.shape
        places = starts[:, None] + torch.arange(more)
        turn = [table[places][:, :, None] for table in self.turn]
        end = int(starts.max()) + more
        seen = (torch.arange(end) <= places[..., None])[:, None]
        which = torch.arange(rows)[:, None]

        def attend(q: Tensor, k: Tensor, v: Tensor, layer: int) -> Tensor:
            keys, values = cache[layer]
            keys[which, :, places], values[which, :, places] = k.transpose(1, 2), v.transpose(1, 2)
            return F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], attn_mask=seen)

        return self._pass(tokens, turn, attend, more)

    def _pass(
        self, tokens: Tensor, turn: Sequence[Tensor], attend: Callable[..., Tensor], last: int
    ) -> Tensor:
        x = F.embedding(tokens, self.words)
        rows, length, width = x.shape
        heads, size = self.shape.num_attention_heads, self.shape.head_size
        for number, (qkv, out, gate_up, down) in enumerate(self.layers):
            all_three = F.linear(self._norm(x), qkv).view(rows, length, 3 * heads, size)
            qk, v = all_three[:, :, : 2 * heads], all_three[:, :, 2 * heads :]
            qk = qk * turn[0] + torch.cat([-qk[..., size // 2 :], qk[..., : size // 2]], -1) * turn[1]
            q, k = qk[:, :, :heads], qk[:, :, heads:]
            mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), number).transpose(1, 2)
            x = x + F.linear(mixed.reshape(rows, length, width), out)
            if number + 1 == len(self.layers):
                x = x[:, -last:]
            gate, up = F.linear(self._norm(x), gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        return F.linear(self._norm(x), self.head)

    def _norm(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], None, self.shape.rms_norm_eps)


def draft(locks: Sequence[Lock], written: Sequence[int]) -> list[int]:
    """What a faultless chain would go on with, as far as that can be known: up to the next guess, or the end mark.

    ``written`` are the tokens so far. The fly mostly writes just this, and where it does, six tokens cost
    one pass (speculative decoding: Leviathan et al., arXiv 2211.17192). The text does not depend on it.
    """
    place, inside = divmod(len(written), SLOT)
    if place >= len(locks):
        return [END]
    if inside < 2:
        return [] if inside else [ID[LABELS[place]]]
    y, lock, found = written[-1] - ZERO, locks[place], []
    if not 0 <= y <= 9:
        return []
    for wheel in lock.wheels[inside - 2 :]:
        y = (TURN[y] + wheel) % 10
        found.append(ZERO + y)
    verdict = ID[OPEN[place] if y == lock.target else SHUT]
    return [*found, verdict, ID[LABELS[place + 1]] if place + 1 < len(locks) else END]


@torch.inference_mode()
def sample_rows(net: Network, prompts: Sequence[str], seeds: Sequence[int], shared: Shared) -> list[Sampled]:
    """Sample after each prompt until its end mark or ``room`` tokens. Temperature 0 is greedy.

    Equal prompts are read once. Each pass takes a row's last token and the `draft` of what follows; what stays of
    the draft is what the row's own random numbers would have picked one by one.
    """
    start, room = shared.prompt, shared.room
    locks = [_locks(text) for text in prompts]
    written: list[list[int]] = [[] for _ in prompts]
    likely: list[list[float]] = [[] for _ in prompts]
    drafts = [draft(bundle, []) for bundle in locks]
    numbers = torch.from_numpy(uniforms(seeds, room + SLOT))
    texts = {text: place for place, text in enumerate(dict.fromkeys(prompts))}
    cache = net.room(len(texts), start + room + SLOT)
    first = [[ID[character] for character in text] + [ID[LABELS[0]]] for text in texts]
    logits = net.read(torch.tensor(first), cache, 2)
    if len(texts) < len(prompts):
        copies = torch.tensor([texts[text] for text in prompts])
        logits, cache = logits[copies], [(k[copies], v[copies]) for k, v in cache]
    rows = list(range(len(prompts)))  # those in the cache
    while True:
        places = torch.tensor([len(written[row]) for row in rows])[:, None] + torch.arange(logits.shape[1])
        chosen = _drawn(logits, numbers[torch.tensor(rows)[:, None], places], shared.temperature)
        chances = (
            F.log_softmax(logits, -1).gather(2, chosen[..., None])[..., 0].tolist() if shared.logprobs else []
        )
        for index, (row, picked) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            tokens = written[row]
            if not _open(tokens, room):
                continue
            guessed = drafts[row]
            right = next((i for i, guess in enumerate(guessed) if guess != picked[i]), len(guessed))
            kept = picked[: min(right + 1, room - len(tokens))]
            kept = kept[: kept.index(END) + 1] if END in kept else kept
            tokens += kept
            if chances:
                likely[row] += chances[index][: len(kept)]
        going = [index for index, row in enumerate(rows) if _open(written[row], room)]
        if not going:
            return list(zip(written, likely, strict=True))
        if len(going) <= len(rows) // 2:
            rows = [rows[index] for index in going]
            cache = [(k[going], v[going]) for k, v in cache]
        for row in rows:
            drafts[row] = draft(locks[row], written[row])
        width = 1 + max(len(drafts[row]) for row in rows)
        fed = [[written[row][-1], *drafts[row]] for row in rows]
        starts = torch.tensor([start + len(written[row]) - 1 for row in rows])
        logits = net.step(torch.tensor([one + [END] * (width - len(one)) for one in fed]), cache, starts)


def _open(tokens: Sequence[int], room: int) -> bool:
    return not tokens or (tokens[-1] != END and len(tokens) < room)


def _locks(prompt: str) -> list[Lock]:
    """The locks of a prompt's question, none where it has no such thing."""
    try:
        return read_question(prompt.rpartition("|")[2].strip("<>"))
    except ValueError:
        return []


def _drawn(logits: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    cumulated = F.softmax(logits.double() / temperature, -1).cumsum(-1)
    return (cumulated < numbers[..., None] * cumulated[..., -1:]).sum(-1)
