"""Checkpoints that were written to their end, and the description of the training they belong to."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from evolve_llm.basics.whole_file import write_whole
from evolve_llm.nouns.errors import StoreError, UserError
from evolve_llm.record.run_files import differences

FILE = "training.json"
FOLDER = "checkpoints"
MARK = "complete"
KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)")


def open_training(out: Path, described: dict[str, Any]) -> bool:
    """Make the folder of a training, or find the same training in it; returns whether it is done.

    Raises UserError where the folder holds another training (with the difference) or something else, StoreError where
    it cannot be written.
    """
    file = out / FILE
    if file.is_file():
        try:
            stored = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{file} cannot be read: {error}; give another --out") from error
        found = differences(stored["training"], json.loads(json.dumps(described)))
        if found:
            listed = "\n".join(f"  {line}" for line in found)
            raise UserError(
                f"{out} holds another training:\n{listed}\nGive another --out, or repeat the command that began it."
            )
        return bool(stored["done"])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not a training, and it is not empty; give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    describe(out, described, done=False)
    return False


def describe(out: Path, described: dict[str, Any], *, done: bool) -> None:
    """Write what is trained, and whether it is done."""
    write_whole(out / FILE, json.dumps({"done": done, "training": described}, indent=2) + "\n")


def mark(out: Path, step: int) -> None:
    """Say that the checkpoint of a step was written to its end."""
    (out / FOLDER / f"checkpoint-{step}" / MARK).touch()


def latest(out: Path) -> tuple[Path | None, int]:
    """The last whole checkpoint and its step; (None, 0) where there is none. Those that were cut are removed."""
    found = []
    for folder in sorted((out / FOLDER).glob("checkpoint-*")):
        named = _NAME.fullmatch(folder.name)
        if named is None:
            continue
        if (folder / MARK).is_file():
            found.append((int(named[1]), folder))
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not found:
        return None, 0
    step, folder = max(found)
    return folder, step


def written(error: BaseException) -> str | None:
    """What to say of an error that is one of writing, such as a full disk; None of any other.

    The libraries that write weights have errors of their own for that.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error).strip().partition("\n")[0]
    ours = type(error).__name__ == "SafetensorError" or "PytorchStreamWriter" in text
    return text if ours else None


def remove_all(out: Path) -> None:
    """Remove the checkpoints of a training that is done."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
