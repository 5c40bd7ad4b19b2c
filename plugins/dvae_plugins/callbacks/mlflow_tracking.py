"""Logs a run to MLflow: a store on this machine, or a server."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import Callback
from dvae_plugins.extras import package

if TYPE_CHECKING:
    from dvae_core import Run

PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""How long MLflow tries a server that is not there, unless the user has said it. Else, minutes."""
LONGEST_VALUE = 6000
"""Characters of a parameter that MLflow takes."""
MOST_PARAMETERS = 100
"""That it takes at once."""
ENDED = {"finished": "FINISHED", "interrupted": "KILLED"}


class MLflow(Callback):
    """MLflow: scalars and figures of each epoch, with the recipe as the parameters.

    metrics.jsonl stays the source of truth; this is a copy. It goes to `uri`, or where the variable
    MLFLOW_TRACKING_URI says, or to mlflow.db beside the run folder, which
    `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db` shows. A run that goes on is the same
    run there.
    """

    name = "mlflow"

    experiment: str = Field(default="dvae", min_length=1)
    """The experiment that runs are filed under."""
    uri: str | None = None
    """Of the store or server."""

    _client: Any = None
    _id: str = ""
    _known: frozenset[int] = frozenset()

    def check(self) -> None:
        _package()

    def run_started(self, run: Run) -> None:
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or _beside(run.path)
        self._client = _package().MlflowClient(uri)
        try:
            self._id = run.recall("mlflow_id") or self._created(run)
            run.remember("mlflow_id", self._id)
            self._client.update_run(self._id, "RUNNING")
            # What an earlier process logged is trained again to the same bits.
            logged = self._client.get_metric_history(self._id, "epoch")
            self._known = frozenset(metric.step for metric in logged)
        except Exception:
            self._client = None
            raise

    def epoch_finished(self, run: Run, metrics: dict[str, float], figures: dict[str, Path]) -> None:
        step = int(metrics["step"])
        if self._client is None or step in self._known:
            return
        from mlflow.entities import Metric

        now = int(1000 * time())
        numbers = {k: v for k, v in metrics.items() if k != "step" and math.isfinite(v)}
        try:
            self._client.log_batch(
                self._id, [Metric(key, value, now, step) for key, value in numbers.items()]
            )
            for path in figures.values():
                self._client.log_artifact(self._id, str(path), "figures")
        except Exception:
            self._client = None  # one warning, not one an epoch
            raise

    def run_finished(self, run: Run, status: str) -> None:
        if self._client is not None:
            self._client.set_terminated(self._id, ENDED.get(status, "FAILED"))

    def _created(self, run: Run) -> str:
        client = self._client
        experiment = client.get_experiment_by_name(self.experiment)
        number = experiment.experiment_id if experiment else self._new_experiment(run)
        tags = {"dvae.folder": str(run.path)}
        tags |= {"dvae.sweep": run.sweep} if run.sweep else {}
        made: str = client.create_run(number, tags=tags, run_name=run.name).info.run_id
        from mlflow.entities import Param

        table = [Param(key, value[:LONGEST_VALUE]) for key, value in _flat(run.recipe_table)]
        for start in range(0, len(table), MOST_PARAMETERS):
            client.log_batch(made, params=table[start : start + MOST_PARAMETERS])
        client.log_artifact(made, str(run.path / "recipe.toml"))
        return made

    def _new_experiment(self, run: Run) -> str:
        local = self._client.tracking_uri.startswith("sqlite")
        where = (run.path.parent / "mlflow-artifacts").resolve().as_uri() if local else None
        number: str = self._client.create_experiment(self.experiment, artifact_location=where)
        return number


def _beside(run: Path) -> str:
    return f"sqlite:///{(run.parent / 'mlflow.db').resolve()}"


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """The values of a table and of those in it, by their dotted keys."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if isinstance(value, str) else json.dumps(value)


def _package() -> Any:
    return package("mlflow", "mlflow", "the mlflow callback")
