"""Trackio (https://github.com/gradio-app/trackio), which keeps its runs on this machine: ``--track trackio[:PROJECT]``.

TRACKIO_DIR says where, as it does anywhere; ``trackio show`` opens its page.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve_llm.integrations.trackers.contract import Parameter
from evolve_llm.nouns.errors import UserError

PROJECT = "evolve-llm"


def trackio(argument: str) -> Trackio:
    """A tracker in the project, ``evolve-llm`` by default."""
    try:
        import trackio as library
    except ImportError as error:
        raise UserError(f'--track trackio needs {error.name}: pip install "evolve-llm[trackio]"') from error
    for name in [one for one in sys.modules if one.partition(".")[0] == "trackio"]:
        vars(sys.modules[name])["print"] = _unheard  # it writes on standard output, which is the run's own
    return Trackio(library, argument or PROJECT)


def _unheard(*_: object, **__: object) -> None:
    pass


class Trackio:
    """A run of a Trackio project. A run is known by its name there, so the id is the name and something of its own."""

    def __init__(self, library: Any, project: str) -> None:
        self._library, self._project = library, project
        self._run: Any = None

    def start(self, name: str, parameters: Mapping[str, Parameter], known: str | None) -> str:
        """See the contract."""
        self._run = self._library.init(
            project=self._project, name=known or f"{name}-{secrets.token_hex(3)}", config=dict(parameters),
            resume="allow" if known else "never", embed=False, auto_log_gpu=False, auto_log_cpu=False,
        )  # fmt: skip
        return str(self._run.name)

    def log(self, generation: int, metrics: Mapping[str, float]) -> None:
        """See the contract."""
        self._run.log(dict(metrics), step=generation)

    def artefact(self, path: Path) -> None:
        """See the contract."""
        self._library.save(path, project=self._project)

    def finish(self, *, complete: bool) -> None:  # noqa: ARG002 - Trackio has no word for it
        """See the contract."""
        self._run.finish()
