"""The engine's process is killed in the middle of a run: it ends at once, and the same command goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from vllm_here import requires_vllm
from vllm_lent import READY_WITHIN

from evolve_llm.testing import contents

pytestmark = [requires_vllm, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(2 * READY_WITHIN + 600)]

REQUESTS = 4 * 16 * 6
END_WITHIN = 120
"""Seconds from the death of the engine to the end of the command; about five on idle cores."""

COMMAND = [
    *(sys.executable, "-c", "from evolve_llm.cli.main import main; main()", "run", "--model", "vllm:fly"),
    *("--problems", "locks", "--limit", "4", "--preset", "rsa", "--population", "16", "--parents", "2"),
    *("--generations", "6", "--max-tokens", "40", "--set", "engine.max_num_seqs=8"),
]


def rows(out: Path) -> list[tuple[object, ...]]:
    try:
        return contents(out)["completions"]
    except Exception:  # not made yet
        return []


def engine_of(process: subprocess.Popen[str]) -> psutil.Process:
    (found,) = [
        one for one in psutil.Process(process.pid).children() if one.name().startswith("VLLM::EngineCor")
    ]
    return found


def test_a_run_whose_engine_is_killed_says_so_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*COMMAND, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        try:
            deadline = time.monotonic() + READY_WITHIN
            while len(rows(out)) < 10 and first.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            family = psutil.Process(first.pid).children(recursive=True)
            engine_of(first).kill()
            _, said = first.communicate(timeout=END_WITHIN)
        finally:
            first.kill()
    assert first.returncode == 3, said
    assert "vLLM's engine died" in said
    assert "same command resumes the run" in said.replace("\n", " ").replace("  ", " ")
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []

    kept = rows(out)
    assert 10 <= len(kept) < REQUESTS
    second = subprocess.run(command, capture_output=True, text=True, timeout=READY_WITHIN + 300, check=False)
    assert second.returncode == 0, second.stderr
    after = rows(out)
    assert len(after) == REQUESTS
    assert set(kept) <= set(after)  # nothing that was stored has been written anew
    sessions = [json.loads(line) for line in (out / "sessions.jsonl").read_text().splitlines()]
    assert sessions[-1]["requests"] == REQUESTS - len(kept)  # and nothing of it was asked again
    errors = [row[13] for row in after]
    assert errors == [None] * REQUESTS  # an engine that dies fails no candidate
