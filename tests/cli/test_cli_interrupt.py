"""Ctrl-C and SIGTERM: in order, without a traceback, and nothing is lost (invariant I2)."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from cli_helpers import Cli, start

from evolve_llm.record.store import Store


def _stored(path: Path) -> int:
    if not (path / "run.json").exists():
        return 0
    with Store.open_to_read(path) as store:
        return sum(requests for _, _, requests, *_ in store.tokens())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_resumes_to_the_bytes_of_an_uninterrupted_one(
    cli: Cli, problems: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    flags = ("run", "--problems", problems, "--json", "--concurrency", "2")
    path = tmp_path / "here"
    process = start(*flags, "--model", "scripted:delay=0.1", "--out", str(path))
    deadline = time.monotonic() + 60
    while _stored(path) < 6 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert out == ""
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if "interrupted" in line and "the same command resumes" in line]
    before = _stored(path)
    assert 6 <= before < 36

    resumed = cli(*flags, "--model", "scripted", "--out", str(path))
    assert resumed.code == 0
    assert f"resuming: {before} completions are already there" in resumed.err
    assert cli(*flags, "--model", "scripted", "--out", "whole").code == 0
    assert (path / "run.db").read_bytes() == Path("whole/run.db").read_bytes()


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    """``evolve-llm … | head``."""
    process = start("list", "operators", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=30) in (0, 1)
    assert "Traceback" not in err
    assert "Exception" not in err


def test_a_run_can_be_watched_by_another_process(cli: Cli, problems: str, tmp_path: Path) -> None:
    path = tmp_path / "here"
    process = start(
        "run",
        "--problems",
        problems,
        "--model",
        "scripted:delay=0.2",
        "--concurrency",
        "1",
        "--out",
        str(path),
    )
    try:
        while _stored(path) < 5 and process.poll() is None:
            time.sleep(0.05)
        shown = cli("show", str(path))
        assert shown.code == 0
        assert "of 3 problems" in shown.out
        assert cli("show", str(path), "--problem", "a").code == 0
        assert cli("export", str(path), "--out", "part.csv").code == 0
        assert cli("regrade", str(path)).code == 4
    finally:
        process.terminate()
        process.communicate(timeout=30)
