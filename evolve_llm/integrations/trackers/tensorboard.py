"""TensorBoard's event files: ``--track tensorboard``, or ``--track tensorboard:FOLDER``; no server is needed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve_llm.integrations.trackers.contract import Parameter
from evolve_llm.nouns.errors import UserError

FOLDER = "tensorboard"


def tensorboard(argument: str) -> TensorBoard:
    """A tracker in the folder, ``tensorboard`` by default: a subfolder for each run, named after it."""
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise UserError(
            f'--track tensorboard needs {error.name}: pip install "evolve-llm[tensorboard]"'
        ) from error
    return TensorBoard(EventFileWriter, Path(argument or FOLDER))


class TensorBoard:
    """A folder of event files. The id of a run is its subfolder's name; a resumed run adds a file to it."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self._make, self._folder = writer, folder
        self._writer: Any = None

    def start(self, name: str, parameters: Mapping[str, Parameter], known: str | None) -> str:
        """See the contract."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        found = known or _free(self._folder, name)
        self._writer = self._make(str(self._folder / found))
        text = "| setting | value |\n|---|---|\n" + "\n".join(
            f"| {key} | {json.dumps(value).replace('|', chr(92) + '|')} |"
            for key, value in parameters.items()
        )
        shown = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        kind = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        self._write(Summary(value=[Summary.Value(tag="settings", tensor=shown, metadata=kind)]), 0)
        return found

    def log(self, generation: int, metrics: Mapping[str, float]) -> None:
        """See the contract."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=key, simple_value=value) for key, value in metrics.items()]
        self._write(Summary(value=values), generation)

    def artefact(self, path: Path) -> None:
        """See the contract."""
        shutil.copyfile(path, Path(self._writer.get_logdir()) / path.name)

    def finish(self, *, complete: bool) -> None:  # noqa: ARG002 - an event file has no end
        """See the contract."""
        self._writer.close()

    def _write(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()


def _free(folder: Path, name: str) -> str:
    """The name, or the name with the first number that makes it one's own; its folder is made."""
    for number in range(1, 10_000):
        found = name if number == 1 else f"{name}-{number}"
        try:
            (folder / found).mkdir(parents=True)
        except FileExistsError:
            continue
        return found
    raise UserError(f"{folder} holds too many runs named {name!r}")
