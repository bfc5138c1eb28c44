"""A training set on disk: JSON lines, a folder of the library datasets, and verl's Parquet.

README.md, card.json   the data card
data/*.jsonl           a row a line; ``datasets.load_dataset(FOLDER)`` reads these
dataset/               for ``datasets.load_from_disk``
verl/*.parquet         data_source, prompt, ability, reward_model, extra_info
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from evolve_llm.basics.whole_file import PART
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.train.card import page
from evolve_llm.train.dataset import TrainingSet
from evolve_llm.train.rows import Row

Form = Literal["jsonl", "datasets", "verl"]
FORMS: tuple[Form, ...] = ("jsonl", "datasets", "verl")
HINT = 'pip install "evolve-llm[train]", or write --format jsonl'


def write(
    made: TrainingSet, folder: str | Path, forms: Sequence[str] = FORMS, *, overwrite: bool = False
) -> None:
    """Write a training set to a folder, which appears when it is complete.

    Raises UserError for an unknown form, a form whose library is missing, and a folder that exists, without
    ``overwrite``; StoreError where the disk is full or cannot be written.
    """
    unknown = [one for one in forms if one not in FORMS]
    if unknown or not forms:
        raise UserError(
            f"unknown format {', '.join(unknown) or '(none)'!r}; the formats are {', '.join(FORMS)}"
        )
    _require(forms)
    target = Path(folder)
    with whole_folder(target, overwrite=overwrite) as part:
        splits = {"train": made.train, **({"test": made.test} if made.test else {})}
        (part / "data").mkdir()
        for name, rows in splits.items():
            with (part / "data" / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(row.plain(), ensure_ascii=False)}\n" for row in rows)
        if "datasets" in forms:
            _write_datasets(part / "dataset", splits)
        if "verl" in forms:
            (part / "verl").mkdir()
            for name, rows in splits.items():
                _write_parquet(part / "verl" / f"{name}.parquet", name, rows)
        (part / "card.json").write_text(json.dumps(made.card, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (part / "README.md").write_text(page(made.card), "utf-8")


@contextmanager
def whole_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder to write to, which gets the name ``target`` when the block ends, and is gone where it raises.

    Raises UserError where something stands there, unless it may be overwritten and is a training set; StoreError where
    it cannot be written.
    """
    if target.exists() and not (overwrite and (target / "card.json").is_file()):
        what = "exists and is no training set" if overwrite else "already exists"
        raise UserError(
            f"{target} {what}; give another --out" + ("" if overwrite else ", or --force to replace it")
        )
    part = target.with_name(f"{target.name}.{os.getpid()}{PART}")
    old = target.with_name(f"{target.name}.{os.getpid()}.old")
    try:
        part.mkdir(parents=True)
        yield part
        if target.exists():
            target.rename(old)
        part.rename(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def read_rows(folder: str | Path, name: str = "train") -> list[dict[str, Any]]:
    """The plain rows of one split of a folder; an empty list where it has no such split.

    Raises UserError where the folder is no training set, or a line cannot be read.
    """
    path = Path(folder)
    _require_set(path)
    file = path / "data" / f"{name}.jsonl"
    if not file.is_file():
        return []
    try:
        return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}; make the training set again") from error


def read_card(folder: str | Path) -> dict[str, Any]:
    """The data card of a folder. Raises UserError where it has none that can be read."""
    _require_set(Path(folder))
    try:
        found: dict[str, Any] = json.loads((Path(folder) / "card.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is not a training set ({error}); make one with evolve-llm train-data"
        ) from error
    return found


def _require(forms: Sequence[str]) -> None:
    if "datasets" in forms:
        try:
            import datasets  # noqa: F401
        except ImportError as error:
            raise UserError(f"the format datasets needs the library of that name: {HINT}") from error
    if "verl" in forms:
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UserError(f"the format verl needs pyarrow: {HINT}") from error


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ("kind", pa.string()),
            ("problem", pa.string()),
            ("question", pa.string()),
            ("format", pa.string()),
            ("grader", pa.string()),
            ("reference", pa.string()),
            ("metadata", pa.string()),
            ("generation", pa.int64()),
            ("parents", pa.list_(pa.string())),
            ("parents_right", pa.list_(pa.bool_())),
            ("prompt_tokens", pa.int64()),
        ]
    )


def _write_datasets(folder: Path, splits: Mapping[str, Sequence[Row]]) -> None:
    import datasets
    import pyarrow as pa

    from evolve_llm.nouns.seeding import derive

    found = {}
    for name, rows in splits.items():
        plain = [row.plain() for row in rows]
        text = json.dumps(plain, sort_keys=True)
        fingerprint = (
            f"{derive(0, text, 0, 0, 'fingerprint'):016x}"  # the library's own depends on where it is made
        )
        found[name] = datasets.Dataset(pa.Table.from_pylist(plain, schema=_schema()), fingerprint=fingerprint)
    datasets.disable_progress_bars()
    datasets.DatasetDict(found).save_to_disk(str(folder))


def _write_parquet(file: Path, split: str, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(list(verl_rows(rows, split))), file, compression="zstd")


def verl_rows(rows: Sequence[Row], split: str) -> Iterator[dict[str, Any]]:
    """Rows as verl reads them: ``extra_info`` holds what our reward function needs."""
    for index, row in enumerate(rows):
        plain = row.plain()
        reference = row.problem.reference
        yield {
            "data_source": f"evolve-llm/{row.problem.grader}",
            "prompt": plain["prompt"],
            "ability": row.problem.format,
            "reward_model": {
                "style": "rule",
                "ground_truth": reference if isinstance(reference, str) else plain["reference"],
            },
            "extra_info": {
                "split": split,
                "index": index,
                "generation": -1 if row.generation is None else row.generation,
                **{
                    key: plain[key]
                    for key in (
                        "kind", "problem", "question", "format", "grader", "reference", "metadata", "parents",
                        "parents_right",
                    )
                },
            },
        }  # fmt: skip


def _require_set(path: Path) -> None:
    """Raises UserError where a path is no training set, saying what it is instead."""
    if (path / "card.json").is_file():
        return
    if (path / "run.json").is_file():
        raise UserError(
            f"{path} is a run; make a training set of it: evolve-llm train-data {path} --out FOLDER"
        )
    what = "is not a training set (it has no card.json)" if path.exists() else "does not exist"
    raise UserError(f"{path} {what}; make a training set with evolve-llm train-data")
