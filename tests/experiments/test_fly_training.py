"""The fly's training: interrupted anywhere and given again, it ends with the weights of one that was not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the fly's training needs torch")
FOLDER = Path(__file__).parents[2] / "experiments" / "fruit_fly"


@pytest.fixture(scope="module")
def train() -> Any:
    """experiments/fruit_fly/train.py, with everything left out that draws pictures or only looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        patch.setitem(sys.modules, "curves", SimpleNamespace(training=lambda _: None))
        import train as module

        patch.setattr(module, "probe", lambda *_: {})
        patch.setattr(module, "short_rsa", lambda *_: {})
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield module
        torch.set_num_threads(threads)
        for name in ("train", "bundles", "model", "optimizer", "rsa"):
            sys.modules.pop(name, None)


def tiny(train: Any) -> Any:
    return train.Recipe(
        width=32,
        layers=1,
        heads=1,
        stage1_steps=3,
        stage2_steps=5,
        stage3_steps=3,
        tokens_per_step=400,
        sizes=(0.5, 0.5),
        refreshes=(0.4,),
    )


def weights(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "fly.pt", weights_only=False)["weights"]
    return found


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(train)
    train.train(recipe, 0, tmp_path / "whole", save_every=1e9)
    batch, stops = train.batch, [(1, 2), (2, 0), (2, 4), (3, 1)]

    def interrupted(recipe: Any, seed: int, stage: int, step: int, part: int, pools: Any) -> Any:
        if stops and (stage, step) == stops[0] and part == 1:  # in the middle of a step
            del stops[0]
            raise KeyboardInterrupt
        return batch(recipe, seed, stage, step, part, pools)

    monkeypatch.setattr(train, "batch", interrupted)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            train.train(recipe, 0, tmp_path / "parts", save_every=0.0)
    train.train(recipe, 0, tmp_path / "parts", save_every=0.0)
    assert not stops
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(SystemExit, match="belongs to another recipe or seed"):
        train.train(recipe, 1, tmp_path / "parts", save_every=0.0)
