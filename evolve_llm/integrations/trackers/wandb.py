"""Weights & Biases (https://wandb.ai): ``--track wandb``, or ``--track wandb:PROJECT``.

WANDB_MODE=offline, WANDB_DIR, WANDB_ENTITY and the other variables of W&B work as they do anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve_llm.integrations.trackers.contract import Parameter
from evolve_llm.nouns.errors import UserError

PROJECT = "evolve-llm"


def wandb(argument: str) -> WandB:
    """A tracker in the project, ``evolve-llm`` by default."""
    try:
        import wandb as library
    except ImportError as error:
        raise UserError(f'--track wandb needs {error.name}: pip install "evolve-llm[wandb]"') from error
    return WandB(library, argument or PROJECT)


class WandB:
    """A run of a W&B project. Nothing of the console, the machine or the source is sent."""

    def __init__(self, library: Any, project: str) -> None:
        self._library, self._project = library, project
        self._run: Any = None

    def start(self, name: str, parameters: Mapping[str, Parameter], known: str | None) -> str:
        """See the contract."""
        quiet = self._library.Settings(
            console="off",
            disable_git=True,
            disable_code=True,
            silent=True,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        self._run = self._library.init(
            project=self._project, name=name, config=dict(parameters), id=known, settings=quiet,
            resume="allow" if known is not None else None,
        )  # fmt: skip
        self._run.define_metric("generation")
        self._run.define_metric("*", step_metric="generation")
        return str(self._run.id)

    def log(self, generation: int, metrics: Mapping[str, float]) -> None:
        """See the contract."""
        self._run.log({"generation": generation, **metrics})

    def artefact(self, path: Path) -> None:
        """See the contract."""
        kept = self._library.Artifact(f"report-{self._run.id}", type="report")
        kept.add_file(str(path))
        self._run.log_artifact(kept)

    def finish(self, *, complete: bool) -> None:
        """See the contract."""
        self._run.summary["complete"] = complete
        self._run.finish(exit_code=0)
