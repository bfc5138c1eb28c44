"""The simulated studies compute what users' functions compute, and a tiny cut of every part runs."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from evolve_llm.analysis.sequential import running_sequence
from evolve_llm.analysis.stats import bootstrap_interval, holm, sign_flip_test

FOLDER = Path(__file__).parents[2] / "experiments" / "interval_coverage"


@pytest.fixture(scope="module", autouse=True)
def no_modules_left_behind() -> Iterator[None]:
    """Folders of experiments share short module names; what is imported here must not shadow another's."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(FOLDER) in str(getattr(module, "__file__", None)) and name != __name__:
            del sys.modules[name]


def of(name: str) -> ModuleType:
    """A module of the experiment."""
    sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)


def some(kind: str, problems: int, rows: int = 4) -> Any:
    draw, strength = of("differences").KINDS[kind]
    return draw(np.random.default_rng(1), rows * problems, strength).reshape(rows, problems)


@pytest.mark.parametrize("kind", ["rates", "rare", "replayed half"])
def test_all_at_once_the_bootstrap_and_the_sign_flips_are_those_of_one_at_a_time(kind: str) -> None:
    at_once, values = of("at_once"), some(kind, 60)
    rng = np.random.default_rng(2)
    intervals = at_once.bootstrap(rng, values, resamples=9999)
    p_values = at_once.sign_flips(rng, values, [20, 60], resamples=9999)
    for row, interval, p in zip(values, intervals, p_values, strict=True):
        assert interval == pytest.approx(bootstrap_interval(row.tolist()), abs=0.02)
        assert p[0] == pytest.approx(sign_flip_test(row[:20].tolist()), abs=0.04)
        assert p[1] == pytest.approx(sign_flip_test(row.tolist()), abs=0.04)


def test_where_nothing_differs_there_is_no_interval_and_nothing_is_found() -> None:
    at_once, nothing = of("at_once"), np.zeros((2, 30))
    assert np.isnan(at_once.bootstrap(np.random.default_rng(0), nothing, resamples=99)).all()
    assert (at_once.sign_flips(np.random.default_rng(0), nothing, resamples=99) == 1).all()


@pytest.mark.parametrize("mean", [0.0, 0.05, -0.1234])
@pytest.mark.parametrize("kind", ["rates", "rare", "skewed"])
def test_all_at_once_the_running_interval_leaves_a_mean_when_that_of_one_does(kind: str, mean: float) -> None:
    values = some(kind, 200)
    above, below = of("at_once").excluded(values, mean, alpha=0.2)
    for row, over, under in zip(values, above, below, strict=True):
        found = running_sequence(row.tolist(), alpha=0.2)
        never = len(found) + 1
        assert over == next((at for at, (low, _) in enumerate(found, 1) if low > mean + 1e-9), never)
        assert under == next((at for at, (_, high) in enumerate(found, 1) if high < mean - 1e-9), never)


def test_holm_rejects_where_the_adjusted_value_is_below_alpha() -> None:
    p_values = np.random.default_rng(3).random((50, 5)) ** 4
    expected = [[adjusted < 0.05 for adjusted in holm(row.tolist())] for row in p_values]
    assert of("at_once").holm_rejects(p_values).tolist() == expected


def test_the_true_nulls_are_null_and_the_promised_effects_are_there() -> None:
    means = of("differences").study(np.random.default_rng(0), 400, 400).mean(axis=(0, 2))
    assert means == pytest.approx([0.06, 0.03, 0, 0, 0, 0], abs=0.003)


def test_a_tiny_cut_of_every_part_gives_shares_and_a_table() -> None:
    studies = of("studies")
    parts = [
        studies.coverage(8, draws=10_000, sizes=(20,)),
        studies.power(8, draws=10_000, sizes=(40,)),
        studies.several_arms(8, problems=40, first=4),
        studies.stopping(8, limit=80, usual=40, draws=10_000, truths=(0.0, 0.3)),
        studies.halving(8, problems=100),
        studies.stakes(8, problems=30),
    ]
    for rows in parts:
        turned = len(rows[0]) > studies.TURNED
        assert studies.table(rows).count("\n") == (len(rows[0]) if turned else len(rows) + 1)
        shares = [cell for row in rows for cell in row.values() if isinstance(cell, dict)]
        assert all(
            one["of"] == 0 or one["interval"][0] <= one["share"] <= one["interval"][1] for one in shares
        )
        json.dumps(rows, allow_nan=False)
    settled = {(row["data"], row["truth"] > 0): row["settled by 1440"]["share"] for row in parts[3]}
    assert settled["rates", True] > 0.5 >= settled["rates", False]


def test_the_figures_quoted_in_the_readme_are_those_of_the_results() -> None:
    studies = of("studies")
    readme = (FOLDER / "README.md").read_text()
    kept = json.loads(studies.RESULTS.read_text())
    assert set(kept) == set(studies.PARTS)
    for rows in kept.values():
        assert studies.table(rows) in readme
