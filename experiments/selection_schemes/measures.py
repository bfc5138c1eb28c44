"""One problem's run as numbers. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from evolve_llm.analysis.metrics import mean, measure
from evolve_llm.nouns.candidate import Candidate
from evolve_llm.record.store import StoredPopulation


def effective_ancestors(populations: Sequence[Sequence[Candidate]]) -> float:
    """How many founders, used equally, the last population's descent amounts to: 1/Σw².

    Each last member owes 1/N to itself, and everyone hands what is owed to them to their parents in equal parts; w is
    what each founder (a member without parents) ends with. N for a generation 0 that is used evenly, K where
    all descend from one set of K. Drift lowers it; it is a matter of the pedigree, not of texts.

    Source: effective number of founders, Lacy, Zoo Biology 8:111, 1989; contributions as in pedigree analysis,
    Wray and Thompson, Genetical Research 55:41, 1990.
    """
    owed = {one.uid: 1 / len(populations[-1]) for one in populations[-1]}
    founders: dict[str, float] = {}
    for members in reversed(populations):
        before: dict[str, float] = {}
        for one in members:
            share = owed.pop(one.uid, 0.0)
            if not one.parents:
                founders[one.uid] = founders.get(one.uid, 0.0) + share
            for uid in one.parents:
                before[uid] = before.get(uid, 0.0) + share / len(one.parents)
        for uid, share in before.items():
            owed[uid] = owed.get(uid, 0.0) + share
    return 1 / sum(share**2 for share in founders.values())


def fingerprint(population: StoredPopulation) -> str:
    """A digest of the texts of a population, in order of slots."""
    found = hashlib.blake2b(digest_size=8)
    for one in sorted(population.members, key=lambda one: one.slot):
        found.update(one.text.encode() + b"\0")
    return found.hexdigest()


def row(populations: Sequence[StoredPopulation]) -> dict[str, Any]:
    """The outcomes of one problem under one arm and seed, as DESIGN.md names them.

    pass@1 by generation; ``speed``, its mean over generations 1 to T-1; majority, pass@N and distinct answers of
    the last population; effective ancestors; a digest of generation 0.
    """
    measured = [measure(one.members, one.verdicts) for one in populations]
    last = measured[-1]
    return {
        "by generation": [one.pass_1 for one in measured],
        "pass@1": last.pass_1,
        "majority": last.majority,
        "pass@N": last.pass_n,
        "distinct": float(last.distinct),
        "ancestors": effective_ancestors([one.members for one in populations]),
        "speed": mean([one.pass_1 for one in measured[1:] if one.pass_1 is not None]),
        "first": fingerprint(populations[0]),
        "failed": sum(one.failed for one in measured),
        "truncated": sum(one.truncated for one in measured),
    }
