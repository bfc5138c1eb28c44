"""Files of the user's that are called like ours, or like Python's, neither break us nor are broken by us."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging_helpers import House, finished

OURS = (
    "algorithms", "base", "candidate", "creator", "engine", "evaluate", "evolution", "fitness", "formats", "grading",
    "locks", "mutation", "population", "preset", "rows", "scheme", "selection", "session", "templates", "tools",
    "worker",
)  # fmt: skip
"""Names of modules inside of evolve-llm and of DEAP: none of the user's business, and theirs to use."""

LISTING = """
import sys
print("modules:", *sys.modules)
"""

POISON = """
import os
os.write(2, b"the user's {name} was imported by somebody else\\n")
raise SystemExit("the user's {name} was imported by somebody else")
"""

MINE = """
import random
from evolve_llm import selection

@selection(blind=True)
def newcomers(individuals, k):
    return random.sample(list(individuals)[-max(k, 4):], k)

def respond(request):
    return r"It is \\boxed{x^2+2x+1}."
"""

SCRIPT = """
import sys
import operators, problems, selection
from problems.easy import EASY
from mine import newcomers
from evolve_llm import Problem, evolve

assert operators.__file__.startswith(sys.path[0]) and selection.MINE
run = evolve([Problem(**EASY)], preset="rsa", model="scripted:mine:respond", population=4, generations=2,
             select=newcomers, out="runs/script")
print([result.verdict.grade.value for result in run.results()])
"""

ENGINE = """
import multiprocessing
from evolve_llm.backends.vllm.child import children_end_with_us

if __name__ == "__main__":
    with children_end_with_us():
        child = multiprocessing.get_context("spawn").Process(target=print, args=("started",))
        child.start()
    child.join()
    raise SystemExit(child.exitcode)
"""

EASY = {"id": "a", "question": "Expand.", "format": "boxed", "grader": "math", "reference": "(x+1)^2"}


def _poison(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(POISON.format(name=f"{name}.py"), "utf-8")


def _loaded(*words: str | Path, cwd: Path) -> set[str]:
    """The top-level modules that a program has loaded when it ends."""
    *_, last = finished(*words, cwd=cwd).splitlines()
    assert last.startswith("modules:"), last
    return {name.partition(".")[0] for name in last.split()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: a script, its ``operators.py``, ``problems/`` and ``selection.py``, and a file of sums."""
    (tmp_path / "problems").mkdir()
    (tmp_path / "problems" / "__init__.py").touch()
    (tmp_path / "problems" / "easy.py").write_text(f"EASY = {EASY!r}\n", "utf-8")
    _poison(tmp_path, set(OURS))
    (tmp_path / "operators.py").touch()
    (tmp_path / "selection.py").write_text("MINE = True\n", "utf-8")
    (tmp_path / "mine.py").write_text(MINE, "utf-8")
    (tmp_path / "my.py").write_text(SCRIPT, "utf-8")
    row = {"id": "a", "question": "Expand.", "answer": "(x+1)^2"}
    (tmp_path / "sums.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    return tmp_path


REAL = {name for name in sys.stdlib_module_names if not name.startswith("_") and find_spec(name)}
"""Python's own modules that exist here."""

RUN = ("run", "--preset", "rsa", "--model", "scripted:mine:respond", "--population", "4", "--generations", "2",
       "--problems", "sums.jsonl", "--set", "select=mine:newcomers", "--out", "runs/one", "--json")  # fmt: skip


def test_a_script_beside_names_of_ours(wheel_house: House, folder: Path) -> None:
    """Beside every name of Python's own, too, that a script survives, as it has been imported or is not needed."""
    (folder / "list.py").write_text(SCRIPT.replace("runs/script", "runs/list") + LISTING, "utf-8")
    needed = _loaded(wheel_house.python, "list.py", cwd=folder)
    _poison(folder, REAL - needed)
    assert {"resource", "statistics", "tarfile"} <= REAL - needed, "names that only our processes import"
    assert finished(wheel_house.python, "my.py", cwd=folder).strip() == "['correct']"


@pytest.mark.parametrize("how", ["console script", "python -m"])
def test_the_program_beside_names_of_python(wheel_house: House, folder: Path, how: str) -> None:
    """The run, and a check, whose processes start in the user's folder as well."""
    words: list[str | Path] = [wheel_house.program]
    survived = REAL
    if how == "python -m":
        (folder / "nothing.py").write_text(LISTING, "utf-8")
        survived = REAL - _loaded(wheel_house.python, "-m", "nothing", cwd=folder)
        words = [wheel_house.python, "-m", "evolve_llm"]
    _poison(folder, survived | {"numpy", "deap", "openai", "pydantic", "hypothesis", "pickle", "sympy"})
    assert {"random", "select", "json", "asyncio", "re"} <= survived
    before = {path.name for path in folder.iterdir()}
    told = json.loads(finished(*words, *RUN, cwd=folder))
    assert told["run"]["accuracy"] == 1.0, told
    assert "its contract is kept" in finished(
        *words, "check", "mine:newcomers", "--kind", "select", cwd=folder
    )
    doctor = json.loads(finished(*words, "doctor", "--json", cwd=folder))
    assert doctor["ready"], doctor
    (here,) = (one for one in doctor["checks"] if one["name"] == "current folder")
    assert "random.py" in here["detail"]
    assert "numpy.py" in here["detail"]
    assert "mine.py" not in here["detail"]
    after = {path.name for path in folder.iterdir()}
    assert after - before <= {"runs", "__pycache__"}, "nothing else is left in the folder"


def test_reasoning_tasks_are_drawn_beside_names_of_python(wheel_house: House, folder: Path) -> None:
    _poison(folder, {"random", "json", "reasoning_gym", "types", "inspect"})
    words = (
        "run",
        "--model",
        "scripted",
        "--problems",
        "reasoning_gym:chain_sum",
        "--limit",
        "1",
        "--population",
        "4",
    )
    assert "1 of 1 problems" in finished(wheel_house.program, *words, cwd=folder)


def test_the_processes_of_a_vllm_engine_do_not_look_into_the_folder_first(
    wheel_house: House, folder: Path
) -> None:
    """They are started with ``python -c``, for which Python puts the current folder first."""
    _poison(folder, {"random", "types", "socket", "pickle", "threading"})
    program = folder / "bin" / "program.py"  # in a folder of its own, as the command evolve-llm
    program.parent.mkdir()
    program.write_text(ENGINE, "utf-8")
    assert finished(wheel_house.python, program, cwd=folder).strip() == "started"


def test_a_contract_in_a_test_beside_names_of_python(wheel_house: House, folder: Path) -> None:
    """pytest puts the folder of a test first when it has imported these itself; our processes have not."""
    _poison(folder, {"random", "json", "select", "types"})
    test = "from evolve_llm.testing import FairSelectionContract\nimport mine\n\nclass TestIt(FairSelectionContract):\n"
    (folder / "test_it.py").write_text(f"{test}    selector = staticmethod(mine.newcomers)\n", "utf-8")
    said = finished(
        wheel_house.python, "-P", "-m", "pytest", "-p", "no:cacheprovider", "-rs", "test_it.py", cwd=folder
    )
    assert " passed" in said
    assert "skipped" not in said


def test_a_package_that_takes_a_name_of_ours_spoils_that_name_alone(wheel_house: House, folder: Path) -> None:
    info = folder / "installed" / "another-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n", "utf-8")
    points = (
        '[evolve_llm.operators]\n"select.uniform" = mine:newcomers\n"select.newcomers" = mine:newcomers\n'
    )
    (info / "entry_points.txt").write_text(points.replace('"', ""), "utf-8")
    (folder / "program.py").write_text(
        "import sys\nsys.path.append('installed')\nfrom evolve_llm.cli.main import main\nmain()\n", "utf-8"
    )
    words: list[str | Path] = [
        wheel_house.python,
        "program.py",
        "run",
        "--model",
        "scripted",
        "--problems",
        "sums.jsonl",
    ]
    words += ["--population", "4", "--preset", "rsa-balanced", "--generations", "2"]
    assert "1 of 1 problems" in finished(*words, cwd=folder)
    assert "1 of 1 problems" in finished(*words, "--set", "select=newcomers", cwd=folder)
    assert "1 of 1 problems" in finished(*words, "--set", "select=mine:newcomers", cwd=folder)
    finished(*words, "--set", "select=uniform", cwd=folder, code=2)


def test_a_file_that_python_hides_is_told_with_a_way_out(wheel_house: House, folder: Path) -> None:
    (folder / "select.py").write_text(MINE, "utf-8")
    words = [one.replace("mine:newcomers", "select:newcomers") for one in RUN]
    done = subprocess.run(
        [wheel_house.program, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert "operator 'select:newcomers' cannot be used: select.py in the current folder is hidden by" in said
    assert "rename it, for example to my_select.py, and write my_select:NAME" in said
