"""Replacement operators: who survives into the next generation. Signature ``(parents, offspring, n) -> list``."""

from __future__ import annotations

from collections.abc import Sequence

from evolve_llm.candidate import Candidate
from evolve_llm.operator import replacement


@replacement(positional=True)
def generational(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:  # noqa: ARG001
    """The offspring, whoever the parents were: the (n, n) replacement of RSA and of DEAP's eaSimple."""
    return list(offspring[:n])
