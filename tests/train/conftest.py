"""One run of each backend, shared by the tests of the room."""

from __future__ import annotations

from pathlib import Path

import pytest
from train_helpers import scripted_run

from evolve_llm import Run, evolve


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the scripted backend: 30 problems, N=6, K=3, T=3."""
    return scripted_run(tmp_path_factory.mktemp("words") / "run")


@pytest.fixture(scope="session")
def fly_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the fly: 24 problems, N=16, K=4, T=2."""
    path: Path = tmp_path_factory.mktemp("fly") / "run"
    return evolve("locks?size=24&split=train", "fly", "fly", generations=2, out=path)
