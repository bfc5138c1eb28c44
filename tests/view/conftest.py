"""A stored run of hostile chains for the pages to show, and the questions a page asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from view_helpers import HOSTILE, TEX, store_run

from evolve_llm import Problem, evolve
from evolve_llm.view.server import application

TOKEN = "a-token"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of hostile chains, one of formulas, and some that cannot be read."""
    folder = tmp_path_factory.mktemp("runs")
    store_run(folder / "hostile", HOSTILE)
    store_run(folder / "other", HOSTILE, wrong=7)
    programs = ["def f(x):\n    return '<b>' + x", "no program"]
    store_run(folder / "code", programs, problems=1, form="code", detail="f('a') gave 'b'")
    asked = [Problem(f"q{place}", text, grader="exact", reference="1") for place, text in enumerate(TEX)]
    evolve(asked, "rsa", "scripted", out=folder / "tex", population=3, parents=2, generations=2)
    for name, text in (("half", '{"format": 1, "config": {}}'), ("newer", '{"format": 99}'), ("broken", "{")):
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(text)
    (folder / "none").mkdir()
    return folder


@pytest.fixture
def client(runs: Path) -> TestClient:
    """Who came in by the address that was printed."""
    client = TestClient(application([runs], TOKEN), base_url="http://127.0.0.1:8000")
    assert client.get(f"/?token={TOKEN}").status_code == 200
    return client
