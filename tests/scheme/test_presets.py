"""Presets: what is wrong is said with the key, the value and what would be right."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evolve_llm import Preset, UserError, load_preset
from evolve_llm.session.session import flatten

MINIMAL: dict[str, Any] = {"name": "mine", "population": 4, "parents": 2, "generations": 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parents": 5}, r"parents \(K=5\) cannot exceed population \(N=4\)"),
        ({"generations": 0}, "generations: .*greater than or equal to 1, got 0"),
        ({"population": 0}, "population: .*got 0"),
        ({"population": "many"}, "population: .*got 'many'"),
        ({"vary": []}, "vary needs at least one operator"),
        ({"vary": ["aggregate", "refine"]}, r"several \[\[vary\]\] operators, each needs a probability"),
        ({"vary": {"operator": "refine", "probability": 0.0}}, "vary.0.probability: .*got 0.0"),
        (
            {"vary": {"operator": "refine", "probability": 0.5, "anneal": 0.5}},
            "another operator that takes over",
        ),
        ({"vary": {"operator": "refine", "probability": 0.5, "anneal": 1.0}}, "vary.0.anneal: .*got 1.0"),
        (
            {
                "vary": [
                    {"operator": "refine", "probability": 0.7},
                    {"operator": "sample", "probability": 0.4},
                ]
            },
            "sum to more than 1: .*0.7, 0.4",
        ),
        ({"selection": "uniform"}, "selection: no such key; keys are name, .*select"),
        ({"sampling": {"temp": 1}}, "sampling.temp: no such key; keys are temperature"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature: .*got -1"),
        ({"sampling": {"temperature": math.inf}}, "sampling.temperature: .*finite"),
        ({"sampling": {"temperature": math.nan}}, "sampling.temperature"),
        ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens: .*got 0"),
        ({"select": {"tournsize": 2}}, "select.operator: is required"),
        ({"select": 3}, "select: .*got 3"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=rf"my\.toml: .*{said}"):
        Preset.from_plain({**MINIMAL, **change}, "my.toml")


@pytest.mark.parametrize("missing", ["name", "population", "generations"])
def test_what_is_missing_is_named(missing: str) -> None:
    data = {key: value for key, value in MINIMAL.items() if key != missing}
    with pytest.raises(UserError, match=f"{missing}: is required"):
        Preset.from_plain(data)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(UserError, match=r"population: .*; generations: .*; color: no such key"):
        Preset.from_plain({**MINIMAL, "population": -1, "generations": 0, "color": 1})


def test_more_parents_than_members_matter_only_where_children_have_parents() -> None:
    assert Preset.from_plain({**MINIMAL, "parents": 9, "generations": 1}).parents == 9


def test_a_preset_that_does_not_exist_is_told_with_the_nearest_ones() -> None:
    with pytest.raises(UserError, match=r"unknown preset 'ras'. Did you mean 'rsa'.*Available: .*smoke"):
        load_preset("ras")


def test_preset_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    with pytest.raises(UserError, match="no such preset file"):
        load_preset(str(file))
    file.write_text("population = \nname = 3")
    with pytest.raises(UserError, match=r"mine\.toml is not valid TOML: .*line 1"):
        load_preset(str(file))
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        load_preset(str(file))
    with pytest.raises(UserError, match="cannot be read"):
        load_preset(f"{tmp_path}/")
    file.write_text(load_preset("smoke").to_toml())
    assert load_preset(str(file)) == load_preset("smoke")


SMOKE = load_preset("smoke")


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    changed = SMOKE.override({"population": 8, "sampling.max_tokens": 5})
    assert (changed.population, changed.sampling.max_tokens) == (8, 5)
    assert changed.override({"population": 4, "sampling.max_tokens": 96}) == SMOKE
    assert SMOKE.override({}) == SMOKE


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("key", ["select", "select.operator"])
def test_an_operator_and_its_parameter_in_either_order(key: str, backwards: bool) -> None:
    changes = {key: "tournament", "select.tournsize": 2}
    ordered = dict(reversed(changes.items())) if backwards else changes
    changed = SMOKE.override(ordered)
    assert (changed.select.operator, changed.select.parameters) == ("tournament", {"tournsize": 2})


def test_another_operator_drops_the_parameters_of_the_old_one() -> None:
    sized = SMOKE.override({"select": "tournament", "select.tournsize": 2})
    assert sized.override({"select.operator": "best"}).select.parameters == {}
    assert sized.override({"select.operator": "tournament"}).select.parameters == {"tournsize": 2}


def test_a_mixture_keeps_its_probability_when_the_operator_changes() -> None:
    mixed = SMOKE.override(
        {"vary": [{"operator": "refine", "probability": 0.25}, {"operator": "sample", "probability": 0.5}]}
    )
    changed = mixed.override({"vary.0.operator": "aggregate", "vary.1.probability": 0.75})
    assert [(one.operator, one.probability) for one in changed.vary] == [
        ("aggregate", 0.25),
        ("sample", 0.75),
    ]


def test_objects_stay_objects_through_an_override() -> None:
    def mine(individuals: list[Any], k: int) -> list[Any]:
        return individuals[:k]

    changed = SMOKE.override({"select": mine}).override({"population": 5})
    assert changed.select.operator is mine
    assert changed.plain()["select"]["operator"].endswith(
        ":test_objects_stay_objects_through_an_override.<locals>.mine"
    )


def test_evaluate_can_be_added_and_taken_away() -> None:
    informed = SMOKE.override({"evaluate": "agreement"})
    assert informed.evaluate is not None
    assert informed.override({"evaluate": None}) == SMOKE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"populaton": 3}, r"a preset has no key 'populaton'. Did you mean 'population'\?"),
        ({"population.size": 3}, "population is a plain value and has no key 'size'"),
        ({"vary.7.probability": 0.5}, "vary has entries 0 to 0, not '7'"),
        ({"vary.first.probability": 0.5}, "vary has entries 0 to 0, not 'first'"),
        ({"sampling.tokens": 3}, "sampling.tokens: no such key"),
        ({"evaluate.weight": 3}, "evaluate.operator: is required"),
        ({"parents": 9}, r"parents \(K=9\) cannot exceed population"),
    ],
)
def test_overrides_that_make_no_sense(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SMOKE.override(changes)


def test_nested_settings_are_dotted_keys() -> None:
    assert flatten({"a": 1, "b": {"c": {"d": 2}, "e": [3]}}) == {"a": 1, "b.c.d": 2, "b.e": [3]}
    whole = {
        "select": {"operator": "tournament", "tournsize": 2},
        "vary": {"operator": "refine", "probability": 0.5},
    }
    assert flatten(whole) == whole
    changed = SMOKE.override(flatten(whole))
    assert changed.select.parameters == {"tournsize": 2}
    assert [(one.operator, one.probability) for one in changed.vary] == [("refine", 0.5)]
