"""Names of plug-ins and of modules: whose is whose, and what is said where two mean different things by one."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme import registry
from evolve_llm.scheme.toolbox import resolve


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand-ins for installed packages: ``(package, name, value)`` each."""

    def install(*points: tuple[str, str, str]) -> None:
        found = [_point(*one) for one in points]
        monkeypatch.setattr(registry, "entry_points", lambda group: found)  # noqa: ARG005
        registry.available.cache_clear()
        registry.load.cache_clear()

    yield install
    monkeypatch.undo()
    registry.available.cache_clear()
    registry.load.cache_clear()


def _point(package: str, name: str, value: str) -> EntryPoint:
    point = EntryPoint(name, value, "evolve_llm.graders")
    vars(point)["dist"] = SimpleNamespace(name=package)
    return point


def test_two_packages_that_claim_one_name_are_refused_under_it_alone(plug_ins: Any) -> None:
    plug_ins(("b", "one", "math:pi"), ("a", "one", "math:e"), ("a", "two", "math:tau"))
    assert list(registry.available("grader")) == ["one", "two"]
    assert registry.load("grader", "two") == pytest.approx(6.2832, abs=1e-4)
    with pytest.raises(
        UserError, match=r"two installed packages .* 'one': math:e \(a\) and math:pi \(b\); uninstall"
    ):
        registry.load("grader", "one")


def test_a_plug_in_with_a_name_of_ours_does_not_take_its_place(plug_ins: Any) -> None:
    """Nor does ours take its place in silence: the name is refused, and the way to the other one is told."""
    ours = ("evolve-llm", "select.uniform", "evolve_llm_operators.selection:uniform")
    plug_ins(("another", "select.uniform", "another.selectors:uniform"), ours)
    assert registry.is_ours(registry.available("operator")["select.uniform"])
    with pytest.raises(UserError) as told:
        resolve("select", "uniform")
    assert "evolve_llm_operators.selection:uniform (evolve-llm)" in str(told.value)
    assert "write the one you mean in full (another.selectors:uniform)" in str(told.value)
    assert resolve("select", "evolve_llm_operators.selection:uniform").__name__ == "uniform"


def test_one_thing_that_is_installed_twice_is_one_plug_in(plug_ins: Any) -> None:
    plug_ins(("a", "one", "math:pi"), ("b", "one", "math:pi"))
    assert registry.load("grader", "one") == pytest.approx(3.1416, abs=1e-4)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one and that ``sys.path`` does not name yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_a_module_of_the_current_folder_is_found_last(here: Path) -> None:
    name = f"mine_{here.name}"
    (here / f"{name}.py").write_text("value = 7")
    assert registry.imported(f"{name}:value") == 7
    assert sys.path[-1] == str(here)


@pytest.mark.parametrize("file", ["select.py", "select/__init__.py", "json.py", "sys.py", "__future__.py"])
def test_a_file_with_the_name_of_a_module_of_pythons_is_refused(here: Path, file: str) -> None:
    path = here / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine = 1")
    module = file.partition("/")[0].removesuffix(".py")
    with pytest.raises(
        UserError, match=f"operator '{module}:mine' cannot be used: .* hidden by Python's own module"
    ):
        registry.imported(f"{module}:mine", "operator")


@pytest.mark.parametrize(
    ("file", "reference"), [("random.py", "random:choice"), ("deap.py", "deap.tools:selBest")]
)
def test_it_is_refused_too_where_the_other_module_has_that_name(
    here: Path, file: str, reference: str
) -> None:
    """To take Python's ``random.choice`` for the user's would be a wrong result that nobody notices."""
    (here / file).write_text("def choice(individuals, k): ...")
    with pytest.raises(UserError, match=rf"{file} in the current folder is hidden by .*my_{file}"):
        registry.imported(reference)


def test_what_no_file_here_hides_is_imported_from_anywhere(here: Path) -> None:
    (here / "deap").mkdir()  # a folder of data, which is no module
    assert registry.imported("random:choice").__name__ == "choice"
    assert registry.imported("deap.tools:selBest").__name__ == "selBest"


def test_a_checkout_does_not_hide_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import evolve_llm

    monkeypatch.chdir(Path(evolve_llm.__file__).parents[1])
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert registry.imported("evolve_llm.scheme.registry:imported") is registry.imported


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "reference", [":name", ".mine:name", "no such:name", "no_such_module:name", "math:", "math:a.b"]
)
def test_references_that_lead_nowhere(reference: str) -> None:
    with pytest.raises(UserError, match="cannot be imported"):
        registry.imported(reference, "operator")
