"""The wheel and the source distribution hold what they need, and work in an environment of their own."""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging_helpers import Built, House, finished

PACKAGES = {"evolve_llm", "evolve_llm_operators", "evolve_llm_problems"}
SUMS = [{"id": "a", "question": "What is 2 + 3?", "answer": "5"}]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_installs_three_modules_of_our_name_and_no_other(built: Built) -> None:
    found = names(built.wheel)
    assert {name.partition("/")[0] for name in found} == {*PACKAGES, "evolve_llm-0.1.0.dist-info"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= found


def test_the_wheel_of_the_checkout_is_the_wheel_of_the_source_distribution(
    built: Built, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    finished(
        sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, root, cwd=tmp_path
    )
    (direct,) = tmp_path.glob("*.whl")
    assert names(direct) == names(built.wheel)


def test_the_source_distribution_carries_its_own_tests(
    built: Built, sdist_house: House, tmp_path: Path
) -> None:
    """Unpacked, with the package installed from it, its tests of the presets and of the pages pass."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "mkdocs.yml"):
        assert (source / name).is_file(), name
    tests = ["tests/scheme/test_presets.py", "tests/docs/test_pages_are_true.py"]
    said = finished(sdist_house.python, "-P", "-m", "pytest", "-p", "no:cacheprovider", *tests, cwd=source)
    assert " passed" in said
    where = finished(sdist_house.python, "-c", "import evolve_llm; print(evolve_llm.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(sdist_house.folder)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_doctor_is_content_and_a_run_works(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    house: House = request.getfixturevalue(f"{kind}_house")
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SUMS), "utf-8")
    told = json.loads(finished(house.program, "doctor", "--json", cwd=tmp_path))
    assert told["ready"], told
    plugins = next(one for one in told["checks"] if one["name"] == "plug-ins")
    assert plugins["ok"], plugins
    words = ["run", "--model", "scripted", "--problems", "sums.jsonl", "--population", "4", "--out", "here"]
    finished(house.program, *words, cwd=tmp_path)
    environment = json.loads((tmp_path / "here" / "run.json").read_text("utf-8"))["environment"]
    assert environment["versions"]["evolve-llm"] == "0.1.0"
    assert environment["git"] is None, "the revision of a repository that is not ours"
    assert environment["command"] == words


def test_the_module_is_the_program(wheel_house: House, tmp_path: Path) -> None:
    version = finished(wheel_house.program, "--version", cwd=tmp_path)
    assert finished(wheel_house.python, "-m", "evolve_llm", "--version", cwd=tmp_path) == version
    helped = finished(wheel_house.python, "-m", "evolve_llm", "--help", cwd=tmp_path)
    assert helped == finished(wheel_house.program, "--help", cwd=tmp_path)
    assert "Usage: evolve-llm " in helped


@pytest.mark.model
def test_the_default_run_from_another_folder(wheel_house: House, tmp_path: Path) -> None:
    """``evolve-llm run`` evolves the fly, whose weights and problems come with the package."""
    said = finished(
        wheel_house.python, "-m", "evolve_llm", "run", "--limit", "1", "--generations", "2", cwd=tmp_path
    )
    assert "fly on llama_cpp:fly" in said
    assert [one.name for one in tmp_path.iterdir()] == ["runs"]
