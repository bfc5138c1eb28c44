"""The runs of studies as a table of one line a problem, seed and arm.

    python experiments/selection_schemes/rows.py TABLE.csv.gz --study STUDY.toml FOLDER [--study STUDY.toml FOLDER ...]

FOLDER is what ``evolve-llm study STUDY.toml --out FOLDER`` wrote. ``described.py`` and ``ranks.py`` read such tables.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from measures import row

from evolve_llm.analysis.run import Run
from evolve_llm.study.places import run_folder
from evolve_llm.study.spec import Study, read_study

RESULTS = Path(__file__).parent / "results"
BASELINE, NULL = "uniform", "uniform again"
COLUMNS = (
    *("K", "scheme", "seed", "problem", "locks"),
    *("majority", "pass@N", "distinct", "ancestors", "failed", "truncated", "first", "pass@1 by generation"),
)

Row = dict[str, Any]
Key = tuple[int, str]
"""K and the scheme's name."""


def rows_of(study: Study, folder: Path) -> Iterator[Row]:
    """A study's runs, reduced. Raises UserError where one is missing."""
    for where in study.places:
        for arm in study.arms:
            for seed in study.seeds:
                for problem, populations in Run(run_folder(folder, where, arm, seed)).populations():
                    about = {"K": arm.preset.parents, "scheme": arm.scheme, "seed": seed}
                    about |= {"problem": problem.id, "locks": problem.metadata["locks"]}
                    yield about | row(populations)


def write(path: Path, rows: Iterable[Row]) -> None:
    """As a table that gzip holds: numbers to six digits; equal rows are equal bytes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in rows:
        shown = {**one, "pass@1 by generation": " ".join(f"{value:g}" for value in one["by generation"])}
        table.writerow(
            [f"{shown[name]:.6g}" if isinstance(shown[name], float) else shown[name] for name in COLUMNS]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def read(path: Path) -> list[Row]:
    """The lines of a table, with numbers as numbers. ``speed``: mean pass@1 of all generations but the first."""
    with gzip.open(path, "rt", newline="") as file:
        return [_line(one) for one in csv.DictReader(file)]


def _line(one: Mapping[str, str]) -> Row:
    by_generation = [float(value) for value in one["pass@1 by generation"].split()]
    found: Row = {name: int(one[name]) for name in ("K", "seed", "locks", "failed", "truncated")}
    found |= {name: float(one[name]) for name in ("majority", "pass@N", "distinct", "ancestors")}
    return found | {
        "scheme": one["scheme"],
        "problem": one["problem"],
        "first": one["first"],
        "by generation": by_generation,
        "pass@1": by_generation[-1],
        "speed": math.fsum(by_generation[1:]) / max(1, len(by_generation) - 1),
    }


def by_problem(rows: Sequence[Row], outcome: str) -> dict[Key, dict[str, float]]:
    """Each arm's value on each problem, the mean over run seeds.

    Raises ValueError unless every arm of a K has the same problems under the same seeds.
    """
    found: dict[Key, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in rows:
        found[one["K"], one["scheme"]][one["problem"]][one["seed"]] = one[outcome]
    shapes = {
        key: {name: sorted(values) for name, values in problems.items()} for key, problems in found.items()
    }
    for key, shape in shapes.items():
        if shape != shapes[key[0], BASELINE]:
            raise ValueError(
                f"K={key[0]}, {key[1]}: other problems or seeds than {BASELINE}: nothing to pair"
            )
    return {
        key: {name: math.fsum(values.values()) / len(values) for name, values in problems.items()}
        for key, problems in found.items()
    }


def main() -> None:
    """Studies to a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--study", type=Path, nargs=2, action="append", required=True)
    given = parser.parse_args()
    write(given.table, (one for file, folder in given.study for one in rows_of(read_study(file), folder)))


if __name__ == "__main__":
    main()
