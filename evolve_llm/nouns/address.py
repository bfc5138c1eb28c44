"""Where a completion belongs: the key of the store, the seed's source, and what a request is known by."""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """Where a completion belongs within its problem."""

    generation: int
    slot: int
    purpose: str
    call: int
