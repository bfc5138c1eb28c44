"""The folder of a training set: three forms of the same rows, equal bytes for equal seeds, nothing in part."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from train_helpers import scripted_run, sums

from evolve_llm import Run
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.train import formats
from evolve_llm.train.dataset import Recipe, training_set
from evolve_llm.train.formats import read_card, read_rows, write
from evolve_llm.train.groups import Drawing

RECIPE = Recipe(Drawing((0, 1), (2, 3)), test_share=0.3)


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_equal_seeds_give_equal_bytes(words: Run, tmp_path: Path) -> None:
    for name, recipe in (("a", RECIPE), ("b", RECIPE), ("c", Recipe(RECIPE.drawing, test_share=0.3, seed=1))):
        write(training_set(words.path, recipe), tmp_path / name)
    one, same, other = (files(tmp_path / name) for name in "abc")
    assert len(one) >= 9
    assert one == same
    assert {name for name in one if one[name] != other.get(name)} >= {
        "data/train.jsonl", "verl/train.parquet", "card.json"
    }  # fmt: skip
    again = scripted_run(tmp_path / "elsewhere" / "run")  # the same run, made again elsewhere
    write(training_set(again.path, RECIPE), tmp_path / "d")
    assert files(tmp_path / "d") == one


def test_the_forms_hold_the_same_rows(words: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = training_set(words.path, RECIPE)
    write(made, tmp_path / "set")
    rows = read_rows(tmp_path / "set")
    assert [row["prompt"] for row in rows] == [row.messages for row in made.train]
    saved = datasets.load_from_disk(str(tmp_path / "set" / "dataset"))
    assert saved["train"].to_list() == rows
    assert saved["test"].to_list() == read_rows(tmp_path / "set", "test")
    loaded = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"]["prompt"] == [row["prompt"] for row in rows]
    verl = datasets.Dataset.from_parquet(
        str(tmp_path / "set/verl/train.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert verl.column_names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert [row["prompt"] for row in verl] == [row["prompt"] for row in rows]
    assert verl[0]["reward_model"] == {"style": "rule", "ground_truth": made.train[0].problem.reference}
    assert verl[1]["extra_info"]["parents"] == list(made.train[1].parents)
    assert read_card(tmp_path / "set")["splits"]["train"]["rows"] == len(rows)


def test_the_card_counts_what_is_there(words: Run, tmp_path: Path) -> None:
    made = training_set(words.path, RECIPE)
    write(made, tmp_path / "set", ["jsonl"])
    card = read_card(tmp_path / "set")
    split = card["splits"]["train"]
    assert split["rows"] == len(made.train) == 2 * split["kinds"]["standard"]["rows"]
    assert sum(one["rows"] for one in split["groups"]) == split["kinds"]["aggregation"]["rows"]
    assert split["kinds"]["aggregation"]["characters"]["max"] == max(row.characters for row in made.train)
    assert card["run"]["seed"] == 0
    assert len(card["run"]["sha256"]) == 64
    assert str(tmp_path) not in (tmp_path / "set" / "card.json").read_text()
    assert not (tmp_path / "set" / "verl").exists()
    page = (tmp_path / "set" / "README.md").read_text()
    assert f"| train | standard | {split['kinds']['standard']['rows']:,} |" in page


def test_a_full_disk_leaves_nothing_and_takes_nothing(
    words: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training_set(words.path, RECIPE)
    write(made, tmp_path / "set")
    before = files(tmp_path / "set")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(formats, "_write_parquet", full)
    with pytest.raises(StoreError, match="No space left on device; nothing was changed"):
        write(made, tmp_path / "set", overwrite=True)
    assert files(tmp_path / "set") == before
    assert [one.name for one in tmp_path.iterdir()] == ["set"]


def test_what_stands_in_the_way_is_kept(words: Run, tmp_path: Path) -> None:
    made = training_set(words.path, RECIPE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    for overwrite, said in ((False, "already exists"), (True, "is no training set")):
        with pytest.raises(UserError, match=said):
            write(made, tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "dear"
    with pytest.raises(UserError, match="unknown format 'csv'"):
        write(made, tmp_path / "new", ["csv"])
    with pytest.raises(UserError, match="is not a training set"):
        read_rows(tmp_path / "mine")


def test_a_missing_library_is_named(words: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    made = training_set(words.path, RECIPE)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'pip install "evolve-llm\[train\]"'):
        write(made, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    write(made, tmp_path / "set", ["jsonl"])
    assert sums(1)[0].id in {
        row["problem"] for name in ("train", "test") for row in read_rows(tmp_path / "set", name)
    }
