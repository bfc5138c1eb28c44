"""What a tracker is: the five calls that a run makes to it, always in this order and from one thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

Parameter = str | int | float | bool


class Tracker(Protocol):
    """One run in an experiment tracker.

    An entry point of the group ``evolve_llm.trackers`` names a function that makes one: it takes what stands behind
    the colon of ``--track NAME:ARGUMENT``, the empty string without one, and raises UserError where its
    package is missing or the argument is of no use. It must not connect to anything: ``start`` does.
    """

    def start(self, name: str, parameters: Mapping[str, Parameter], known: str | None) -> str:
        """Begin a run, or go on with the one whose id is ``known``; gives its id.

        ``name`` is the run directory's. ``parameters`` are the run's settings by dotted key.
        """
        ...

    def log(self, generation: int, metrics: Mapping[str, float]) -> None:
        """The metrics of a finished generation, once for each, in order. ``generation`` is the step."""
        ...

    def artefact(self, path: Path) -> None:
        """Keep a file. It is gone after the call."""
        ...

    def finish(self, *, complete: bool) -> None:
        """Close the run. ``complete``: every problem has its answer; otherwise the run may go on another day."""
        ...
