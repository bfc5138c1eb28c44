"""The page on names lists every variable of the environment that is read or set, and ours begin with EVOLVE_LLM_."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from pages import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8").partition("## Names that belong to you")[2]
SOURCES = [
    path
    for folder in ("evolve_llm", "operators", "problems")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
ELSEWHERE = {"GIT_OPTIONAL_LOCKS", "PYTHONHASHSEED", "PYTHONSAFEPATH"}
"""Set for a process that we start, and for it alone: nothing of the user's is read or changed."""


def _keys(path: Path) -> Iterator[ast.expr]:
    """What names a variable in ``os.environ``: a subscript, a key that is looked for, an argument."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            yield node.slice
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
            yield node.left
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "os.environ.get", "os.environ.setdefault", "os.environ.pop", "os.getenv",
        ):  # fmt: skip
            yield node.args[0]


def _variables() -> Iterator[tuple[str, str]]:
    """Every variable with the file that reads or sets it; names are followed to the constants of their module."""
    for path in SOURCES:
        place = str(path.relative_to(ROOT))
        module = (
            place.removesuffix(".py").removeprefix("problems/").removeprefix("operators/").replace("/", ".")
        )
        for key in _keys(path):
            if isinstance(key, ast.Constant):
                yield str(key.value), place
            elif isinstance(key, ast.Name) and key.id.isupper():
                yield getattr(importlib.import_module(module), key.id), place


def test_every_variable_is_in_the_table() -> None:
    found = dict(_variables())
    assert {
        "EVOLVE_LLM_DEBUG",
        "EVOLVE_LLM_ENGINE_OF",
        "OPENAI_API_KEY",
        "OMP_WAIT_POLICY",
        "COLUMNS",
    } <= set(found)
    for name, place in found.items():
        assert f"`{name}`" in PAGE, f"{place} reads or sets {name}, which docs/cli.md does not name"


def test_variables_that_are_handed_on_are_in_the_table() -> None:
    from evolve_llm.backends.vllm import options
    from evolve_llm.grading import process

    for name in (*process._INHERITED, *options.ENVIRONMENT):
        assert f"`{name}`" in PAGE, name


def test_nothing_is_read_by_a_name_that_is_made_up_of_others_than_these() -> None:
    """A key that is neither written out nor a constant is one of the loops over those that are."""
    loops = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for key in _keys(path)
        if not (isinstance(key, ast.Constant) or (isinstance(key, ast.Name) and key.id.isupper()))
    }
    known = {
        "evolve_llm/backends/vllm/child.py", "evolve_llm/backends/vllm/options.py", "evolve_llm/cli/check.py",
        "evolve_llm/grading/process.py",
    }  # fmt: skip
    assert loops <= known, loops - known


def test_what_we_name_ourselves_begins_with_our_name() -> None:
    text = "".join(path.read_text("utf-8") for path in SOURCES)
    for name in re.findall(r"\b(EVOLVE_\w+)\b", text):
        assert name.startswith("EVOLVE_LLM_"), name
    assert ELSEWHERE.isdisjoint({name for name, _ in _variables()})
