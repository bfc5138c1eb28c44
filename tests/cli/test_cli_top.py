"""``evolve-llm top``: a run that another process makes, watched from outside."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import PROGRAM, Cli, Outcome, start

from evolve_llm.cli.sparkline import course, duration, sparkline
from evolve_llm.cli.top import Watch
from evolve_llm.record.run_files import read_run_json


def test_a_sparkline_has_one_bar_a_value() -> None:
    assert sparkline([0.0, 0.5, 1.0, None, 2.0, -1.0]) == "▁▅█ █▁"
    assert sparkline([1.0, 2.0, 4.0], top=4.0) == "▃▅█"
    assert course("pass@1", [0.25, None, 0.5]) == "pass@1 ▃ ▅ 0.250 → 0.500"
    assert course("pass@1", [None]) == ""


def test_a_duration_is_never_too_short() -> None:
    assert [duration(0.0), duration(59.2), duration(3600.0)] == ["0:01", "1:00", "1:00:01"]


def test_a_complete_run_is_shown_once(cli: Cli, run: Callable[..., Outcome]) -> None:
    run("--out", "here")
    outcome = cli("top", "here")
    assert outcome.code == 0
    assert "3 of 3 problems finished" in outcome.out
    assert "ETA" not in outcome.out
    assert outcome.out.count("pass@1 ") >= 2  # the column and the course


@pytest.mark.parametrize("given", [".", "nowhere", "here/run.db"])
def test_what_is_no_run_is_told(cli: Cli, run: Callable[..., Outcome], given: str) -> None:
    run("--out", "here")
    outcome = cli("top", given)
    assert outcome.code == 2
    assert "not a run directory" in outcome.err


def test_speed_is_that_of_the_last_looks(run: Callable[..., Outcome]) -> None:
    run("--out", "here")
    watch = Watch(Path("here"), read_run_json(Path("here"))["config"])
    watch.look(100.0)
    assert watch.speed() == (0.0, 0.0)
    when, completions, tokens = watch.seen[0]
    watch.seen.appendleft((when - 10, completions - 20, tokens - 500))
    assert watch.speed() == (2.0, 50.0)
    watch.look(200.0)
    assert len(watch.seen) == 2  # what is older than the window goes


def test_a_running_run_is_followed_to_its_end(problems: str, tmp_path: Path) -> None:
    out = tmp_path / "here"
    process = start(
        "run",
        "--problems",
        problems,
        "--model",
        "scripted:delay=0.25",
        "--concurrency",
        "2",
        "--out",
        str(out),
    )
    while not (out / "run.db").exists():
        assert process.poll() is None
        time.sleep(0.05)
    ours, theirs = pty.openpty()
    watching = subprocess.Popen([*PROGRAM, "top", str(out), "--every", "0.2"], stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert watching.wait(timeout=30) == 0
    assert process.wait(timeout=30) == 0
    text = seen.decode()
    assert "under way" in text
    assert "tokens/s" in text
    assert "3 of 3 problems finished" in text
