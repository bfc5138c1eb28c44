"""Links lead somewhere, names exist, and every page can be found."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify
from pages import ROOT

from evolve_llm.scheme import registry
from evolve_llm.scheme.preset import builtin_presets

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
OPERATORS = {name.partition(".")[::2] for name in registry.available("operator")}
KINDS = {
    "select": "Selection", "vary": "Variation", "evaluate": "Fitness", "replace": "Replacement",
    "finish": "Finish", "stop": "Stopping", "adapt": "Adaptation",
}  # fmt: skip


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The ids of the headings, as the site makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {slugify(re.sub(r"[`*]|\]\([^)]*\)|\[", "", title), "-") for title in titles}


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, headings and rules included."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), (
                f"{page.name} links to {target}; there is {sorted(anchors(found))}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_keep_to_themselves(page: Path) -> None:
    """No page promises itself for later or names a folder of somebody's machine."""
    text = page.read_text("utf-8")
    found = re.search(r"\bTODO\b|\bFIXME\b|\bTBD\b|/home/\w|/root/|/Users/\w|lorem ipsum", text)
    assert found is None, found


def test_the_site_has_every_page() -> None:
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text("utf-8"))

    def listed(entry: object) -> list[str]:
        if isinstance(entry, dict):
            return [page for one in entry.values() for page in listed(one)]
        if isinstance(entry, list):
            return [page for one in entry for page in listed(one)]
        return [str(entry)]

    named = listed(yaml.safe_load(text)["nav"])
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_table_of_presets_is_the_folder_of_presets() -> None:
    table = {row[0].strip("`") for row in rows(prose(DOCS / "presets.md")) if row[0].startswith("`")}
    assert table == set(builtin_presets())
    short = prose(ROOT / "README.md").partition("## Presets")[2].partition("\n## ")[0]
    named = {name for row in rows(short) for name in re.findall(r"`([\w-]+)`", row[0])}
    assert named
    assert named <= set(builtin_presets())


def test_where_is_what_names_files_and_functions_that_exist() -> None:
    text = prose(DOCS / "where_is_what.md")
    named = re.findall(r"\| `([\w.]+)` \| `([\w/]+\.py)` \|", text)
    assert ("Population.evolve", "evolve_llm/engine/population.py") in named
    for name, file in named:
        found: object = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        for part in name.split("."):
            found = getattr(found, part)
        assert re.search(
            rf"^ *(async )?(def|class) {name.split('.')[-1]}\b",
            (ROOT / file).read_text("utf-8"),
            re.MULTILINE,
        )
    for path in re.findall(r"`((?:evolve_llm|operators|problems|tests)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    groups = set(re.findall(r"`(evolve_llm\.[a-z]+)`", text))
    assert groups == {
        f"evolve_llm.{kind}" for kind in ("operators", "problems", "backends", "graders", "formats")
    }
    rooms = set(re.findall(r"^\| `evolve_llm/(\w+)/` \|", text, re.MULTILINE)) | {"testing"}
    assert rooms == {one.parent.name for one in (ROOT / "evolve_llm").glob("*/__init__.py")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_named_in_a_table_exists(kind: str) -> None:
    """The catalogue of operators.md has all of them, by kind."""
    catalogue = {row[0]: row[-1] for row in rows(prose(DOCS / "operators.md"))}
    named = set(re.findall(r"`(\w+)`", catalogue[KINDS[kind]]))
    assert named == {name for of, name in map(tuple, OPERATORS) if of == kind}


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/concepts.md"])
def test_settings_on_a_command_line_name_what_exists(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for preset in re.findall(r"--preset (\S+)", text):
        assert preset.endswith(".toml") or preset in builtin_presets() or not preset.isidentifier(), preset
    for kind, operator in re.findall(r"--set (\w+)=(\w+)(?![\w.:])", text):
        if kind in KINDS:
            assert (kind, operator) in {tuple(one) for one in OPERATORS}, (kind, operator)
