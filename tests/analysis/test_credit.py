"""Credit to parents, and the chain that foretells a run: against hand counts, closed forms and simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evolve_llm import Run, evolve
from evolve_llm.analysis import drift
from evolve_llm.analysis.credit import Child, by_length, credit, curve, place_effect, share_of, steps
from evolve_llm.analysis.stats import ratio_interval
from evolve_llm.nouns.errors import UserError
from evolve_llm.nouns.problem import Problem


def child(
    right: bool, parents: str, problem: str = "p", generation: int = 1, lengths: tuple[int, ...] = ()
) -> Child:
    known = tuple(one == "1" for one in parents)
    return Child(problem, generation, "vary.aggregate", right, known, lengths or tuple(1 for _ in known))


def test_the_curve_and_the_steps_are_counts() -> None:
    children = [
        child(True, "10"),
        child(False, "01"),
        child(True, "11"),
        child(True, "00"),
        child(False, "00", "q", 2),
    ]
    assert [(one.right_parents, one.share.children, one.share.right) for one in curve(children)] == [
        (0, 2, 0.5), (1, 2, 0.5), (2, 1, 1.0),
    ]  # fmt: skip
    first, second = steps(children)
    assert (first.kept, first.gained, first.lost, first.missed) == (0.5, 0.25, 0.25, 0.0)
    assert (second.children, second.missed) == (1, 1.0)


def test_places_and_lengths() -> None:
    children = [child(n % 2 == 0, "10", f"p{n}") for n in range(20)] + [
        child(True, "01", f"p{n}") for n in range(20)
    ]
    found = place_effect(children, 2)
    assert [one.right for one in found.places] == [0.5, 1.0]
    assert found.difference == 0.5
    assert found.interval is not None
    low, high = found.interval
    assert low < 0.5 < high
    assert low > 0.2
    assert place_effect([child(True, "10")], 2).difference is None
    longer, others = by_length(
        [child(True, "10", lengths=(9, 2)), child(False, "10", lengths=(2, 9)), child(True, "11")]
    )
    assert (longer.children, longer.right, others.children, others.right) == (1, 1.0, 1, 0.0)


def test_intervals_cover_when_children_come_in_clusters() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        shares = random.beta(2, 2, size=40)
        pairs = [
            (float(random.binomial(n, p)), float(n)) for p in shares for n in [int(random.integers(1, 30))]
        ]
        interval = ratio_interval(pairs)
        assert interval is not None
        covered += interval[0] <= 0.5 <= interval[1]
    assert 0.90 <= covered / 300 <= 0.99
    assert ratio_interval([(1.0, 1.0)]) is None
    assert ratio_interval([(2.0, 2.0), (3.0, 3.0)]) == pytest.approx((0.342, 1.0), abs=0.01)
    assert share_of([child(True, "1", f"p{n}") for n in range(4)]).interval == pytest.approx(
        (0.51, 1.0), abs=0.01
    )


@pytest.mark.parametrize(("n", "k"), [(4, 1), (8, 3), (16, 4)])
def test_one_step_is_what_simulation_gives(n: int, k: int) -> None:
    chances = [0.1 + 0.8 * (r / k) ** 2 for r in range(k + 1)]
    step = drift.transition(chances, n)
    assert step.sum(axis=1) == pytest.approx(np.ones(n + 1))
    random = np.random.default_rng(0)
    for m in (0, n // 2, n):
        members = np.arange(n) < m
        draws = np.array([
            sum(random.random() < chances[int(members[random.choice(n, k, replace=False)].sum())] for _ in range(n))
            for _ in range(1500)
        ])  # fmt: skip
        expected = float(step[m] @ np.arange(n + 1))
        assert draws.mean() == pytest.approx(expected, abs=5 * draws.std() / 1500**0.5 + 1e-9)


def test_without_selection_the_mean_stays_and_fixation_is_a_martingale() -> None:
    """p(r) = r/K copies a random parent: neutral drift, whose mean never moves."""
    step = drift.transition([0.0, 0.25, 0.5, 0.75, 1.0], 16)
    state = np.zeros(17)
    state[5] = 1.0
    for _ in range(500):
        state = state @ step
        assert float(state @ np.arange(17)) == pytest.approx(5.0)
    assert (state[0], state[16]) == pytest.approx((11 / 16, 5 / 16), abs=1e-3)


def test_a_model_of_a_known_world_foretells_other_settings() -> None:
    truth = {r: 0.05 + 0.9 * r / 4 for r in range(5)}
    random = np.random.default_rng(1)
    children, starts = [], []
    for number in range(200):
        right = int(random.binomial(16, 0.3))
        starts.append(drift.Start(f"p{number}", right, 16))
        for _ in range(40):
            r = int(random.integers(5))
            parents = "1" * r + "0" * (4 - r)
            children.append(child(bool(random.random() < truth[r]), parents, f"p{number}"))
    model = drift.fitted(children, starts, drift.Tokens(10.0, 5.0, 7.0))
    for n, k in ((16, 4), (32, 4), (16, 2), (8, 8)):
        step = drift.transition([0.05 + 0.9 * r / k for r in range(k + 1)], n)
        state = stats.binom.pmf(np.arange(n + 1), n, 0.3)
        expected = []
        for _ in range(6):
            expected.append(float(state @ np.arange(n + 1)) / n)
            state = state @ step
        (found,) = drift.predictions(model, [(n, k, 6)])
        assert found.pass_1 == pytest.approx(expected, abs=0.03), (n, k)
        assert found.measured_parents == (k == 4)
        assert all(
            low <= value <= high for value, (low, high) in zip(found.pass_1, found.intervals, strict=True)
        )
    assert drift.Tokens(10.0, 5.0, 7.0).spent(4, 2, 3) == 4 * 17 + 4 * 2 * 27
    best = drift.best_settings(model, 3000)
    assert best
    assert all(one[4] <= 3000 for one in best)
    with pytest.raises(UserError, match="K <= N"):
        drift.predict(model, 2, 4, 3)


def test_problems_that_never_gain_stay_where_they_are() -> None:
    """Two kinds of problems, easy and hopeless: the mean of their p(0) would sooner or later free the hopeless ones."""
    random = np.random.default_rng(3)
    n, k = 16, 4
    worlds = [(0.4, 0.3) if random.random() < 0.5 else (0.02, 0.0) for _ in range(150)]
    children, starts = [], []
    for number, (first, gain) in enumerate(worlds):
        members = random.random(n) < first
        starts.append(drift.Start(f"p{number}", int(members.sum()), n))
        for generation in range(1, 6):
            drawn = np.array([members[random.choice(n, k, replace=False)] for _ in range(n)])
            members = random.random(n) < np.where(drawn.any(axis=1), 0.9, gain)
            children += [
                child(
                    bool(right), "".join("01"[one] for one in parents.astype(int)), f"p{number}", generation
                )
                for right, parents in zip(members, drawn, strict=True)
            ]
    model = drift.fitted(children, starts, drift.Tokens(10.0, 5.0, 7.0))
    for size, generations in ((16, 6), (32, 6), (8, 12)):
        expected = np.zeros(generations)
        for first, gain in worlds:
            state = stats.binom.pmf(np.arange(size + 1), size, first)
            step = drift.transition([gain, 0.9, 0.9, 0.9, 0.9], size)
            for generation in range(generations):
                expected[generation] += float(state @ np.arange(size + 1)) / size / len(worlds)
                state = state @ step
        (found,) = drift.predictions(model, [(size, k, generations)])
        assert np.abs(np.array(found.pass_1) - expected).mean() < 0.04, (size, generations)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    problems = [Problem(f"p{n}", f"What is {n} + {n}?", "boxed", "math", str(2 * n)) for n in range(6)]
    out = tmp_path_factory.mktemp("credit") / "run"
    return evolve(problems, "rsa", "scripted", population=6, parents=2, generations=4, out=out)


def test_a_stored_run_has_credit_and_a_forecast(run: Run) -> None:
    found = credit([run])
    assert found.children + found.left_out == 6 * 6 * 3
    assert sum(one.share.children for one in found.curve) == found.children
    assert json.loads(json.dumps(found.plain()))["children"] == found.children
    model = drift.fit([run])
    assert model.tokens.completion > 0
    assert model.tokens.parent > 0
    (forecast,) = drift.predictions(model, [(6, 2, 4)])
    assert len(forecast.pass_1) == 4
    assert all(0 <= value <= 1 for value in forecast.pass_1)


def test_a_run_without_references_or_parents_is_refused(tmp_path: Path) -> None:
    bare = [Problem("p", "Why?")]
    for name, problems, changes in (
        ("bare", bare, {"population": 4, "parents": 2, "generations": 2}),
        (
            "alone",
            [Problem("p", "1+1?", "boxed", "math", "2")],
            {"population": 4, "parents": 1, "generations": 1},
        ),
    ):
        made = evolve(problems, "rsa", "scripted", out=tmp_path / name, **changes)
        with pytest.raises(UserError, match="credit needs problems with references"):
            credit([made])
        with pytest.raises(UserError, match="nothing can be predicted"):
            drift.fit([made])
