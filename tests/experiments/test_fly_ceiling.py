"""The ideal fly: it keeps what is open, never tries again what it sees refuted, and guesses as the task says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="NOT TESTED: the fly's evaluation needs torch")
FOLDER = Path(__file__).parents[2] / "experiments" / "fruit_fly"


@pytest.fixture(scope="module")
def ceiling() -> Any:
    """experiments/fruit_fly/ideal_fly.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import ideal_fly as module

        yield module
        for name in ("ideal_fly", "evaluate", "train", "curves", "bundles", "model", "optimizer", "rsa"):
            sys.modules.pop(name, None)


def test_it_keeps_what_is_open_and_tries_nothing_twice(ceiling: Any) -> None:
    rng = np.random.default_rng(0)
    problems = ceiling.b.draw(rng, 30, 3, "held_out", 0.5)
    keys = ceiling.b.true_keys(problems)
    right = np.repeat(keys[:, None], 16, 1)
    assert (ceiling.generation(rng, problems, right, 1, 0.5) == right).all()
    wrong = (right + 1) % 10
    assert not (ceiling.generation(rng, problems, wrong, 2, 0.5) == wrong).any()
    mixed = wrong.copy()
    mixed[:, 0, 0] = keys[:, 0]  # the first lock, opened by the first chain alone
    children = ceiling.generation(rng, problems, mixed, 16, 0.5)
    assert (children[..., 0] == keys[:, None, 0]).all()
    assert not (children[..., 1:] == wrong[..., 1:]).any()


@pytest.mark.parametrize("laziness", [0.7, 0.5])
def test_its_first_guesses_are_those_of_the_task(ceiling: Any, laziness: float) -> None:
    """The hint is drawn for ``laziness`` of the guesses, and right for as many locks."""
    rng = np.random.default_rng(1)
    problems = ceiling.b.draw(rng, 2000, 1, "held_out", laziness)
    expected = laziness**2 + (1 - laziness) ** 2 / 9
    found = ceiling.shares(rng, problems, 4, laziness)
    assert found[:, 0].mean() == pytest.approx(expected, abs=0.03)
    assert found[:, -1].mean() > 0.99
