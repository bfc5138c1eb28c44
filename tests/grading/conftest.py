"""Plug-in graders for the grading tests, and a loud absence of bubblewrap."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve_llm.grading import sandbox
from evolve_llm.scheme import registry

PLUGINS = Path(__file__).parent / "plugins"
ENTRY_POINTS = (
    "[evolve_llm.graders]\nexecutes = hostile_graders:executes\nmisbehaves = hostile_graders:misbehaves\n"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = sandbox.available() if any("sandbox" in item.keywords for item in items) else None
    if missing is None or os.environ.get("CI"):
        return  # in CI a sandbox test without a sandbox fails
    for item in items:
        if "sandbox" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=f"NO SANDBOX: {missing}"))


@pytest.fixture
def plugin_graders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The graders of tests/grading/plugins, installed as another distribution would be."""
    info = tmp_path / "installed" / "hostile_graders-0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile_graders\nVersion: 0.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(PLUGINS))
    _forget()
    yield
    sys.modules.pop("hostile_graders", None)
    _forget()


def _forget() -> None:
    registry.available.cache_clear()
    registry.load.cache_clear()
