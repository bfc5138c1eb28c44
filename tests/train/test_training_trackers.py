"""Trackers beside a training: told of every step once, and none of them can end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evolve_llm.integrations.trackers.steps import FILE, StepTracking


class Told:
    """A tracker that remembers what it was told, and fails where it is asked to."""

    def __init__(self, fails: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails = fails

    def _note(self, call: str, *given: Any) -> None:
        if call == self.fails:
            raise OSError("the server has gone")
        self.calls.append((call, *given))

    def start(self, name: str, parameters: dict[str, Any], known: str | None) -> str:
        self._note("start", name, parameters["beta"], known)
        return "run-7"

    def log(self, step: int, metrics: dict[str, float]) -> None:
        self._note("log", step, metrics)

    def finish(self, *, complete: bool) -> None:
        self._note("finish", complete)


def steps(folder: Path, tracker: Told, numbers: range, warnings: list[str], *, complete: bool) -> None:
    tracking = StepTracking({"told": tracker}, folder, {"beta": 0.1}, warnings.append)  # type: ignore[dict-item]
    for number in numbers:
        tracking.note({"step": number, "reward": number / 10, "kl": None})
    tracking.end(complete=complete)


def test_a_training_that_goes_on_tells_each_step_once(tmp_path: Path) -> None:
    first, second = Told(), Told()
    steps(tmp_path, first, range(1, 5), [], complete=False)
    assert (tmp_path / FILE).is_file()
    steps(tmp_path, second, range(3, 7), [], complete=True)  # from the checkpoint of step 2
    assert first.calls[0] == ("start", tmp_path.name, 0.1, None)
    assert second.calls[0] == ("start", tmp_path.name, 0.1, "run-7")
    logged = [call[1:] for call in (*first.calls, *second.calls) if call[0] == "log"]
    assert logged == [(number, {"reward": number / 10}) for number in range(1, 7)]
    assert (first.calls[-1], second.calls[-1]) == (("finish", False), ("finish", True))


@pytest.mark.parametrize("call", ["start", "log", "finish"])
def test_a_tracker_that_fails_is_left_alone_and_said_once(tmp_path: Path, call: str) -> None:
    warnings: list[str] = []
    tracker = Told(fails=call)
    steps(tmp_path, tracker, range(1, 4), warnings, complete=True)
    assert len(warnings) == 1
    assert (
        "the tracker told failed and is left alone from here on; the training goes on: OSError" in warnings[0]
    )
    assert not any(made[0] == call for made in tracker.calls)


def test_nothing_is_begun_for_a_training_that_is_done(tmp_path: Path) -> None:
    tracker = Told()
    steps(tmp_path, tracker, range(0), [], complete=True)
    assert tracker.calls == []
