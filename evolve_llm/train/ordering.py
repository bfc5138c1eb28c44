"""Which row comes when: every step holds as many standard prompts as aggregation prompts, or one kind alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.seeding import derive

KINDS = ("standard", "aggregation")


def in_turn(
    kinds: Sequence[str], prompts: int, steps: int, seed: int, wanted: Sequence[str] = KINDS
) -> list[int]:
    """The places of the rows of ``steps`` steps with ``prompts`` prompts each, step after step.

    The ``wanted`` kinds come in turn, and ``prompts`` is a multiple of their number, so that every step has as many of
    each. A kind is shuffled anew for every pass through its rows, from the seed. Raises UserError where one is missing.
    """
    places = {kind: [place for place, one in enumerate(kinds) if one == kind] for kind in wanted}
    for kind, found in places.items():
        if not found:
            raise UserError(f"the training set has no {kind} rows; make it again with evolve-llm train-data")
    streams = [_passes(found, kind, seed) for kind, found in places.items()]
    return [next(stream) for _ in range(steps * prompts // len(wanted)) for stream in streams]


def _passes(places: Sequence[int], kind: str, seed: int) -> Iterator[int]:
    number = 0
    while True:
        shuffled = list(places)
        Random(derive(seed, "", number, 0, f"train {kind}")).shuffle(shuffled)
        yield from shuffled
        number += 1
