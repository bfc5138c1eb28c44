"""Carries trackers along a training: beside it, so that none can slow it down, hold it up or end it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.integrations.trackers.contract import Parameter, Tracker
from evolve_llm.integrations.trackers.tracking import PATIENCE
from evolve_llm.nouns.errors import EvolveError

FILE = "trackers.json"
"""In the folder of a training: its id in each tracker, and the last step that it was told of."""


class StepTracking:
    """The trackers of one training, in a thread of their own.

    ``note`` comes after each step and ``end`` when the training has ended in whatever way. A training that goes on from
    a checkpoint does some steps again: no tracker is told of a step twice. What a tracker raises is told to ``warn``
    once, and it is left alone from then on.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        folder: Path,
        parameters: Mapping[str, Parameter],
        warn: Callable[[str], None],
    ) -> None:
        self._trackers, self._folder, self._warn = dict(trackers), folder, warn
        self._parameters = dict(parameters)
        self._lines: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._state: dict[str, dict[str, Any]] = {}
        self._complete = False
        self._thread: threading.Thread | None = None

    def note(self, line: Mapping[str, Any]) -> None:
        """Tell of a step: its metrics, with its number under ``step``."""
        if self._thread is None:  # only now is there a folder
            self._thread = threading.Thread(target=self._work, name="evolve-llm-trackers", daemon=True)
            self._thread.start()
        self._lines.put(dict(line))

    def end(self, *, complete: bool, patience: float = PATIENCE) -> None:
        """Tell the trackers the rest and close them, waiting no longer than ``patience`` seconds for them."""
        if self._thread is None:
            return
        self._complete = complete
        self._lines.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._warn(
                f"the tracker {', '.join(self._trackers)} did not answer within {patience:g} s: it may lack the end of "
                "this training"
            )

    def _work(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._state = json.loads((self._folder / FILE).read_text("utf-8"))
        for spec in list(self._trackers):
            known = self._state.get(spec, {}).get("id")
            begun = self._try(spec, "start", self._folder.resolve().name, self._parameters, known)
            if begun is not None:
                self._state.setdefault(spec, {"step": 0})["id"] = begun
        while (line := self._lines.get()) is not None:
            step = line.pop("step")
            values = {name: float(value) for name, value in line.items() if isinstance(value, int | float)}
            for spec in list(self._trackers):
                if step > self._state[spec]["step"]:
                    self._try(spec, "log", step, values)
                    self._state[spec]["step"] = step
            self._keep()
        for spec in list(self._trackers):
            self._try(spec, "finish", complete=self._complete)

    def _try(self, spec: str, call: str, *given: Any, **named: Any) -> Any:
        """What a call to a tracker gives; where it raises, the tracker is given up, loudly."""
        try:
            return getattr(self._trackers[spec], call)(*given, **named)
        except Exception as error:  # somebody else's service may fail in any way
            self._trackers.pop(spec, None)
            self._warn(
                f"the tracker {spec} failed and is left alone from here on; the training goes on: "
                f"{type(error).__name__}: {str(error)[:300]}"
            )
            return None

    def _keep(self) -> None:
        with contextlib.suppress(EvolveError):  # the training itself says what is wrong with its folder
            write_whole(self._folder / FILE, json.dumps(self._state))
