"""How the study of the prefix cache counts parent tokens."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve_llm.scheme.ordering import arrange, prefix_share

FOLDER = str(Path(__file__).parents[2] / "experiments" / "throughput")
sys.path.insert(0, FOLDER)

from prefill_counts import Child, distinct_tokens, fewer, share  # noqa: E402

sys.path.remove(FOLDER)

CHAINS = {f"0.{slot}": 5 + 3 * slot for slot in range(8)}


def children(groups, cached=0):
    return [Child(tuple(group), tuple(CHAINS[uid] for uid in group), cached) for group in groups]


def test_what_the_engine_had_covers_the_head_first_and_never_the_question():
    child = Child(("0.0", "0.1"), (10, 20), 0)
    assert child.parent_tokens == 32  # each chain with its separator
    assert [Child(child.parents, child.chains, cached).computed for cached in (0, 1, 2, 16, 33, 40)] == [
        32, 32, 31, 17, 0, 0,
    ]  # fmt: skip


def test_each_beginning_is_computed_once():
    group = children([["0.0", "0.1"], ["0.0", "0.2"], ["0.1", "0.0"], ["0.0", "0.1"]])
    a, b, c = (CHAINS[f"0.{slot}"] + 1 for slot in range(3))
    assert distinct_tokens(group) == (a + b) + c + (b + a) + 0


@given(st.integers(0, 10_000), st.sampled_from(["random", "slot", "popular", "trie"]))
def test_it_is_what_a_cache_that_forgets_nothing_would_compute(seed, order):
    """A cache of single tokens played through, prompt by prompt, each token under everything before it."""
    rng = random.Random(seed)
    groups = arrange([rng.sample(sorted(CHAINS), 3) for _ in range(8)], order)
    seen, computed = set(), 0
    for group in groups:
        text = [(uid, place) for uid in group for place in range(CHAINS[uid] + 1)]
        beginnings = {tuple(text[: end + 1]) for end in range(len(text))}
        computed += len(beginnings - seen)
        seen |= beginnings
    assert distinct_tokens(children(groups)) == computed


@given(st.integers(0, 10_000))
def test_with_chains_of_one_length_it_is_the_share_of_parents(seed):
    rng = random.Random(seed)
    groups = [rng.sample(sorted(CHAINS), 4) for _ in range(16)]
    equal = [Child(tuple(group), (9,) * 4, 0) for group in groups]
    found = share([equal])
    assert found.least / found.tokens == pytest.approx(prefix_share(groups))
    assert found.computed == found.tokens == 16 * 40


def test_populations_share_nothing_and_shares_are_compared_as_parts():
    group = children([["0.0", "0.1"], ["0.0", "0.1"]], cached=8)
    one, two = share([group]), share([group, group])
    assert (two.tokens, two.computed, two.least) == (2 * one.tokens, 2 * one.computed, 2 * one.least)
    assert one.least == one.tokens / 2
    assert one.computed == one.tokens - 2 * 7
    assert fewer(0.68, 0.91) == pytest.approx(0.2527)
