"""Files that appear under their name when they are complete, and never in part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from evolve_llm.nouns.errors import StoreError

PART = ".part"
"""How the name of a file that is being written ends. It begins with the name that the file will have."""


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to. The file gets the name ``target`` when the block ends, and is gone where it raises.

    Raises StoreError where it cannot be written, whatever stood under the name before then stays.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}{PART}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(target: Path, text: str) -> None:
    """Write a text in UTF-8, as ``whole_file`` does."""
    with whole_file(target) as part:
        part.write_text(text, encoding="utf-8")
