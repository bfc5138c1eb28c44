"""``evolve-llm`` with the flies sampled in batches by ``batched.py``: faster, and what the committed studies ran on.

    python experiments/fruit_fly/in_batches.py study experiments/selection_schemes/study.toml

The models ``fly`` and ``fly-hard`` write other texts here than in the embedded engine, since each sampler draws its own
random numbers; ``fly:FILE`` is a weights file of ``train.py`` or ``export.py``. Needs torch and safetensors.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from evolve_llm.backends.base import Backend
from evolve_llm.backends.fly import SHIPPED
from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme import registry


def fly(argument: str = "", threads: int = 1, batch: int = 64) -> Backend:
    """The fly that ships, or the weights of a file. Raises UserError where there are none."""
    from batched import batched_fly

    return batched_fly(argument or SHIPPED["fly"], threads, batch=batch)


def fly_hard(argument: str = "", threads: int = 1, batch: int = 64) -> Backend:
    """The harder fly that ships. Raises UserError for an argument."""
    from batched import batched_fly

    if argument:
        raise UserError(f"fly-hard takes no argument, got {argument!r}; for other weights write fly:FILE")
    return batched_fly(SHIPPED["fly-hard"], threads, batch=batch)


@contextlib.contextmanager
def in_batches() -> Iterator[None]:
    """The names ``fly`` and ``fly-hard`` mean these samplers until the end."""
    known = registry.available("backend")
    before = {name: known[name] for name in SHIPPED}
    for name in SHIPPED:
        value = f"{Path(__file__).stem}:{name.replace('-', '_')}"
        known[name] = EntryPoint(name, value, registry.GROUPS["backend"])
    registry.load.cache_clear()
    try:
        yield
    finally:
        known.update(before)
        registry.load.cache_clear()


if __name__ == "__main__":
    from evolve_llm.cli.main import main

    with in_batches():
        main()
