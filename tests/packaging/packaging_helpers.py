"""What the tests of the packages share: a program run from outside, and an environment with evolve-llm in it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SECONDS = 240


def finished(*words: str | Path, cwd: Path, code: int = 0) -> str:
    """Standard output of a program that ended with ``code``; what it said otherwise is the failure's message.

    Nothing of this suite's own search path reaches it, and the current folder is as visible as Python makes it.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**environment, "COLUMNS": "110"}, capture_output=True,
        text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Built:
    """What ``python -m build`` made: the source distribution, and the wheel that was built from it."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class House:
    """An environment with evolve-llm installed from one file."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        """The command ``evolve-llm`` of this environment."""
        return self.folder / "bin" / "evolve-llm"
