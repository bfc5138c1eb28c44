"""The one contract between the engine and anything that grades."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

from evolve_llm.nouns.verdict import Grade, Verdict

__all__ = ["Grade", "Grader", "Verdict"]

Isolation = Literal["worker", "sandbox", "own"]


@runtime_checkable
class Grader(Protocol):
    """Compares answers with a reference and with each other.

    Plugs in by an entry point of the group ``evolve_llm.graders`` that names an instance. ``grade`` and
    ``canonical`` run in another process that is killed at a deadline, so they may hang or crash and
    need no time-outs of their own; ``quick`` and ``quick_canonical`` run in the machine's own process,
    must be linear in the length of the answer, and settle the plain cases without a round trip.

    A grader may have two methods more. ``deadline(reference) -> float``: the seconds one item may take, where the
    pool's own deadline is too short for it. ``behaviour(answer, metadata) -> str``: a canonical form that depends
    on what is public of the problem (its metadata), asked for in place of ``canonical``, in the same isolation.
    """

    name: str

    def isolation(self, reference: Any) -> Isolation:
        """``worker``: a killable process is enough. ``sandbox``: grading may execute the answer.

        ``own``: the grader starts a sandbox of its own for each answer (``sandbox.command``), from a plain worker;
        as many workers as cores then.
        """
        ...

    def quick(self, answer: str, reference: Any) -> Verdict | None:
        """A verdict where a plain comparison settles it, else None."""
        ...

    def grade(self, answer: str, reference: Any) -> Verdict:
        """The full verdict. Raises only for faults of its own, which become ``ungraded``."""
        ...

    def quick_canonical(self, answer: str) -> str | None:
        """A form that all equivalent answers share, where text alone gives it, else None."""
        ...

    def canonical(self, answer: str) -> str:
        """A form that equivalent answers share; at worst the whitespace-normalised text."""
        ...
