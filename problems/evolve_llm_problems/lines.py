"""Lines of a text file and rows of a table, each with where it stands; every fault a UserError."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve_llm.nouns.errors import UserError

# One problem longer than this is a mistake (a file without line ends, say), not a question for a model.
LONGEST_LINE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Row:
    """One row: its 0-based number, where it stands for messages (``a.jsonl, line 3``), and its values."""

    number: int
    where: str
    values: dict[str, Any]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their ends, numbered from 1, without a byte order mark.

    Raises UserError for a line that is too long, binary or in another encoding.
    """
    with path.open("rb") as file:
        for number in range(1, 2**62):
            raw = file.readline(LONGEST_LINE + 1)
            if not raw:
                return
            if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise UserError(f"{path} is UTF-16, not UTF-8; {_convert(path, 'utf-16')}")
            if len(raw) > LONGEST_LINE:
                raise UserError(f"{path}, line {number} is longer than {LONGEST_LINE >> 20} MiB")
            if b"\x00" in raw:
                raise UserError(
                    f"{path}, line {number} holds a NUL byte; it is a binary file or a damaged one"
                )
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number} is not UTF-8 (byte {error.start + 1} is "
                    f"0x{raw[error.start]:02x}); {_convert(path, 'latin1')}"
                ) from error


def _convert(path: Path, encoding: str) -> str:
    return f"convert it, for example: iconv -f {encoding} -t utf-8 {path.name} > utf8{path.suffix}"
