"""An operator of a mixture whose probability falls from generation to generation."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm import Preset, Problem, UserError, evolve
from evolve_llm.backends.scripted import Scripted
from evolve_llm.scheme.plan import Choice, annealed, plan_generation
from evolve_llm.scheme.preset import load_preset
from evolve_llm.scheme.toolbox import build
from evolve_llm.testing import Behaviour, contents, database, run_directory

PROBLEMS = [Problem(f"p{i}", f"What is {i} + {i}?", "boxed", "exact", str(2 * i)) for i in range(2)]
MIXTURE = [
    {"operator": "aggregate", "probability": 0.5},
    {"operator": "refine", "probability": 0.1},
    {"operator": "sample", "probability": 0.3, "anneal": 0.5},
]  # a tenth reproduces


@given(
    shares=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    factors=st.lists(st.sampled_from((0.0, 0.25, 0.9, 1.0)), min_size=5, max_size=5),
    generation=st.integers(1, 60),
)
def test_probabilities_stay_probabilities(shares: list[int], factors: list[float], generation: int) -> None:
    factors = [1.0, *factors]  # the first always keeps its own
    choices = [
        Choice(f"v{place}", 1, share / sum(shares), factors[place]) for place, share in enumerate(shares)
    ]
    found = annealed(choices, generation)
    assert math.isclose(sum(one.probability for one in found), 1.0)
    assert all(0.0 <= one.probability <= 1.0 + 1e-9 for one in found)
    for one, was in zip(found, choices, strict=True):
        if was.anneal < 1.0:
            assert one.probability == was.probability * was.anneal ** (generation - 1)
        else:
            assert one.probability >= was.probability - 1e-9
    assert [one.probability for one in annealed(choices, 1)] == pytest.approx(
        [s / sum(shares) for s in shares]
    )


def restarted(preset: Preset, generation: int, problems: int = 300) -> float:
    """The share of children that are planned from scratch."""
    scheme = build(preset)
    members = [f"{generation - 1}.{slot}" for slot in range(preset.population)]
    plans = [
        plan
        for number in range(problems)
        for plan in plan_generation(
            scheme.toolbox, scheme.choices, members, generation=generation, n=16, seed=0, problem=f"p{number}"
        )
    ]
    return sum(not plan.parents for plan in plans) / len(plans)


def test_restarts_become_fewer_from_generation_to_generation() -> None:
    preset = load_preset("rsa-restarts")
    for generation in (1, 2, 3, 9):
        assert restarted(preset, generation) == pytest.approx(0.2 * 0.5 ** (generation - 1), abs=0.015)


def test_what_is_freed_goes_to_the_others_in_proportion() -> None:
    choices = build(load_preset("rsa").override({"vary": MIXTURE})).choices
    later = {one.alias: one.probability for one in annealed(choices, 2)}
    assert later == pytest.approx(
        {"mate": 0.5 * 0.85 / 0.7, "mutate": 0.1 * 0.85 / 0.7, "init": 0.15, "reproduce": 0.1 * 0.85 / 0.7}
    )


def test_it_survives_the_round_trip_and_a_change_of_the_operator() -> None:
    preset = load_preset("rsa").override({"vary": MIXTURE})
    assert Preset.from_toml(preset.to_toml()) == preset
    assert preset.override({"vary.2.operator": "refine"}).vary[2].anneal == 0.5
    assert "anneal" not in load_preset("rsa").to_toml()


def test_it_cannot_stand_beside_an_adaptation() -> None:
    shape: dict[str, Any] = {"vary": MIXTURE, "evaluate": "agreement", "adapt": "ucb"}
    with pytest.raises(UserError, match="no adapt"):
        load_preset("rsa").override(shape)


def test_the_same_bytes_at_any_concurrency_and_lineage_says_who_was_sampled_afresh() -> None:
    found = []
    for concurrency in (1, 64):
        with run_directory() as out:
            evolve(
                PROBLEMS, "rsa-restarts", Scripted(Behaviour(fail=0.1)), out=out, concurrency=concurrency,
                population=8, parents=2, generations=3, **{"vary.0.probability": 0.5, "vary.1.probability": 0.5},
            )  # type: ignore[arg-type]  # fmt: skip
            found.append(database(out))
            rows = contents(out)["candidates"]
    assert found[0] == found[1]
    fresh = [row for row in rows if row[1] > 0 and row[3] == "sample"]
    assert fresh
