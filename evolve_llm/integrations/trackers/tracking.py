"""Carries trackers along a run: beside it, so that none can slow it down, hold it up or end it."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve_llm import __version__
from evolve_llm.basics.whole_file import write_whole
from evolve_llm.integrations.trackers.contract import Parameter, Tracker
from evolve_llm.nouns.errors import EvolveError, UserError
from evolve_llm.record.paging import PagedReader
from evolve_llm.record.run_files import read_run_json
from evolve_llm.scheme import registry

FILE = "run.trackers.json"
"""In the run directory: the id of the run in each tracker, and the generations that it has been told of."""

EVERY = 0.5
"""The least time between two looks at the run, in seconds."""
PATIENCE = 60.0
"""How long the end of a run waits for its trackers, in seconds."""
LONGEST = 250
"""Characters of a parameter."""

_METRICS = {
    "accuracy": "pass_at_1", "any_correct": "pass_at_n", "majority": "majority", "classes": "classes",
    "truncated": "truncated", "failed": "failed", "problems": "problems",
    "entropy": "entropy", "effective_parents": "effective_parents", "lost": "lost_minorities",
}  # fmt: skip


def make_trackers(specs: Sequence[str]) -> dict[str, Tracker]:
    """The trackers that ``NAME`` or ``NAME:ARGUMENT`` name, by their specs without credentials.

    Raises UserError for an unknown name, one given twice, and one whose package is missing.
    """
    found: dict[str, Tracker] = {}
    for spec in specs:
        name, _, argument = spec.partition(":")
        shown = re.sub(r"://[^/@]*@", "://", spec.strip())
        if shown in found:
            raise UserError(f"--track {shown} is given twice")
        found[shown] = registry.load("tracker", name.strip())(argument.strip())
    return found


def parameters_of(config: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Parameter]:
    """A run's settings by dotted key: the preset's, and which model, problems, seed and version."""
    found: dict[str, Parameter] = {}
    _flatten("preset", config["preset"], found)
    found |= {
        "model": config["model"],
        "seed": config["seed"],
        "problems": config["problems"]["count"],
        "problem_set": environment.get("problems") or "from Python",
        "evolve_llm": __version__,
    }
    return {key: value[:LONGEST] if isinstance(value, str) else value for key, value in found.items()}


def _flatten(where: str, value: Any, found: dict[str, Parameter]) -> None:
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key not in ("description", "source"):
                _flatten(f"{where}.{key}", one, found)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            _flatten(f"{where}.{place}", one, found)
    elif value is not None:
        found[where] = value


class Tracking:
    """The trackers of one run, in a thread of their own.

    ``begin`` comes once the run directory is there, ``note`` after each finished generation of a problem, ``end``
    when the run has ended in whatever way. What a tracker raises is told to ``warn`` once, and it is left
    alone from then on.
    """

    def __init__(self, trackers: Mapping[str, Tracker], warn: Callable[[str], None]) -> None:
        self._trackers, self._warn = dict(trackers), warn
        self._news, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._path = Path()
        self._state: dict[str, dict[str, Any]] = {}
        self._report: Callable[[Path], object] | None = None

    def begin(self, path: Path) -> None:
        """Start the trackers of the run in this directory."""
        self._path = path
        self._thread = threading.Thread(target=self._work, name="evolve-llm-trackers", daemon=True)
        self._thread.start()

    def note(self) -> None:
        """Say that there may be something new."""
        self._news.set()

    def end(self, report: Callable[[Path], object] | None = None, patience: float = PATIENCE) -> None:
        """Tell the trackers the rest and close them, waiting no longer than ``patience`` seconds for them.

        ``report`` writes the file that they keep to a path.
        """
        if self._thread is None:
            return
        self._report = report
        self._ended.set()
        self._news.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            names = ", ".join(self._trackers)
            self._warn(
                f"the tracker {names} did not answer within {patience:g} s: it may lack the end of this run"
            )

    def _work(self) -> None:
        described = read_run_json(self._path)
        self._state = _read_state(self._path)
        parameters = parameters_of(described["config"], described.get("environment", {}))
        for spec in list(self._trackers):
            known = self._state.get(spec, {}).get("id")
            begun = self._try(spec, "start", self._path.resolve().name, parameters, known)
            if begun is not None:
                self._state.setdefault(spec, {"logged": []})["id"] = begun
        self._keep()
        while not self._ended.is_set():
            self._news.wait()
            self._news.clear()
            self._look()
            self._ended.wait(EVERY)
        self._look()
        self._finish()

    def _look(self) -> None:
        """Tell each tracker of the generations that all problems have closed and it does not know."""
        try:
            with PagedReader(self._path) as reader:
                closed = reader.closed()
                new = {
                    one for spec in self._trackers for one in closed if one not in self._state[spec]["logged"]
                }
                rows = _metrics(reader) if new else {}
        except EvolveError:
            return  # it is being compacted: the next look will tell
        for generation in sorted(new):
            for spec in list(self._trackers):
                if generation not in self._state[spec]["logged"]:
                    self._try(spec, "log", generation, rows[generation])
                    self._state[spec]["logged"].append(generation)
        if new:
            self._keep()

    def _finish(self) -> None:
        config = read_run_json(self._path)["config"]
        with PagedReader(self._path) as reader:
            complete = len(reader.finished()) == config["problems"]["count"]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.html"
            if complete and self._report is not None and self._trackers:
                try:
                    self._report(file)
                except EvolveError as error:
                    self._warn(f"the trackers keep no report: {error}")
            for spec in list(self._trackers):
                if file.exists() and not self._state[spec].get("reported"):
                    self._try(spec, "artefact", file)
                    self._state[spec]["reported"] = True
                self._try(spec, "finish", complete=complete)
        self._keep()

    def _try(self, spec: str, call: str, *given: Any, **named: Any) -> Any:
        """What a call to a tracker gives; where it raises, the tracker is given up, loudly."""
        tracker = self._trackers.get(spec)
        if tracker is None:
            return None
        try:
            return getattr(tracker, call)(*given, **named)
        except Exception as error:  # somebody else's service may fail in any way
            del self._trackers[spec]
            self._warn(
                f"the tracker {spec} failed and is left alone from here on; the run goes on: "
                f"{type(error).__name__}: {str(error)[:300]}"
            )
            return None

    def _keep(self) -> None:
        try:
            write_whole(self._path / FILE, json.dumps(self._state))
        except EvolveError as error:
            self._warn(f"which run of a tracker this is could not be kept: {error}")


def _read_state(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier session kept; nothing where that cannot be read, so that a new run of the tracker begins."""
    try:
        found = json.loads((path / FILE).read_text("utf-8"))
        return {spec: {**one, "logged": list(one["logged"])} for spec, one in found.items() if one.get("id")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _metrics(reader: PagedReader) -> dict[int, dict[str, float]]:
    """The metrics of every generation, without those that there are not."""
    found: dict[int, dict[str, float]] = {}
    for row in (*reader.by_generation(), *reader.diversity()):
        mine = found.setdefault(row["generation"], {})
        mine |= {name: float(row[key]) for key, name in _METRICS.items() if row.get(key) is not None}
    for generation, _, requests, prompt, completion, _ in reader.tokens():
        mine = found.setdefault(generation, {})
        for name, count in (
            ("requests", requests),
            ("prompt_tokens", prompt),
            ("completion_tokens", completion),
        ):
            mine[name] = mine.get(name, 0.0) + count
    spent = 0.0
    for generation in sorted(found):
        spent += found[generation].get("prompt_tokens", 0.0) + found[generation].get("completion_tokens", 0.0)
        found[generation]["tokens_so_far"] = spent
    return found
