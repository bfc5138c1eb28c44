"""I1: same seed and scripted backend: byte-identical store, at any concurrency and any completion order."""

# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve_llm import Preset, Problem, Request, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.testing import (
    Behaviour,
    Reordering,
    behaviours,
    contents,
    database,
    orders,
    presets,
    problem_sets,
    run_directory,
    seeds,
)

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(3)]


def stored(problems: list[Problem], preset: Preset | str, model: object, **settings: object) -> bytes:
    with run_directory() as out:
        run = evolve(problems, preset, model, out=out, **settings)  # type: ignore[arg-type]
        assert run.complete
        return database(out)


@pytest.mark.parametrize("informed", [False, True], ids=["blind", "informed"])
def test_any_concurrency_and_any_completion_order_store_the_same_bytes(informed: bool) -> None:
    @settings(max_examples=20)
    @given(
        problems=problem_sets(),
        preset=presets(informed=informed),
        behaviour=behaviours(),
        seed=seeds(),
        concurrency=st.sampled_from((1, 2, 7, 64)),
        order=orders(),
        shuffle=st.integers(0, 2**16),
    )
    def check(
        problems: list[Problem],
        preset: Preset,
        behaviour: Behaviour,
        seed: int,
        concurrency: int,
        order: str,
        shuffle: int,
    ) -> None:
        plain = stored(problems, preset, Scripted(behaviour), seed=seed, concurrency=1)
        model = Reordering(behaviour, order=order, seed=shuffle)  # type: ignore[arg-type]
        assert stored(problems, preset, model, seed=seed, concurrency=concurrency) == plain

    check()


def test_the_reordering_model_really_reorders() -> None:
    model = Reordering(Behaviour(), order="last", patience=8)
    stored(PROBLEMS, "smoke", model)
    assert sorted(model.arrived) == sorted(model.released)
    assert model.arrived != model.released


@pytest.mark.parametrize("concurrency", [2, 7, 64])
def test_real_delays_store_the_same_bytes(concurrency: int) -> None:
    behaviour = Behaviour(fail=0.1, truncate=0.1)
    rng = random.Random(concurrency)

    def delay(request: Request) -> float:
        return rng.choice((0.0, 0.0, 0.001, 0.004))

    plain = stored(PROBLEMS, "smoke", Scripted(behaviour), concurrency=1)
    assert stored(PROBLEMS, "smoke", Scripted(behaviour, delay=delay), concurrency=concurrency) == plain


def test_repeating_the_command_on_a_complete_run_leaves_its_bytes_alone() -> None:
    with run_directory() as out:
        evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)
        first = database(out)
        for _ in range(2):
            evolve(PROBLEMS, "smoke", Scripted(Behaviour()), out=out)
            assert database(out) == first
        assert sorted(path.name for path in out.iterdir()) == ["lock", "run.db", "run.json", "sessions.jsonl"]


def test_another_seed_draws_every_request_anew_and_other_parents() -> None:
    found = []
    for seed in (1, 2):
        with run_directory() as out:
            evolve(PROBLEMS, "smoke", Scripted(lambda request: "\\boxed{1}"), seed=seed, out=out)
            found.append(contents(out))
    seed_column = 6
    one, other = ({row[seed_column] for row in rows["completions"]} for rows in found)
    assert len(one) == len(other) == 36
    assert not one & other
    assert [row[4] for row in found[0]["candidates"]] != [row[4] for row in found[1]["candidates"]]


def test_two_presets_with_one_seed_share_generation_zero() -> None:
    rows = []
    for preset in ("smoke", "self-refinement"):
        with run_directory() as out:
            evolve(PROBLEMS, preset, Scripted(Behaviour()), out=out, population=4, generations=2,
                   sampling={"max_tokens": 96})  # fmt: skip
            rows.append([row for row in contents(out)["completions"] if row[1] == 0])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 12


SCRIPT = """
import sys
from evolve_llm import Problem, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.testing import Behaviour
problems = [Problem(f"p{i}", f"q{i}?", "boxed", "exact", "4") for i in range(4)]
evolve(problems, "smoke", Scripted(Behaviour(fail=0.2)), out=sys.argv[1], evaluate="agreement", select="tournament")
"""


def test_hash_randomisation_changes_nothing(tmp_path: Path) -> None:
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / salt)], check=True, env=environment)
    assert database(tmp_path / "1") == database(tmp_path / "2")
