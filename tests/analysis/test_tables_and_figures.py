"""The tables and plots of a paper: the right numbers, and names that stay names."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import Problem, Run, evolve
from evolve_llm.analysis import figures, tables
from evolve_llm.analysis.compare import compare
from evolve_llm.nouns.errors import UserError

PROBLEMS = [Problem(f"p{n}", f"What is {n} + {n}?", "boxed", "math", str(2 * n)) for n in range(4)]
SMALL: dict[str, Any] = {"population": 4, "parents": 2, "generations": 3}
HOSTILE = r"=cmd|'/c calc'!A1 \input{/etc/passwd} $\immediate\write18{x}$ <script> | *x* _y_ & % # ~ ^ { }"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("tables")
    return [
        evolve(PROBLEMS, preset, "scripted", out=folder / preset, **SMALL)
        for preset in ("rsa", "self-refinement")
    ]


def test_a_table_of_a_run_has_its_numbers(runs: list[Run]) -> None:
    table = tables.run_table(runs[0], "mine")
    assert table.title.startswith("mine: rsa (N=4, K=2, T=3) on scripted, seed 0, 4 problems")
    known = [row.plain() for row in runs[0].generations()]
    place = table.columns.index("pass@1")
    assert [row[place] for row in table.rows] == [row["pass@1"] for row in known]
    assert len(table.rows) == 3


def test_a_table_of_a_comparison_has_its_differences(runs: list[Run]) -> None:
    found = compare(runs)
    table = tables.comparison_table(found)
    place = table.columns.index("difference")
    known = [
        row.estimate.difference
        for row in found.contrasts[0].rows
        if row.moment != "generation" and row.estimate
    ]
    assert [row[place] for row in table.rows] == known


def test_csv_is_read_back_and_runs_no_formula(runs: list[Run]) -> None:
    text = tables.written([tables.run_table(runs[0], HOSTILE)], "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["table"].startswith("'=cmd")
    assert [float(row["pass@1"]) for row in rows] == [row.plain()["pass@1"] for row in runs[0].generations()]
    assert float(rows[0]["95 % low"]) <= float(rows[0]["pass@1"]) <= float(rows[0]["95 % high"])


def test_markdown_shows_a_hostile_name_as_text(runs: list[Run]) -> None:
    text = tables.written([tables.run_table(runs[0], HOSTILE)], "md")
    assert "<script>" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_latex_is_one_table_that_a_hostile_name_cannot_leave(runs: list[Run]) -> None:
    text = tables.written([tables.run_table(runs[0], HOSTILE)], "latex")
    assert r"\input" not in text
    assert r"\immediate" not in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    assert "$" not in text.replace(r"\$", "")


def test_latex_compiles_where_there_is_latex(runs: list[Run], tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    body = tables.written(
        [tables.run_table(runs[0], HOSTILE), tables.comparison_table(compare(runs))], "latex"
    )
    (tmp_path / "t.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp,booktabs}\begin{document}"
        + body
        + r"\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)


def test_a_table_without_references_has_no_accuracies(tmp_path: Path) -> None:
    run = evolve([Problem("p", "Anything?", "text")], "rsa", "scripted", out=tmp_path / "run", **SMALL)
    assert "pass@1" not in tables.run_table(run).columns


def test_another_format_is_refused(runs: list[Run]) -> None:
    with pytest.raises(UserError, match="md, latex, csv"):
        tables.written([tables.run_table(runs[0])], "docx")  # type: ignore[arg-type]


def test_curves_draw_the_numbers(runs: list[Run]) -> None:
    pytest.importorskip("matplotlib")
    figure = figures.curves({HOSTILE: runs[0], "other": runs[1]})
    accuracy = figure.axes[0].lines[0]
    assert list(accuracy.get_ydata()) == [row.plain()["pass@1"] for row in runs[0].generations()]
    assert len(figure.axes) == 2


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_figures_are_written_the_same_twice(runs: list[Run], tmp_path: Path, form: str) -> None:
    pytest.importorskip("matplotlib")
    from typer.testing import CliRunner

    from evolve_llm.cli.main import app

    for name in ("a", "b"):
        command = [
            "report",
            str(runs[0].path),
            str(runs[1].path),
            "--out",
            str(tmp_path / f"{name}.{form}"),
            "--format",
            form,
        ]
        assert CliRunner().invoke(app, command).exit_code == 0
    assert (tmp_path / f"a.{form}").stat().st_size > 2000
    assert (tmp_path / f"a-forest.{form}").stat().st_size > 2000
    if form == "png":
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    if form == "svg":
        assert "<script" not in (tmp_path / "a.svg").read_text()


def test_a_forest_of_nothing_is_refused(runs: list[Run]) -> None:
    pytest.importorskip("matplotlib")
    found = compare(runs)
    figure = figures.forest(found)
    assert len(figure.axes[0].get_yticks()) == sum(
        row.moment != "generation" and row.estimate is not None for row in found.contrasts[0].rows
    )
    with pytest.raises(UserError, match="a figure needs a run"):
        figures.curves({})


def test_without_matplotlib_it_is_said_what_to_install(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"evolve-llm\[plots\]"):
        figures.curves({"a": runs[0]})
