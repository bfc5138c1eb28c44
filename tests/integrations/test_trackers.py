"""Trackers: each of ours keeps its contract in its own library, and none can slow down, stop or mislead a run."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from evolve_llm import Problem, Session, UserError
from evolve_llm.integrations.trackers.tracking import FILE, Tracking, make_trackers, parameters_of
from evolve_llm.record.run_files import read_run_json
from evolve_llm.scheme import registry
from evolve_llm.testing import TrackerContract

PROBLEMS = [Problem(f"<b>p{n}", f"What is {n} + {n}?", "boxed", "math", str(2 * n)) for n in range(3)]
SMALL: dict[str, Any] = {"population": 3, "parents": 2, "generations": 3}


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every tracker writes into a folder of this module's, and nothing leaves the machine."""
    folder = tmp_path_factory.mktemp("trackers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_DIR", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in ("exit", "excepthook"):  # W&B puts its own in their place, which other tests would meet
            patch.setattr(sys, name, getattr(sys, name))
        yield folder


def _factory(name: str) -> Any:
    pytest.importorskip(name)
    return registry.load("tracker", name)


class TestMLflow(TrackerContract):
    """In a SQLite file, as its own server would keep it."""

    argument = "sqlite:///mlflow.db"
    factory: ClassVar[Any] = staticmethod(lambda argument: _factory("mlflow")(argument))

    @staticmethod
    def written(run: str) -> dict[int, dict[str, float]]:
        from mlflow.tracking import MlflowClient

        client, found = MlflowClient(tracking_uri="sqlite:///mlflow.db"), {}
        for name in client.get_run(run).data.metrics:
            for one in client.get_metric_history(run, name):
                found.setdefault(one.step, {})[name] = one.value
        return found


class TestWandB(TrackerContract):
    """Offline: a run's file is read back by the library itself."""

    factory: ClassVar[Any] = staticmethod(lambda argument: _factory("wandb")(argument))

    @staticmethod
    def written(run: str) -> dict[int, dict[str, float]]:
        from wandb.proto import wandb_internal_pb2

        found: dict[int, dict[str, float]] = {}
        for file in Path().glob(f"wandb/*{run}*/run-{run}.wandb"):
            for data in _records(file.read_bytes()):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(data)
                items = {
                    one.key or one.nested_key[0]: json.loads(one.value_json) for one in record.history.item
                }
                if "generation" in items:
                    found[int(items["generation"])] = items
        return found


def _records(raw: bytes, block: int = 32768) -> Iterator[bytes]:
    """The records of a W&B file: seven bytes, then LevelDB's log format (checksum, length, kind, data)."""
    place, parts = 7, b""
    while place < len(raw):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", raw[place : place + 7])
        parts += raw[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


class TestTrackio(TrackerContract):
    """In its own SQLite files."""

    factory: ClassVar[Any] = staticmethod(lambda argument: _factory("trackio")(argument))

    @staticmethod
    def written(run: str) -> dict[int, dict[str, float]]:
        from trackio.sqlite_storage import SQLiteStorage

        return {int(row["step"]): row for row in SQLiteStorage.get_logs("evolve-llm", run)}


class TestTensorBoard(TrackerContract):
    """In event files, which TensorBoard's own reader reads."""

    factory: ClassVar[Any] = staticmethod(lambda argument: _factory("tensorboard")(argument))

    @staticmethod
    def written(run: str) -> dict[int, dict[str, float]]:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        found: dict[int, dict[str, float]] = {}
        for file in sorted(Path("tensorboard", run).glob("events*")):
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.tag != "settings":
                        found.setdefault(event.step, {})[value.tag] = value.tensor.float_val[0]
        return found


# ---------------------------------------------------------------- along a run


class Kept:
    """A tracker that keeps what it is told; ``trouble`` is called before each call, with its name."""

    def __init__(self, trouble: Callable[[str], None] = lambda _: None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._trouble = trouble

    def start(self, name: str, parameters: Mapping[str, Any], known: str | None) -> str:
        self._call("start", name, dict(parameters), known)
        return known or "an id"

    def log(self, generation: int, metrics: Mapping[str, float]) -> None:
        self._call("log", generation, dict(metrics))

    def artefact(self, path: Path) -> None:
        self._call("artefact", path.read_text("utf-8"))

    def finish(self, *, complete: bool) -> None:
        self._call("finish", complete)

    def _call(self, *call: Any) -> None:
        self._trouble(call[0])
        self.calls.append(call)

    def logged(self) -> dict[int, dict[str, float]]:
        return {call[1]: call[2] for call in self.calls if call[0] == "log"}


def _carry(
    path: Path, tracker: Any, *, stop_after: int | None = None, patience: float = 20.0, **more: Any
) -> list[str]:
    """A run with this tracker beside it; gives what was warned of."""
    said: list[str] = []
    tracking = Tracking({"kept": tracker}, said.append)
    session = Session(PROBLEMS, "rsa", "scripted", out=path, overrides=SMALL, **more)

    async def work() -> None:
        async with session:
            tracking.begin(path)
            count = 0
            async for _ in session.generations():
                tracking.note()
                count += 1
                if count == stop_after:
                    return

    asyncio.run(work())
    tracking.end(lambda file: file.write_text("a report"), patience)
    return said


def test_a_run_is_told_generation_by_generation(tmp_path: Path) -> None:
    tracker = Kept()
    assert _carry(tmp_path / "run", tracker) == []
    assert [call[0] for call in tracker.calls] == ["start", "log", "log", "log", "artefact", "finish"]
    assert tracker.calls[-2:] == [("artefact", "a report"), ("finish", True)]
    from evolve_llm import Run

    for row in Run(tmp_path / "run").generations():
        plain, told = row.plain(), tracker.logged()[row.generation]
        assert told["pass_at_1"] == pytest.approx(plain["pass@1"])
        assert told["pass_at_n"] == pytest.approx(plain["pass@N"])
        assert told["completion_tokens"] == plain["completion_tokens"]
        assert told["problems"] == 3
    tokens = [told["tokens_so_far"] for _, told in sorted(tracker.logged().items())]
    assert tokens == sorted(tokens)


def test_a_resumed_run_goes_on_under_its_id_and_tells_nothing_twice(tmp_path: Path) -> None:
    first, second, third = Kept(), Kept(), Kept()
    _carry(tmp_path / "run", first, stop_after=4)
    assert first.calls[-1] == ("finish", False)
    assert "artefact" not in [call[0] for call in first.calls]
    _carry(tmp_path / "run", second)
    assert second.calls[0][3] == "an id"
    assert sorted([*first.logged(), *second.logged()]) == [0, 1, 2]
    _carry(tmp_path / "run", third)  # complete already
    assert [call[0] for call in third.calls] == ["start", "finish"]


def test_a_torn_file_of_ids_begins_a_new_run_of_the_tracker(tmp_path: Path) -> None:
    _carry(tmp_path / "run", Kept())
    for torn in ("{", "[]", '{"kept": 1}', '{"kept": {"id": "x"}}'):
        (tmp_path / "run" / FILE).write_text(torn)
        tracker = Kept()
        assert _carry(tmp_path / "run", tracker) == []
        assert tracker.calls[0][3] is None
        assert sorted(tracker.logged()) == [0, 1, 2]


@pytest.mark.parametrize("where", ["start", "log", "artefact", "finish"])
def test_a_tracker_that_fails_is_told_of_once_and_the_run_goes_on(tmp_path: Path, where: str) -> None:
    def trouble(call: str) -> None:
        if call == where:
            raise ConnectionError("the server is down")

    (warning,) = _carry(tmp_path / "run", Kept(trouble))
    assert "the server is down" in warning
    from evolve_llm import Run

    assert Run(tmp_path / "run").complete


def test_a_tracker_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    answering = threading.Event()
    (warning,) = _carry(tmp_path / "run", Kept(lambda _: answering.wait() and None), patience=0.5)
    assert "did not answer" in warning  # the run has ended, and the tracker has not answered yet
    answering.set()


def test_parameters_are_numbers_and_our_own_names(tmp_path: Path) -> None:
    _carry(tmp_path / "run", Kept())
    described = read_run_json(tmp_path / "run")
    found = parameters_of(described["config"], described["environment"])
    assert found["preset.population"] == 3
    assert found["preset.select.operator"] == "uniform"
    assert found["model"] == "scripted"
    assert not any("What is" in str(value) for value in found.values())
    assert all(isinstance(value, str | int | float) for value in found.values())


def test_credentials_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, name: lambda argument: (kind, name, argument))
    made = make_trackers(["mlflow:https://me:secret@host/x"])
    assert made == {"mlflow:https://host/x": ("tracker", "mlflow", "https://me:secret@host/x")}


@pytest.mark.parametrize(
    ("given", "told"), [(["nothing"], "unknown tracker"), (["tensorboard", "tensorboard"], "given twice")]
)
def test_a_wrong_tracker_is_told_before_anything_is_spent(given: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        make_trackers(given)


def test_every_tracker_that_plugs_in_is_tested_here() -> None:
    ours = {name for name, point in registry.available("tracker").items() if registry.is_ours(point)}
    assert ours == {"mlflow", "wandb", "trackio", "tensorboard"}
    assert os.environ["WANDB_MODE"] == "offline"
