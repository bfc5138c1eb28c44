"""What a person may have meant."""

from __future__ import annotations

import pytest

from evolve_llm.basics.nearest import among, did_you_mean


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unifrom", " Did you mean 'uniform'?"),
        ("elitist", " Did you mean 'elitism' or 'elite'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_ones_are_named_and_strangers_are_not(name: str, expected: str) -> None:
    assert did_you_mean(name, iter(["uniform", "elitism", "elite", "best"])) == expected


def test_a_long_list_is_shown_from_its_beginning() -> None:
    names = [f"sum{i}" for i in range(30)]
    said = among("sum99", names)
    assert said.startswith(" Did you mean ")
    assert said.endswith("sum8, sum9, …")
    assert among("x", ["a", "b"]) == " It has: a, b"
