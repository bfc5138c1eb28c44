"""I10: presets round-trip through TOML; the run directory says exactly what was run, and refuses anything else."""

# ruff: noqa: ARG001

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deap import tools
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Generation, Preset, Problem, Run, StoreError, UserError, evolve, load_preset
from evolve_llm.backends.scripted import Scripted
from evolve_llm.record import store
from evolve_llm.scheme.preset import builtin_presets
from evolve_llm.testing import (
    Behaviour,
    Ledger,
    Reordering,
    contents,
    database,
    presets,
    problem_sets,
    run_directory,
    seeds,
)

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VALUES = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), WORDS,
    st.lists(st.integers(0, 9), max_size=3), st.dictionaries(WORDS.filter(bool), st.integers(0, 9), max_size=2),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(builtin_presets()))
def test_built_in_presets_round_trip(name: str) -> None:
    preset = load_preset(name)
    assert Preset.from_toml(preset.to_toml()) == preset
    assert Preset.from_plain(json.loads(json.dumps(preset.plain()))) == preset


@settings(max_examples=150)
@given(
    preset=presets(),
    name=WORDS,
    description=WORDS,
    stop=st.lists(WORDS, max_size=3),
    parameters=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES, max_size=3),
)
def test_any_preset_round_trips(
    preset: Preset, name: str, description: str, stop: list[str], parameters: dict[str, Any]
) -> None:
    """Operators and their parameters need not exist for that: a preset is data until it is built."""
    data = preset.plain() | {"name": name, "description": description}
    data["sampling"]["stop"] = stop
    data["select"] = {**parameters, "operator": "somebody.elses:selector"}
    changed = Preset.from_plain(data)
    assert changed.sampling.stop == tuple(stop)
    assert changed.select.parameters == {key: one for key, one in parameters.items() if key != "operator"}
    assert Preset.from_toml(changed.to_toml()) == changed
    assert Preset.from_plain(json.loads(json.dumps(changed.plain()))) == changed


@settings(max_examples=25)
@given(problems=problem_sets(), preset=presets(), seed=seeds())
def test_the_run_can_be_repeated_from_what_its_directory_says(
    problems: list[Problem], preset: Preset, seed: int
) -> None:
    with run_directory() as out, run_directory() as again:
        evolve(problems, preset, Scripted(Behaviour()), out=out, seed=seed)
        run = Run(out)
        rebuilt = Preset.from_plain(run.config["preset"])
        assert rebuilt == preset
        assert run.problems() == problems
        assert run.config["model"] == "scripted"
        assert run.environment["versions"]["deap"]
        evolve(run.problems(), rebuilt, Scripted(Behaviour()), out=again, seed=run.config["seed"])
        assert database(again) == database(out)
        assert Run(again).config == run.config


def test_overrides_are_recorded_and_not_the_preset_they_began_from() -> None:
    with run_directory() as out:
        run = evolve(
            PROBLEMS, "smoke", Scripted(Behaviour()), out=out, population=3, sampling={"max_tokens": 7}
        )
        assert run.config["preset"]["population"] == 3
        assert run.config["preset"]["sampling"]["max_tokens"] == 7
        assert run.config["preset"]["name"] == "smoke"


BASE: dict[str, Any] = {"select": "tournament", "evaluate": "agreement"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"population": 5}, "preset.population: the run has 4, now it is 5"),
        ({"seed": 1}, "seed: the run has 0, now it is 1"),
        ({"sampling": {"temperature": 0.5}}, "preset.sampling.temperature: the run has 1.0, now it is 0.5"),
        ({"select": "best"}, "preset.select.operator: the run has 'tournament', now it is 'best'"),
        ({"select": {"operator": "tournament", "tournsize": 2}}, "preset.select.tournsize: unset in the run"),
        (
            {"model": Scripted(Behaviour(), identity="another")},
            "model: the run has 'scripted', now it is 'another'",
        ),
        ({"problems": PROBLEMS[:1]}, "problems.count: the run has 2, now it is 1"),
        ({"problems": [PROBLEMS[1], PROBLEMS[0]]}, "problems.first: the run has 'p0', now it is 'p1'"),
        (
            {"customize": lambda box: box.register("select", tools.selTournament, tournsize=2)},
            "operators.select: the run has",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_configuration_is_refused_with_the_difference(change: dict[str, Any], line: str) -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, **BASE)
        before = database(out), (out / "run.json").read_bytes()
        settings = {"problems": PROBLEMS, "model": Scripted(Behaviour()), **BASE, **change}
        with pytest.raises(UserError, match="holds a run of another configuration") as refusal:
            evolve(settings.pop("problems"), "smoke", settings.pop("model"), out=out, **settings)
        assert line in str(refusal.value)
        assert "Give another --out" in str(refusal.value)
        assert (database(out), (out / "run.json").read_bytes()) == before


def test_parameters_bound_in_python_belong_to_the_configuration() -> None:
    """Another tournament size is another experiment, however the operator came into the toolbox."""

    def run(out: Path, size: int, *, partially: bool) -> None:
        select = partial(tools.selTournament, tournsize=size)
        settings: dict[str, Any] = {"evaluate": "agreement", "out": out}
        if partially:
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), select=select, **settings)
        else:
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), customize=lambda box: box.register("select", select),
                   **settings)  # fmt: skip

    for partially in (True, False):
        with run_directory() as out:
            run(out, 2, partially=partially)
            run(out, 2, partially=partially)
            with pytest.raises(UserError, match=r"tournsize=2.*tournsize=3"):
                run(out, 3, partially=partially)


def test_a_run_that_has_spent_nothing_may_be_made_anew() -> None:
    books = Ledger(Scripted(Behaviour()), die_at=1, error=lambda: StoreError("stopped"))
    with run_directory() as out:
        with pytest.raises(StoreError, match="stopped"):
            evolve(PROBLEMS, "smoke", books, out=out)
        assert evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, seed=7).complete
        assert Run(out).config["seed"] == 7


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"not a run directory, and it is not empty \(it holds thesis.tex\)"):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=tmp_path)
    with pytest.raises(UserError, match="is a file, not a run directory"):
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99, "config": {}}', '{"config": {}}', "\0"])
def test_a_damaged_run_json_is_one_clear_error(text: str) -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)
        (out / "run.json").write_text(text)
        with pytest.raises(StoreError, match=r"run\.json|format 99"):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)
        with pytest.raises(StoreError, match=r"run\.json|format 99"):
            Run(out)


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough" * 200, None])
def test_a_damaged_or_missing_database_is_one_clear_error(damage: bytes | None) -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)
        (out / "run.db").unlink()
        if damage is not None:
            (out / "run.db").write_bytes(damage)
        with pytest.raises(StoreError, match=r"run\.db"):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)


def test_a_second_process_on_the_same_directory_is_refused() -> None:
    script = textwrap.dedent("""
        import sys
        from evolve_llm import Problem, StoreError, evolve
        from evolve_llm.backends.scripted import Scripted
        problems = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]
        try:
            evolve(problems, "smoke", Scripted(lambda request: "x"), out=sys.argv[1])
        except StoreError as error:
            print(error)
    """)
    said: list[str] = []

    def intrude(generation: Generation) -> None:
        if not said:
            command = [sys.executable, "-c", script, str(out)]
            said.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    with run_directory() as out:
        run = evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out, on_generation=intrude)
        assert run.complete
        with run_directory() as undisturbed:
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=undisturbed)
            assert database(out) == database(undisturbed)
    assert "another process is writing" in said[0]


@contextmanager
def disk_of(pages: int) -> Iterator[None]:
    """A database that may grow by so many pages and no further."""
    connect = store.connect

    def small(file: Path, *, writable: bool) -> Any:
        db = connect(file, writable=writable)
        ((used,),) = db.execute("PRAGMA page_count").fetchall()
        db.execute(f"PRAGMA max_page_count = {used + pages}")
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "connect", small)
        yield


@pytest.mark.parametrize("pages", range(0, 24, 3))
def test_a_full_disk_loses_nothing_and_the_run_resumes(pages: int) -> None:
    behaviour = Behaviour(answers=("4" * 900, "5" * 900))
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(behaviour), out=out)
        whole, expected = database(out), contents(out)["completions"]
    with run_directory() as out:
        books = Ledger(Reordering(behaviour, seed=pages))
        with disk_of(pages), pytest.raises(StoreError, match=r"full.*Everything stored before is safe"):
            evolve(PROBLEMS, "smoke", books, out=out, concurrency=2)
        rows = contents(out)["completions"]
        asked = len(books.asked)
        assert set(rows) <= set(expected), "what is stored is stored whole"
        assert evolve(PROBLEMS, "smoke", books, out=out).complete
        assert sum(books.asked.values()) == 24 + asked - len(rows)
        assert database(out) == whole


def test_a_real_limit_on_file_size(tmp_path: Path) -> None:
    """The kernel refuses to let the files grow: one StoreError, and the run goes on once there is room."""
    script = tmp_path / "victim.py"
    script.write_text(
        textwrap.dedent("""
        import resource, signal, sys
        from evolve_llm import Problem, StoreError, evolve
        from evolve_llm.backends.scripted import Scripted
        from evolve_llm.testing import Behaviour
        if len(sys.argv) > 2:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        problems = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", "4") for i in range(6)]
        try:
            print(evolve(problems, "smoke", Scripted(Behaviour()), out=sys.argv[1], concurrency=2).complete)
        except StoreError as error:
            print("StoreError", error)
    """)
    )

    def start(path: Path, *limit: str) -> str:
        command = [sys.executable, str(script), str(path), *limit]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "StoreError" in start(tmp_path / "run", "120000")
    stored = len(contents(tmp_path / "run")["completions"])
    assert 0 < stored < 72
    assert start(tmp_path / "run").strip() == "True"
    assert start(tmp_path / "whole").strip() == "True"
    assert database(tmp_path / "run") == database(tmp_path / "whole")
