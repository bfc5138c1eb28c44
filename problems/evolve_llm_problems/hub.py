"""Rows of a data set on the hub, every fault a UserError that says what to do instead."""

from __future__ import annotations

from typing import Any

from evolve_llm.nouns.errors import UserError
from evolve_llm_problems.lines import Row


def hub_rows(name: str, repository: str, split: str, instead: str, config: str | None = None) -> list[Row]:
    """All rows of a split. ``name`` is the problem set's; ``instead`` says how to give a local copy.

    Raises UserError without the library, and when the hub cannot be reached or does not give the set.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f'{name} comes from the hub through `datasets`; pip install "evolve-llm[problems]", or {instead}'
        ) from error
    try:
        which: tuple[Any, ...] = (repository,) if config is None else (repository, config)
        rows = list(datasets.load_dataset(*which, split=split))
    except Exception as error:  # datasets and the hub client raise many kinds, all with the same remedy
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{repository} cannot be had from the hub ({reason}); {instead}") from error
    return [Row(n, f"{repository}, row {n + 1}", dict(values)) for n, values in enumerate(rows)]
