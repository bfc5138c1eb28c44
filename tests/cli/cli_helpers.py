"""What the tests of the command line share: a small problem file, and a program in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBLEMS = [
    {"id": "a", "question": "What is 2 + 3?", "answer": "5"},
    {"id": "b", "question": "What is 12 - 3 + 4?", "answer": "13"},
    {"id": "c", "question": "What is 100 + 1?", "answer": "101"},
]
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'evolve-llm'; from evolve_llm.cli.main import main; main()",
]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


Cli = Callable[..., Outcome]


def write_problems(path: Path, rows: list[dict[str, str]] = PROBLEMS) -> Path:
    """A JSONL problem file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def start(*args: str, stderr_to: int = subprocess.PIPE, **kwargs: Any) -> subprocess.Popen[str]:
    """The program in a process of its own, with pipes."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*PROGRAM, *args],
        stdout=subprocess.PIPE,
        stderr=stderr_to,
        text=True,
        env=environment,
        **kwargs,
    )
