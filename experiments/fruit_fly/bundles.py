"""The locks of ``evolve_llm_problems.locks`` as arrays: problems, faultless chains, prompts, marks.

One token a character.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from evolve_llm_problems.locks import LABELS, LAZINESS, OPEN, SHUT, TURN, Lock, held_out
from numpy.typing import NDArray

Array = NDArray[np.int64]
Generator = np.random.Generator

PAD, EOS = "<pad>", "<eos>"
CHARACTERS = "0123456789" + LABELS + "<>|;" + OPEN + SHUT
VOCABULARY = [PAD, EOS, *CHARACTERS]
VOCABULARY += [f"<unused{i}>" for i in range(32 - len(VOCABULARY))]
ID = {token: i for i, token in enumerate(VOCABULARY)}
ZERO = ID["0"]
SLOT = 6
"""Tokens of one lock, in a question as in a chain: what a step needs stands equally far back in every lock."""

_TURN = np.array(TURN)
_LABELS = np.array([ID[label] for label in LABELS])
OPEN_IDS = np.array([ID[mark] for mark in OPEN])
_WHEELS = {
    split: np.array([w for w in product(range(10), repeat=3) if held_out(w) == (split == "held_out")])
    for split in ("train", "held_out")
}


def encode(text: str) -> list[int]:
    """Token ids of a text. Raises KeyError for a character outside the vocabulary."""
    return [ID[character] for character in text]


def decode(ids: Array) -> str:
    """The text of token ids, up to the end mark."""
    text = "".join(VOCABULARY[i] for i in ids)
    return text.split(EOS)[0]


def draw(rng: Generator, count: int, n: int, split: str, laziness: float = LAZINESS) -> Array:
    """``count`` bundles of n locks, [count, n, 4]: wheels and target. Keys as in ``evolve_llm_problems.locks``."""
    wheels = _WHEELS[split][rng.integers(len(_WHEELS[split]), size=(count, n))]
    lazy = rng.random((count, n)) < laziness
    keys = (wheels[..., 0] + np.where(lazy, 0, rng.integers(1, 10, (count, n)))) % 10
    return np.concatenate([wheels, turns(wheels, keys)[..., -1:]], -1)


def from_locks(locks: list[list[Lock]]) -> Array:
    """Bundles of one size as an array [count, n, 4]."""
    return np.array([[[*lock.wheels, lock.target] for lock in bundle] for bundle in locks])


def turns(bundles: Array, keys: Array) -> Array:
    """The three turns of each key, [..., 3]."""
    y, steps = keys, []
    for place in range(3):
        y = (_TURN[y] + bundles[..., place]) % 10
        steps.append(y)
    return np.stack(steps, -1)


def true_keys(bundles: Array) -> Array:
    """The key of each lock, found by trying all ten."""
    opens = [turns(bundles, np.full(bundles.shape[:2], key))[..., -1] == bundles[..., 3] for key in range(10)]
    return np.stack(opens, -1).argmax(-1)


def question_tokens(bundles: Array) -> Array:
    """[count, 6n]."""
    count, n, _ = bundles.shape
    out = np.empty((count, n, SLOT), int)
    out[..., 0] = _LABELS[:n]
    out[..., 1:5] = ZERO + bundles
    out[..., 5] = ID[";"]
    return out.reshape(count, -1)


def chain_tokens(bundles: Array, keys: Array) -> Array:
    """The faultless chains that try these keys, [count, 6n]."""
    count, n, _ = bundles.shape
    steps = turns(bundles, keys)
    out = np.empty((count, n, SLOT), int)
    out[..., 0] = _LABELS[:n]
    out[..., 1] = ZERO + keys
    out[..., 2:5] = ZERO + steps
    out[..., 5] = np.where(steps[..., -1] == bundles[..., 3], OPEN_IDS[:n], ID[SHUT])
    return out.reshape(count, -1)


def prompt_tokens(bundles: Array, candidates: Array | None = None) -> Array:
    """``<`` candidates, each closed by ``|``, then the question and ``>``. Candidates are [count, K, 6n].

    The question comes last, so that question and answer lie alike in every prompt, whatever K is.
    """
    count = len(bundles)

    def column(character: str) -> Array:
        return np.full((count, 1), ID[character])

    parts = [column("<")]
    for k in range(0 if candidates is None else candidates.shape[1]):
        parts += [candidates[:, k], column("|")]
    return np.concatenate([*parts, question_tokens(bundles), column(">")], 1)


@dataclass(frozen=True)
class Marks:
    """Of chains [count, 6n + 1]: the guesses (-1 where there is none), whether the whole text is faultless,
    whether each lock is opened in faultless text, how many locks the chain itself calls open, and whether
    the answer is right (guesses alone, in well-formed text: what the grader sees)."""

    keys: Array
    faultless: NDArray[np.bool_]
    opened: NDArray[np.bool_]
    claims: Array
    right: NDArray[np.bool_]


def mark(bundles: Array, chains: Array) -> Marks:
    """Compare chains, end mark included, with the faultless chains of their own guesses."""
    count, n, _ = bundles.shape
    slots = chains[:, : SLOT * n].reshape(count, n, SLOT)
    ended = chains[:, SLOT * n] == ID[EOS]
    digits = slots[..., 1:5] - ZERO
    is_digit = ((digits >= 0) & (digits <= 9)).all(-1)
    verdict = (slots[..., 5] == ID[SHUT]) | (slots[..., 5] == OPEN_IDS[:n])
    formed = is_digit & verdict & (slots[..., 0] == _LABELS[:n])
    keys = np.where(formed, digits[..., 0], 0)
    same = (chain_tokens(bundles, keys).reshape(slots.shape) == slots).all(-1)
    good = keys == true_keys(bundles)
    whole = formed.all(-1) & ended
    return Marks(
        np.where(formed, keys, -1),
        whole & same.all(-1),
        same & good,
        (slots[..., 5] == OPEN_IDS[:n]).sum(-1),
        whole & good.all(-1),
    )
