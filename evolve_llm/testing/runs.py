"""Looking at what a run has left behind, to compare two runs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx

TABLES = ("problems", "completions", "candidates", "populations", "verdicts", "answers")
"""The tables of ``run.db``."""

_KEYS = {
    "answers": "ord",
    "completions": "ord, generation, slot, purpose, call",
    "candidates": "ord, generation, slot",
}


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A path for a run that does not exist yet, deleted afterwards: a fresh one for every Hypothesis example."""
    with tempfile.TemporaryDirectory(prefix="evolve-llm-") as folder:
        yield Path(folder) / "run"


def database(path: str | Path) -> bytes:
    """The bytes of a run's database: equal for equal complete runs."""
    return (Path(path) / "run.db").read_bytes()


def contents(path: str | Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a run, in key order: also of one that is not complete."""
    file = (Path(path) / "run.db").absolute()
    db = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    try:
        return {
            name: db.execute(f"SELECT * FROM {name} ORDER BY {_KEYS.get(name, '1, 2')}").fetchall()
            for name in TABLES
        }
    finally:
        db.close()


def lineage(path: str | Path, order: int = 0) -> nx.DiGraph[str]:
    """The pedigree of one problem: an edge from each parent to its child, ``position`` its place in the prompt."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for row in contents(path)["candidates"]:
        if row[0] != order:
            continue
        child = f"{row[1]}.{row[2]}"
        graph.add_node(child, generation=row[1])
        for position, parent in enumerate(_uids(row[4])):
            graph.add_edge(parent, child, position=position)
    return graph


def _uids(text: str) -> list[str]:
    return list(json.loads(text))
