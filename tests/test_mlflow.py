"""The MLflow callback: what it writes is read back with MLflow's own client."""

import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import mlflow
import pytest

from dvae_core.errors import DvaeError
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe

from .helpers import Heard

pytestmark = pytest.mark.slow


@pytest.fixture
def with_mlflow(recipe_file, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for variable in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(variable, raising=False)
    text = recipe_file.read_text() + '[[callbacks]]\nname = "mlflow"\nexperiment = "try"\n'
    recipe_file.write_text(text.replace('["knn"]', '["knn"]\nplots = ["latent"]'))
    return recipe_file


def trained(recipe, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a callback that failed would warn
        return run_recipe(recipe, folder)


def history(client, run, key):
    """The steps and values of a figure, in their order."""
    found = client.get_metric_history(run.info["memory"]["mlflow_id"], key)
    return [(metric.step, metric.value) for metric in found]


def test_a_run_leaves_figures_parameters_and_pictures_beside_it(with_mlflow, tmp_path):
    run = trained(load_recipe(with_mlflow), tmp_path / "runs")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'try'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == run.name
    assert found.info.status == "FINISHED"
    assert found.data.params["kl.name"] == "abs"
    assert found.data.params["train.epochs"] == "4"
    rows = run.metrics()
    for key in ("train/loss", "test/knn_accuracy", "epoch"):
        assert history(client, run, key) == [(row["step"], row[key]) for row in rows]
    pictures = {file.path for file in client.list_artifacts(found.info.run_id, "figures")}
    assert pictures == {f"figures/epoch-{n:04d}-latent.png" for n in (1, 2, 3, 4)}
    kept = client.download_artifacts(found.info.run_id, "recipe.toml", str(tmp_path))
    assert Path(kept).read_text() == (run.path / "recipe.toml").read_text()


def test_a_run_that_goes_on_is_the_same_run(with_mlflow, tmp_path):
    run = trained(load_recipe(with_mlflow), tmp_path / "runs")
    again = resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=6"]))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'try'")
    assert len(client.search_runs([experiment.experiment_id])) == 1
    rows = again.metrics()
    assert history(client, again, "train/loss") == [(r["step"], r["train/loss"]) for r in rows]


@pytest.fixture
def server(tmp_path):
    """A real server on this machine; ends when it is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    store += ["--artifacts-destination", str(tmp_path / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), *store]
    command += ["--workers", "1"]
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    yield address
    process.terminate()
    process.wait(timeout=600)
    log.close()


def test_a_server_takes_the_same(with_mlflow, tmp_path, server):
    run = trained(load_recipe(with_mlflow, [f'callbacks.0.uri="{server}"']), tmp_path / "runs")
    client = mlflow.MlflowClient(server)
    rows = run.metrics()
    assert history(client, run, "train/loss") == [
        (row["step"], pytest.approx(row["train/loss"])) for row in rows
    ]
    number = run.info["memory"]["mlflow_id"]
    assert len(client.list_artifacts(number, "figures")) == 4
    assert not (tmp_path / "runs" / "mlflow.db").exists()


def test_a_server_that_is_not_there_costs_one_warning(with_mlflow, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    heard = Heard()
    run = run_recipe(load_recipe(with_mlflow), tmp_path / "runs", watch=heard)
    assert run.info["status"] == "finished"
    assert len(heard.warnings) == 1
    assert "mlflow" in heard.warnings[0]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    callback = load_registry().get("callback", "mlflow")
    with pytest.raises(DvaeError, match=r'pip install "dvae-core\[mlflow\]"'):
        callback().check()
