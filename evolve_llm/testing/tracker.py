"""The contract of trackers: a run is begun, told of, left, and gone on with under the same id."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from evolve_llm.integrations.trackers.contract import Parameter, Tracker
from evolve_llm.testing.wording import broken, shown

PARAMETERS: dict[str, Parameter] = {
    "preset.name": "rsa", "preset.population": 16, "preset.sampling.temperature": 0.7, "preset.carry.whole": True,
    "model": "<b>|a\\model|", "problem_set": "",
}  # fmt: skip
METRICS = {"pass_at_1": 0.25, "entropy": 0.0, "completion_tokens": 1e12}


class TrackerContract:
    """What a run asks of every tracker.

    Set ``factory`` to what the entry point names, and ``argument`` to what stands behind the colon. ``written``, if it
    is set, gives the metrics by generation that the tracker has kept of the run with an id: with it the suite looks
    whether all of them arrived.
    """

    factory: ClassVar[Callable[[str], Tracker]]
    argument: ClassVar[str] = ""
    written: ClassVar[Callable[[str], dict[int, dict[str, float]]] | None] = None

    def test_a_run_is_kept_whole(self) -> None:
        """It has an id of text, and its generations are those that were logged, also over two sessions."""
        found = self._run("whole", None, [0, 1], complete=False)
        again = self._run("whole", found, [2], complete=True)
        if again != found:
            broken(f"a run that goes on has the id {shown(again)}, but it was {shown(found)}")
        written = type(self).written
        if written is not None:
            kept = written(found)
            if sorted(kept) != [0, 1, 2]:
                broken(f"the generations 0, 1 and 2 were logged, and it kept {sorted(kept)}")
            for generation, metrics in kept.items():
                wrong = {
                    name
                    for name, value in METRICS.items()
                    if abs(metrics.get(name, -1.0) - value) > 1e-6 * value
                }
                if wrong:
                    broken(f"of generation {generation} it did not keep {', '.join(sorted(wrong))} as logged")

    def test_two_runs_of_one_name_are_two(self) -> None:
        """Whoever starts without a known id gets one that nobody has."""
        first, second = (self._run("twin", None, [0], complete=True) for _ in range(2))
        if first == second:
            broken(f"two runs of the same name have the same id {shown(first)}")

    def test_the_file_may_go(self) -> None:
        """An artefact is kept at once: the file is deleted after the call."""
        tracker = self._made()
        tracker.start("file", dict(PARAMETERS), None)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.html"
            file.write_text("<!doctype html>", "utf-8")
            tracker.artefact(file)
        tracker.finish(complete=True)

    def test_it_says_nothing(self) -> None:
        """Standard output is the run's own: ``--json`` is read by programs."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self._run("quiet", None, [0], complete=True)
        if out.getvalue():
            broken(f"it writes to standard output: {shown(out.getvalue())}")

    def _made(self) -> Tracker:
        return type(self).factory(self.argument)

    def _run(self, name: str, known: str | None, generations: list[int], *, complete: bool) -> str:
        tracker = self._made()
        found: Any = tracker.start(name, dict(PARAMETERS), known)
        if not isinstance(found, str) or not found:
            broken(f"start must give the run's id, a text, but it gave {shown(found)}")
        for generation in generations:
            tracker.log(generation, dict(METRICS))
        tracker.finish(complete=complete)
        return found
