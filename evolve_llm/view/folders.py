"""Which run directories may be looked at: those that were given, and those in the folders that were given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from evolve_llm.nouns.errors import UserError

DEPTH = 4
"""How far below a given folder runs are looked for."""


def require_folders(given: Sequence[Path]) -> tuple[Path, ...]:
    """The folders, resolved. Raises UserError where one is missing."""
    for path in given:
        if not path.is_dir():
            raise UserError(f"{path} is not a folder")
    return tuple(path.resolve() for path in given)


def find_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """The run directories by the name the pages call them, in order. A link that leads outside is left out."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in _below(folder):
            name = path.name if path == folder else path.relative_to(folder).as_posix()
            if path in found.values():
                continue
            while name in found:
                name += "'"
            found[name] = path
    return dict(sorted(found.items()))


def _below(folder: Path) -> list[Path]:
    found = []
    for where, folders, files in os.walk(folder, followlinks=False):
        path = Path(where)
        file = path / "run.json"
        if "run.json" in files:
            folders.clear()
            if not any((path / name).is_symlink() for name in ("run.json", "run.db")) and file.is_file():
                found.append(path)
        elif len(path.relative_to(folder).parts) >= DEPTH:
            folders.clear()
        else:
            folders[:] = [one for one in folders if not one.startswith(".")]
    return found
