"""The trackio callback: what it writes is read back with Trackio's own client."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from dvae_core.errors import DvaeError
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    return tmp_path.name


@pytest.fixture
def with_trackio(recipe_file, project):
    text = recipe_file.read_text() + f'[[callbacks]]\nname = "trackio"\nproject = "{project}"\n'
    recipe_file.write_text(text.replace('["knn"]', '["knn"]\nplots = ["latent"]'))
    return recipe_file


def trained(recipe, folder, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a callback that failed would warn
        return run_recipe(recipe, folder, **more)


def runs(project):
    import trackio  # which reads where its store is

    return trackio.Api().runs(project)


@pytest.fixture
def logged(project):
    from trackio import SQLiteStorage

    def logged(run, key):
        rows = SQLiteStorage.get_logs(project, run.name)
        return [(row["step"], row[key]) for row in rows]

    return logged


def test_a_run_leaves_figures_its_recipe_and_pictures(
    with_trackio, project, logged, tmp_path, capsys
):
    run = trained(load_recipe(with_trackio), tmp_path / "runs")
    (found,) = runs(project)
    assert found.name == run.name
    assert found.config["kl"] == {"name": "abs", "weight": 0.5}
    assert found.config["folder"] == str(run.path)
    rows = run.metrics()
    for key in ("train/loss", "test/knn_accuracy", "epoch"):
        assert logged(run, key) == [(row["step"], row[key]) for row in rows]
    for epoch, (_, picture) in enumerate(logged(run, "figures/latent"), start=1):
        kept = Path(os.environ["TRACKIO_DIR"]) / "media" / picture["file_path"]
        assert kept.read_bytes() == run.figure_path(epoch, "latent").read_bytes()
    assert capsys.readouterr().out == ""  # stdout is for data


def test_a_command_says_where_its_run_is_and_nothing_else(with_trackio, tmp_path):
    command = [sys.executable, "-m", "dvae_core", "run", with_trackio, "--out", tmp_path / "runs"]
    ended = subprocess.run(command, capture_output=True, text=True)  # Trackio talks at exit too
    assert [Path(line).parent.name for line in ended.stdout.splitlines()] == ["runs"], ended.stderr
    assert "Trackio" not in ended.stderr


def test_a_run_that_goes_on_is_the_same_run(with_trackio, project, logged, tmp_path):
    run = trained(load_recipe(with_trackio), tmp_path / "runs")
    (run.path / "checkpoints" / "epoch-0004.pt").unlink()  # as if killed after the last row
    again = resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=6"]))
    assert len(runs(project)) == 1
    assert logged(again, "train/loss") == [(r["step"], r["train/loss"]) for r in again.metrics()]


def test_a_name_twice_is_two_runs(with_trackio, project, tmp_path):
    for folder in ("one", "other"):
        trained(load_recipe(with_trackio), tmp_path / folder, name="same")
    assert [run.name for run in runs(project)] == ["same", "same"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    callback = load_registry().get("callback", "trackio")
    with pytest.raises(DvaeError, match=r'pip install "dvae-core\[trackio\]"'):
        callback().check()
