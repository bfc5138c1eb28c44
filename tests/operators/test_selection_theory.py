"""Selection theory holds: a small run of experiments/selection_theory, whose figure is in docs/selection.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare, norm
from selection_cases import ALPHA

STUDY = Path(__file__).parents[2] / "experiments" / "selection_theory"
sys.path.insert(0, str(STUDY))

import simulate  # noqa: E402
import theory  # noqa: E402

N = 8
VALUES = [float(N - place) for place in range(N)]


def assert_expected(counts: Sequence[Sequence[int]], expected: Sequence[float]) -> None:
    """Chi-square of independent children against expected copies; nobody who expects none may have any."""
    observed = np.asarray(counts).sum(axis=0)
    possible = np.asarray(expected) > 0
    assert not observed[~possible].any()
    scaled = np.asarray(expected)[possible] * observed.sum() / sum(expected)
    assert chisquare(observed[possible], scaled).pvalue > ALPHA


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ({"operator": "tournament", "tournsize": 2}, theory.tournament_copies(N, 2)),
        ({"operator": "tournament", "tournsize": 3}, theory.tournament_copies(N, 3)),
        ({"operator": "tournament", "tournsize": 2}, theory.linear_ranking_copies(N, 2 - 1 / N)),
        ({"operator": "best", "pool": 3}, theory.truncation_copies(N, 3)),
        ({"operator": "roulette"}, theory.roulette_copies(VALUES)),
        ({"operator": "boltzmann", "temperature": 3.0}, theory.boltzmann_copies(VALUES, 3.0)),
    ],
    ids=["tournament 2", "tournament 3", "linear ranking", "truncation", "roulette", "boltzmann"],
)
@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_expected_copies(select: dict[str, object], expected: list[float], weight: float) -> None:
    values = VALUES
    if (
        weight < 0
    ):  # the same ranks and wheel, minimised; Boltzmann negates, which shifts nothing but a constant
        values = VALUES[::-1]
    assert_expected(simulate.copies(select, values, 500, seed=1, weight=weight), expected)


def test_one_spin_of_the_wheel_varies_less_than_roulette() -> None:
    wheel = np.asarray(simulate.copies({"operator": "stochastic_universal"}, VALUES, 200, seed=2))
    expected = np.asarray(theory.roulette_copies(VALUES))
    assert (np.floor(expected) <= wheel).all()
    assert (wheel <= np.ceil(expected)).all()
    standard = wheel.std(axis=0, ddof=1) / len(wheel) ** 0.5
    assert (abs(wheel.mean(axis=0) - expected) < norm.ppf(1 - ALPHA / 2 / N) * standard + 1e-9).all()


@pytest.mark.parametrize("s", [2, 3])
def test_takeover_takes_as_long_as_the_markov_chain_says(s: int) -> None:
    chance, mean = theory.takeover(16, s)
    times = simulate.takeover_times(16, s, 200, seed=3)
    won = np.asarray([one for one in times if one is not None], dtype=float)
    assert binomtest(len(won), len(times), chance).pvalue > ALPHA
    assert abs(won.mean() - mean) < norm.ppf(1 - ALPHA / 2) * won.std(ddof=1) / len(won) ** 0.5


@pytest.mark.parametrize("s", [2, 3, 5, 8])
@pytest.mark.parametrize("n", [16, 64, 256])
def test_goldberg_and_deb_are_within_a_generation_of_the_markov_chain(n: int, s: int) -> None:
    """Their approximation is of the deterministic recurrence; chance adds a little at the start and the end."""
    assert abs(theory.takeover(n, s)[1] - theory.goldberg_deb(n, s)) < 1.0


@pytest.mark.parametrize(
    ("k", "select", "coalescence"),
    [
        (1, {"operator": "uniform"}, theory.uniform_coalescence(N)),
        (3, {"operator": "uniform"}, theory.uniform_coalescence(N)),
        (3, {"operator": "balanced"}, theory.balanced_coalescence(N, 3)),
        (3, {"operator": "shared_prefix", "g": 4, "d": 2}, theory.shared_prefix_coalescence(N, 3, 4, 2)),
    ],
    ids=[
        "uniform K=1 is Wright–Fisher",
        "uniform K=3 is too",
        "balanced drifts less",
        "shared_prefix drifts more",
    ],
)
def test_drift(k: int, select: dict[str, object], coalescence: float) -> None:
    rows = np.asarray(simulate.heterozygosities(N, k, select, 5, 800, seed=4))
    expected = [theory.heterozygosity(N, coalescence, t) for t in range(6)]
    assert np.allclose(rows[:, 0], expected[0])
    errors = rows[:, 1:].std(axis=0, ddof=1) / len(rows) ** 0.5
    assert (abs(rows[:, 1:].mean(axis=0) - expected[1:]) < norm.ppf(1 - ALPHA / 2) * errors).all()


def test_balanced_with_one_parent_does_not_drift_at_all() -> None:
    rows = np.asarray(simulate.heterozygosities(N, 1, {"operator": "balanced"}, 5, 20, seed=5))
    assert np.allclose(rows, 1 - 1 / N)


def test_the_closed_forms_agree_where_they_must() -> None:
    for n, k in ((8, 3), (16, 4)):
        assert sum(theory.tournament_copies(n, 3)) == pytest.approx(n)
        assert theory.tournament_copies(n, 2) == pytest.approx(theory.linear_ranking_copies(n, 2 - 1 / n))
        assert theory.balanced_coalescence(n, n) == pytest.approx(theory.uniform_coalescence(n))
        assert theory.balanced_coalescence(n, k) < theory.uniform_coalescence(n)
        assert theory.shared_prefix_coalescence(n, k, 1, 0) == pytest.approx(theory.uniform_coalescence(n))
        assert theory.shared_prefix_coalescence(n, k, 4, 0) == pytest.approx(theory.uniform_coalescence(n))
        assert theory.shared_prefix_coalescence(n, k, n, k) == pytest.approx(1 / k)


def test_the_published_study_says_that_theory_holds() -> None:
    results = json.loads((STUDY / "results" / "selection_theory.json").read_text("utf-8"))
    rows = [*results["copies"], *results["drift"]]
    rows += [row[key] for row in results["takeover"] for key in ("time", "chance")]
    assert all(row["holds"] for row in rows)
    assert results["machine"]
    assert results["date"]
