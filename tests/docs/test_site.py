"""The site is built from the pages, with what they use, and links that lead nowhere stop it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """The site of the pages in ``folder``, in ``folder/site``, as ``make check`` builds it."""
    command = [sys.executable, "-P", "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the pages that a test may spoil."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def test_the_site_has_what_the_pages_use(copy: Path) -> None:
    done = build(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    site = copy / "site"
    for page in (copy / "docs").glob("*.md"):
        built = site / "index.html" if page.stem == "index" else site / page.stem / "index.html"
        text = built.read_text("utf-8")
        assert '<link rel="stylesheet" href="' in text, page.name
        assert "stylesheets/extra.css" in text, page.name
        assert not re.search(r'(src|<link[^>]* href)="https?://', text), f"{page.name} fetches from elsewhere"
    assert 'class="tabbed-set' in (site / "index.html").read_text("utf-8")
    assert 'class="admonition warning"' in (site / "cli" / "index.html").read_text("utf-8")
    assert 'class="headerlink"' in (site / "cli" / "index.html").read_text("utf-8")
    assert (site / "img" / "flow.svg").is_file()


@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](cli.md#nowhere-at-all)", "[x](#nowhere-at-all)"])
def test_a_link_that_leads_nowhere_stops_it(copy: Path, link: str) -> None:
    with (copy / "docs" / "concepts.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    done = build(copy)
    assert done.returncode != 0
    assert "does not exist" in done.stdout + done.stderr
