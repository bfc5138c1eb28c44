"""Rows of a data set on the hub or in a folder, every fault a UserError that says what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.lines import Row

SAVED = ("dataset_dict.json", "dataset_info.json")
"""What a folder holds that ``save_to_disk`` wrote: several splits, or one."""


def hub_rows(name: str, repository: str, split: str, instead: str, config: str | None = None) -> list[Row]:
    """All rows of a split. ``name`` is the problem set's; ``instead`` says how to give a local copy.

    Raises UserError without the library, and when the hub cannot be reached or does not give the set.
    """
    library = _library(name, instead)
    try:
        which: tuple[Any, ...] = (repository,) if config is None else (repository, config)
        rows = list(library.load_dataset(*which, split=split))
    except Exception as error:  # datasets and the hub client raise many kinds, all with the same remedy
        raise UserError(f"{repository} cannot be had from the hub ({_reason(error)}); {instead}") from error
    return [Row(n, f"{repository}, row {n + 1}", dict(values)) for n, values in enumerate(rows)]


def named_rows(
    place: str, *, config: str | None = None, split: str | None = None, revision: str | None = None
) -> Iterator[Row]:
    """The rows of a data set named by the user: a name on the hub, or a folder that holds one. Read lazily.

    ``split`` may be left out where there is one. Pictures stay as they are stored.

    Raises UserError without the library, for what cannot be had, and for several splits of which none is named.
    """
    folder = Path(place).expanduser()
    instead = "with a copy on this machine give its folder, hf:FOLDER, or one of its files, file:PATH"
    library = _library("hf", instead)
    try:
        if folder.is_dir() and any((folder / one).is_file() for one in SAVED):
            found = library.load_from_disk(str(folder))
        else:
            where = str(folder) if folder.exists() else place
            found = library.load_dataset(where, name=config, revision=revision)
    except Exception as error:  # as above
        raise UserError(f"the data set {place} cannot be had ({_reason(error)}); {instead}") from error
    rows = _split(place, found, split)
    for column, feature in rows.features.items():
        if isinstance(feature, library.Image):
            rows = rows.cast_column(column, library.Image(decode=False))
    for number, values in enumerate(rows):
        yield Row(number, f"{place}, row {number + 1}", dict(values))


def _split(place: str, found: Any, split: str | None) -> Any:
    if not isinstance(found, dict):  # one split, saved by itself
        if split is not None:
            raise UserError(f"{place} holds one split without a name; leave split={split} out")
        return found
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    if split not in found:
        asked = "has several splits" if split is None else f"has no split {split!r}"
        raise UserError(f"{place} {asked}; add ?split=NAME, one of {', '.join(found)}")
    return found[split]


def _library(name: str, instead: str) -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f'{name} comes from the hub through `datasets`; pip install "evolve-llm[problems]", or {instead}'
        ) from error
    return datasets  # type: ignore[no-any-return]


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
