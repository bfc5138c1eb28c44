"""A first generation of another size than N: who is sampled, who stays, what it costs, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import (
    Candidate,
    Preset,
    Problem,
    Run,
    UserError,
    evaluation,
    evolve,
    load_preset,
    replacement,
)
from evolve_llm.engine.deap_compat import ModelToolbox
from evolve_llm.record.store import Store
from evolve_llm.scheme.toolbox import build
from evolve_llm.session.estimate import count_requests

PROBLEMS = [Problem(f"p{n}", f"What is {n} + {n}?", "boxed", "math", str(2 * n)) for n in range(3)]
SEEDED: dict[str, Any] = {"population": 4, "parents": 2, "generations": 3, "initial": 12}


@evaluation(weights=(1.0,), oracle=False)
async def late(problem: Problem, candidates: Sequence[Candidate], ask: Any) -> list[tuple[float]]:  # noqa: ARG001
    """The later the slot, the better."""
    return [(float(one.slot),) for one in candidates]


@replacement()
def first(parents: Sequence[Candidate], offspring: Sequence[Candidate], n: int) -> list[Candidate]:
    """Those of the first slots."""
    return [*parents, *offspring][:n]


def _run(path: Path, **settings: Any) -> Run:
    return evolve(PROBLEMS, "rsa", "scripted", out=path, **{**SEEDED, **settings})


def test_all_are_born_and_the_best_stay(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", evaluate=late)
    with Store.open_to_read(run.path) as store:
        for place in range(3):
            born = [one.slot for one in store.candidates(place) if one.generation == 0]
            assert born == list(range(12))
            zero, one, two = (population.members for population in store.populations(place))
            assert sorted(member.slot for member in zero) == [8, 9, 10, 11]
            stayed = {member.uid for member in zero}
            assert all(set(member.parents) <= stayed for member in one)
            assert len(one) == len(two) == 4


def test_who_stays_is_an_operator(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", truncate=first)
    with Store.open_to_read(run.path) as store:
        assert [one.slot for one in store.populations(0)[0].members] == [0, 1, 2, 3]


def test_the_first_samples_are_those_of_a_smaller_first_generation(tmp_path: Path) -> None:
    """Seeds are by address: a larger first generation begins like a smaller one."""
    small, large = (_run(tmp_path / str(count), initial=count, truncate=first) for count in (8, 12))
    with Store.open_to_read(small.path) as one, Store.open_to_read(large.path) as other:
        mine, theirs = ([each.text for each in store.candidates(0, texts=True)][:8] for store in (one, other))
    assert mine == theirs


def test_it_costs_what_is_said() -> None:
    preset = load_preset("rsa-seeded")
    said = count_requests(build(preset))
    assert (said.chains, said.evaluation) == (64 + 9 * 16, 64 + 9 * 16)


def test_a_preset_without_it_is_written_as_before() -> None:
    plain = load_preset("rsa").plain()
    assert "initial" not in plain
    assert "truncate" not in plain
    assert load_preset("rsa-seeded").override({"initial": None}).truncate is None


def test_the_best_stay_where_nothing_else_is_said() -> None:
    preset = Preset(name="x", population=2, generations=2, initial=4, evaluate="agreement")
    assert preset.truncate is not None
    assert preset.truncate.operator == "plus"
    assert Preset.from_toml(preset.to_toml()) == preset


def test_deaps_own_loops_choose_for_themselves() -> None:
    preset = load_preset("rsa-seeded").override(
        {"vary": [{"operator": "aggregate", "probability": 0.5}, {"operator": "refine", "probability": 0.5}]}
    )
    with pytest.raises(UserError, match="leave initial out"):
        ModelToolbox(PROBLEMS[0], "scripted", preset)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"initial": 4}, "must be more than population"),
        ({"initial": 3}, "must be more than population"),
        ({"initial": 12}, "needs a fitness"),
        ({"truncate": "generational"}, "does not choose N of more"),
        ({"truncate": "accumulate"}, "does not choose N of more"),
        ({"truncate": "nobody"}, "unknown replace operator"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        _run(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
