"""A Hugging Face data set from a folder, by columns; what is wrong with it, and the hub out of reach."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from evolve_llm.nouns.errors import UserError
from evolve_llm.scheme.problem_sets import load_problems

datasets = pytest.importorskip("datasets")

SUMS = [
    {"uid": f"s{n}", "text": f"What is {n} + {n}?", "gold": str(2 * n), "level": n % 2, "notes": [n]}
    for n in range(1, 5)
]
SCIENCE = [
    {
        "id": "q1",
        "question": "Which is hot?",
        "choices": {"text": ["ice", "fire"], "label": ["1", "2"]},
        "key": "2",
    },
    {
        "id": "q2",
        "question": "Which is wet?",
        "choices": {"text": ["rain", "sand"], "label": ["A", "B"]},
        "key": "A",
    },
]
ENDINGS = [{"ctx": "The sun", "endings": ["rises", "barks", "reads"], "label": 0}]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    splits = {"train": datasets.Dataset.from_list(SUMS[:3]), "test": datasets.Dataset.from_list(SUMS[3:])}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def folder(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    (tmp_path / "plain").mkdir()
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "plain" / "train.parquet"))
    return tmp_path / "plain"


def test_columns_are_named_and_kept(saved: Path) -> None:
    found = load_problems(f"hf:{saved}?split=train&question=text&answer=gold&id=uid&metadata=level")
    assert [(one.id, one.question, one.reference, one.format) for one in found] == [
        (f"s{n}", f"What is {n} + {n}?", str(2 * n), "boxed") for n in (1, 2, 3)
    ]
    assert [one.metadata["level"] for one in found] == ["1", "0", "1"]


def test_a_saved_split_and_a_folder_of_files_are_read_alike(tmp_path: Path) -> None:
    datasets.Dataset.from_list(SUMS).save_to_disk(str(tmp_path / "one"))
    options = "question=text&answer=gold&id=uid"
    alone = load_problems(f"hf:{tmp_path / 'one'}?{options}")
    assert alone == load_problems(f"hf:{folder(tmp_path, SUMS)}?{options}")
    assert len(alone) == 4


def test_ids_that_are_numbers_bear_the_name_of_the_set(saved: Path) -> None:
    assert load_problems(f"hf:{saved}?split=test&question=text&answer=gold&id=row")[0].id == "saved/0"


def test_choices_with_labels_and_in_a_column_of_another_name(tmp_path: Path) -> None:
    found = load_problems(f"hf:{folder(tmp_path, SCIENCE)}?answer=key")
    assert [(one.reference, one.format, one.grader) for one in found] == [
        ("B", "option", "option"),
        ("A", "option", "option"),
    ]
    assert found[0].question == "Which is hot?\n\nA. ice\nB. fire"
    (tmp_path / "other").mkdir()
    datasets.Dataset.from_list(ENDINGS).to_json(str(tmp_path / "other" / "validation.jsonl"))
    (one,) = load_problems(f"hf:{tmp_path / 'other'}?question=ctx&choices=endings&answer=label")
    assert (one.reference, one.question) == ("A", "The sun\n\nA. rises\nB. barks\nC. reads")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", r"several splits; add \?split=NAME, one of train, test"),
        ("?split=dev", r"no split 'dev'; add \?split=NAME, one of train, test"),
        ("?split=train&question=Text", r"no column 'Text'; it has 'uid', 'text', 'gold', 'level', 'notes'"),
        ("?split=train&question=text&choices=gold", r"'gold' holds no list of choices"),
        ("?split=train&question=text&metadata=colour", r"no column 'colour'"),
        ("?split=train&question=text&answer=notes&shuffle=1", r"no option 'shuffle'"),
    ],
)
def test_what_is_not_there_is_named_beside_what_is(saved: Path, options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_problems(f"hf:{saved}{options}")


def test_without_the_hub_or_the_library_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route to the hub\nand a trace")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match=r"owner/name cannot be had \(no route to the hub\); .*hf:FOLDER"):
        load_problems("hf:owner/name")
    with pytest.raises(UserError, match=r"needs a data set, for example hf:openai/gsm8k"):
        load_problems("hf")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"evolve-llm\[problems\]"):
        load_problems(f"hf:{tmp_path}")
