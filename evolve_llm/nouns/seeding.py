"""Randomness by address: every random choice has one, and no generator's state outlives a call.

Address: (run seed, problem id, generation, slot, purpose, call). The same address gives the same draw
whatever the concurrency, the order of completions, or the number of restarts (invariants I1, I2).
"""

from __future__ import annotations

import hashlib
import random
from types import TracebackType

import numpy as np


def derive(seed: int, problem: str, generation: int, slot: int, purpose: str, call: int = 0) -> int:
    """A seed in [0, 2**63) for one address. Free strings are length-prefixed: no two addresses collide."""
    address = f"{seed}|{len(problem)}:{problem}|{generation}|{slot}|{len(purpose)}:{purpose}|{call}"
    digest = hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class rng_scope:  # noqa: N801 - used as a context manager, like contextlib's own
    """Seed ``random`` and ``numpy.random`` inside the block and put both states back after it.

    DEAP's operators draw from these global generators. The block must not await: another coroutine
    would then draw from our state.
    """

    __slots__ = ("_numpy", "_python", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        random.seed(self._seed)
        np.random.seed(self._seed & 0xFFFFFFFF)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)
