"""The script that holds our options for verl against verl's configuration, on a tree of a few lines.

hydra is none of our requirements, for it would hold ANTLR at 4.9 in every test of grading; a stand-in of it reads the
one file. A key that the file lacks is an error, as in hydra.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
SCRIPTS = Path(__file__).parents[2] / "experiments" / "aggregation_rl"


class _CompositionError(Exception):
    """As hydra's."""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    read: list[Path] = []

    @contextmanager
    def initialize_config_dir(folder: str, **_: object) -> Iterator[None]:
        read.append(Path(folder))
        yield

    def compose(name: str, overrides: Sequence[str]) -> None:
        whole = yaml.safe_load((read[-1] / f"{name}.yaml").read_text())
        for option in overrides:
            part: Any = whole
            for key in option.partition("=")[0].split("."):
                if not isinstance(part, dict) or key not in part:
                    raise _CompositionError(f"Could not override {option!r}.") from KeyError(
                        f"Key {key!r} is not in struct\n  full_key: {option}"
                    )
                part = part[key]

    hydra, errors = ModuleType("hydra"), ModuleType("hydra.errors")
    vars(hydra).update(compose=compose, initialize_config_dir=initialize_config_dir, errors=errors)
    vars(errors).update(ConfigCompositionException=_CompositionError)
    monkeypatch.setitem(sys.modules, "hydra", hydra)
    monkeypatch.setitem(sys.modules, "hydra.errors", errors)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("verl_names")


def _tree(folder: Path, options: Sequence[str]) -> Path:
    whole: dict[str, Any] = {}
    for option in options:
        *parts, last = option.partition("=")[0].split(".")
        inner = whole
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = None
    config = folder / "verl" / "trainer" / "config"
    config.mkdir(parents=True)
    (config / "ppo_trainer.yaml").write_text(yaml.safe_dump(whole))
    return folder


def test_the_option_that_a_verl_lacks_is_named(
    names: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = names.options()
    assert "data.shuffle=False" in wanted
    assert "trainer.nnodes=1" in wanted
    assert "actor_rollout_ref.model.lora_rank=16" in wanted
    whole = _tree(tmp_path / "whole", wanted)
    gone = "custom_reward_function.path"
    short = _tree(tmp_path / "short", [one for one in wanted if not one.startswith(f"{gone}=")])
    assert names.main([str(whole)]) == 0
    assert names.main([str(whole), str(short)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-3:-1] == [
        f"{whole}: {len(wanted)} options, 0 unknown", f"{short}: {len(wanted)} options, 1 unknown"
    ]  # fmt: skip
    assert said[-1].startswith(f"  {gone} (")
    assert "'path' is not in struct" in said[-1]


def test_a_folder_without_verl_is_no_clean_bill(names: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no verl/trainer/config/ppo_trainer.yaml in"):
        names.main([str(tmp_path)])
