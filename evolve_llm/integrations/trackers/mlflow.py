"""MLflow (https://mlflow.org): ``--track mlflow``, or ``--track mlflow:URI`` with the tracking server's address."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolve_llm.integrations.trackers.contract import Parameter
from evolve_llm.nouns.errors import UserError

EXPERIMENT = "evolve-llm"


def mlflow(argument: str) -> MLflow:
    """A tracker at the URI, such as ``sqlite:///mlflow.db``; MLFLOW_TRACKING_URI, or MLflow's own default, without one.

    The experiment is the one that MLFLOW_EXPERIMENT_NAME names, ``evolve-llm`` by default.
    """
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise UserError(f'--track mlflow needs {error.name}: pip install "evolve-llm[mlflow]"') from error
    return MLflow(MlflowClient, argument or None)


class MLflow:
    """A run of an MLflow experiment, through a client of its own: no global state of MLflow is touched."""

    def __init__(self, client: Any, uri: str | None) -> None:
        self._make, self._uri, self._run = client, uri, ""
        self._client: Any = None

    def start(self, name: str, parameters: Mapping[str, Parameter], known: str | None) -> str:
        """See the contract."""
        import os

        from mlflow.entities import Param

        self._client = self._make(tracking_uri=self._uri)
        if known is not None:
            self._client.update_run(known, status="RUNNING")
            self._run = known
            return known
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(title)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(title)
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        self._client.log_batch(
            self._run, params=[Param(key, str(value)) for key, value in parameters.items()]
        )
        return self._run

    def log(self, generation: int, metrics: Mapping[str, float]) -> None:
        """See the contract. One request, whatever the number of metrics."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        listed = [Metric(key, value, now, generation) for key, value in metrics.items()]
        self._client.log_batch(self._run, metrics=listed)

    def artefact(self, path: Path) -> None:
        """See the contract."""
        self._client.log_artifact(self._run, str(path))

    def finish(self, *, complete: bool) -> None:
        """See the contract. A run that is not complete is KILLED until it goes on."""
        self._client.set_terminated(self._run, "FINISHED" if complete else "KILLED")
