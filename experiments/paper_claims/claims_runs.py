"""The runs that the report reads: arms of the five studies, by the names that ``claims.json`` gives them."""

from __future__ import annotations

from pathlib import Path

from evolve_llm.analysis.run import Run
from evolve_llm.study.places import run_folder
from evolve_llm.study.spec import read_study

HERE = Path(__file__).parent
CALLS = 96
"""Calls a problem that schemes are compared at: N=16 candidates, T=6 generations."""
ARMS = {
    "depth_and_size": {"rsa": "rsa", "N=4": "N=4", "N=8": "N=8"},
    "large": {"N=32": "N=32", "N=64": "N=64"},
    "parents": {f"K={k}": f"rsa, parents={k}" for k in (1, 2, 3, 8)},
    "opponents": {
        "self-refinement": "self-refinement",
        "self-aggregation": "self-aggregation",
        "voting": "voting, 256",
        "rejection": "rejection",
        "best-of-n": "best-of-n",
    },
    "base": {"base": "rsa"},
}
"""For each study file: names here, and the arm of the study. ``rsa`` has ten generations and is read after six too."""


def complete_runs(studies: Path) -> dict[tuple[str, int], Run]:
    """The complete runs below ``studies``, where each study has a folder of its file's name, by arm and run seed."""
    found = {}
    for file, names in ARMS.items():
        study = read_study(HERE / f"{file}.toml")
        arms = {arm.name: arm for arm in study.arms}
        for name, arm in names.items():
            for seed in study.seeds:
                path = run_folder(studies / file, study.places[0], arms[arm], seed)
                if (path / "run.json").exists() and (run := Run(path)).complete:
                    found[name, seed] = run
    return found
