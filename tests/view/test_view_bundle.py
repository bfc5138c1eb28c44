"""What ships is what the source gives: the built pages, byte for byte, with the licences of what is in them."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

VIEW = Path(__file__).parents[2] / "evolve_llm" / "view"
FILES = ("LICENSES.txt", "index.html", "main.js", "math.css", "style.css")


def test_the_pages_are_built_from_their_source(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        why = "NO NODE: whether the built pages are those of their source was not tried"
        warnings.warn(why, stacklevel=1)
        pytest.skip(why)
    copy = tmp_path / "frontend"
    shutil.copytree(VIEW / "frontend", copy, ignore=shutil.ignore_patterns("node_modules"))
    install = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=copy, capture_output=True, text=True
    )
    if install.returncode:
        why = f"NO PACKAGES: npm could not install what the pages are built from: {install.stderr[-300:]}"
        warnings.warn(why, stacklevel=1)
        pytest.skip(why)
    subprocess.run(["node", "build.mjs", str(tmp_path / "built")], cwd=copy, check=True, timeout=120)
    assert sorted(one.name for one in (tmp_path / "built").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "built" / name).read_bytes() == (VIEW / "static" / name).read_bytes(), (
            f"make pages: {name}"
        )


def test_what_ships_names_its_licences() -> None:
    told = (VIEW / "static" / "LICENSES.txt").read_text("utf-8")
    for name in ("katex 0.19.1 (MIT)", "markdown-it 14.1.0 (MIT)", "highlight.js 11.11.1 (BSD-3-Clause)"):
        assert name in told
    assert "no file of its licence" not in told
