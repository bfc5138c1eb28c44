"""The corpora of experiments/program_grading, without leaving their folder on the path."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[3] / "experiments" / "program_grading"


def corpus(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"program_grading_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def lookalikes() -> ModuleType:
    return corpus("lookalikes")


@pytest.fixture(scope="session")
def hostile() -> ModuleType:
    return corpus("hostile")
