"""Seeds by address, and the scope in which the global generators are ours."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.nouns.seeding import derive, rng_scope

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
ADDRESSES = st.tuples(
    st.integers(0, 2**63 - 1), TEXTS, st.integers(0, 99), st.integers(0, 99), TEXTS, st.integers(0, 9)
)


@given(one=ADDRESSES, other=ADDRESSES)
def test_different_addresses_have_different_seeds(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert (derive(*one) == derive(*other)) == (one == other)  # type: ignore[arg-type]
    assert 0 <= derive(*one) < 2**63  # type: ignore[arg-type]


@given(
    parts=st.lists(st.sampled_from(("|", ":", "1", "a", "1:", "|0|0|")), max_size=6), cut=st.integers(0, 6)
)
def test_no_text_can_play_another_address(parts: list[str], cut: int) -> None:
    """Separators inside a problem's id cannot move the border to the purpose."""
    left, right = "".join(parts[:cut]), "".join(parts[cut:])
    if (left, right) != (left + right, ""):
        assert derive(0, left, 0, 0, right) != derive(0, left + right, 0, 0, "")


def test_a_whole_run_has_no_collisions() -> None:
    seeds = {
        derive(seed, f"p{problem}", generation, slot, purpose, call)
        for seed in range(2)
        for problem in range(20)
        for generation in range(10)
        for slot in range(16)
        for purpose in ("vary", "evaluate")
        for call in range(2)
    }
    assert len(seeds) == 2 * 20 * 10 * 16 * 2 * 2


def test_seeds_are_part_of_the_run_format() -> None:
    """Stored runs resume only while these stay what they are."""
    assert derive(0, "p", 0, 0, "vary") == 7294861915580275413
    assert derive(2**63 - 1, "\ud800|é", 9, 15, "evaluate", 3) == 1582364107221599478


@given(seed=st.integers(0, 2**63 - 1))
def test_inside_the_scope_both_generators_are_seeded(seed: int) -> None:
    def draw() -> tuple[float, float]:
        with rng_scope(seed):
            return random.random(), float(np.random.random())

    first = draw()
    random.random()
    np.random.random()
    assert draw() == first


@pytest.mark.parametrize("fails", [False, True])
def test_outside_nothing_happened_even_where_the_scope_failed(fails: bool) -> None:
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    try:
        with rng_scope(1):
            random.random()
            np.random.shuffle(list(range(9)))
            with rng_scope(2):
                random.random()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert (random.random(), np.random.random()) == expected
