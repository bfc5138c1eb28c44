"""Runs and comparisons in a notebook: frames of the right rows, and HTML in which model text is only text."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import Run, evolve
from evolve_llm.analysis.compare import compare
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.html import table
from evolve_llm.nouns.problem import Problem
from evolve_llm.session.session import Session

PROBLEMS = [Problem(f"<b>p{n}", f"What is {n} + {n}?", "boxed", "math", str(2 * n)) for n in range(3)]
SMALL: dict[str, Any] = {"population": 4, "parents": 2, "generations": 3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("notebook")
    return [
        evolve(PROBLEMS, preset, "scripted", out=folder / preset, **SMALL)
        for preset in ("rsa", "self-refinement")
    ]


def test_a_run_is_a_frame_of_its_members(runs: list[Run]) -> None:
    pytest.importorskip("pandas")
    frame = runs[0].frame()
    assert len(frame) == 3 * 3 * 4
    assert set(frame.groupby(["problem", "population"]).size()) == {4}
    by_generation = frame.assign(right=frame.verdict == "correct").groupby("population").right.mean()
    assert list(by_generation) == pytest.approx([row.plain()["pass@1"] for row in runs[0].generations()])
    assert "text" not in frame
    assert runs[0].frame(texts=True).text.str.len().min() > 0
    assert "<b>" not in runs[0]._repr_html_()
    assert runs[0]._repr_html_().count("<tr>") == 1 + 3


def test_a_comparison_is_a_frame_and_a_table(runs: list[Run]) -> None:
    pytest.importorskip("pandas")
    found = compare(runs)
    frame = found.frame()
    assert len(frame) == sum(len(one.rows) for one in found.contrasts)
    known = frame.dropna(subset=["difference"])
    assert list(known.difference) == pytest.approx(list(known.value - known.baseline_value))
    assert found._repr_html_().startswith("<p>against ")


def test_model_text_is_only_text() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J\u202egnp"
    shown = table(hostile, [hostile], [[hostile, 0.5, None]])
    assert not any(mark in shown for mark in ("<script", "\x1b", "\u202e"))
    assert shown.count("&lt;script&gt;") == 3
    assert "<td>0.500</td><td></td>" in shown


def test_without_pandas_it_says_what_to_install(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"evolve-llm\[frames\]"):
        runs[0].frame()


def test_a_notebook_watches_generations_as_they_close(tmp_path: Path) -> None:
    """What a cell with ``async for`` does, in a loop that is already running; so does ``evolve`` there."""

    async def cell() -> tuple[list[int], int]:
        seen = []
        async with Session(PROBLEMS, "rsa", "scripted", out=tmp_path / "watched", overrides=SMALL) as session:
            async for generation in session.generations():
                seen.append(generation.index)  # noqa: PERF401 - as a person writes it
        inside = evolve(PROBLEMS, "rsa", "scripted", out=tmp_path / "inside", **SMALL)
        return seen, len(inside.results())

    seen, results = asyncio.run(cell())
    assert (sorted(seen), results) == ([0, 0, 0, 1, 1, 1, 2, 2, 2], 3)


def test_a_lineage_shows_its_picture_and_a_candidate_its_text(runs: list[Run]) -> None:
    lineage = runs[0].lineage("<b>p0")
    assert lineage._repr_html_().lstrip().startswith("<svg")
    assert "choose one" in runs[0].lineage()._repr_html_()
    assert type(lineage.subgraph(list(lineage)[:3]).copy()) is type(lineage)
    one = runs[0].population("<b>p0")[0]
    one.text, one.reasoning = "<script>x</script>\n" + "y" * 5000, "<i>hm"
    shown = one._repr_html_()
    assert "<script" not in shown
    assert "<i>" not in shown
    assert "more characters]" in shown
    assert "thinking" in shown


@pytest.mark.model
def test_the_example_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    file = Path(__file__).parents[2] / "docs" / "notebooks" / "first_run.ipynb"
    notebook = nbformat.read(file, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # it is kept without, and so without paths
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = [
        {kind for output in cell.outputs for kind in output.get("data", {})}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    assert [("text/html" in one, "image/png" in one) for one in kinds] == [
        *((False, False), (False, True), (True, False), (True, False), (True, False), (True, False)),
        *((True, False), (False, True)),
    ]
