"""The W&B callback: what it writes is read back with W&B's own tool."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from dvae_core.recipe import load_recipe
from dvae_core.train import resume_run, run_recipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb")


@pytest.fixture
def with_wandb(recipe_file):
    text = recipe_file.read_text() + '[[callbacks]]\nname = "wandb"\nproject = "try"\n'
    recipe_file.write_text(text.replace('["knn"]', '["knn"]\nplots = ["latent"]'))
    return recipe_file


def read_back(file: Path) -> list[dict]:
    """The records of an offline run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def offline_files(run) -> list[Path]:
    return sorted(run.path.glob("wandb/offline-run-*/*.wandb"))


def test_an_offline_run_holds_scalars_figures_and_the_recipe(with_wandb, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a callback that failed would warn
        run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    (file,) = offline_files(run)
    records = read_back(file)
    history = [r["history"]["item"] for r in records if r["type"] == "history"]
    for row, ours in zip(history, run.metrics(), strict=True):
        assert row["_step"] == ours["step"]
        assert {k: row[k] for k in ours} == pytest.approx(ours)
        image = file.parent / "files" / row["figures/latent.path"]
        figure = run.figure_path(ours["epoch"], "latent")
        assert image.read_bytes() == figure.read_bytes()
    (record,) = (r["run"] for r in records if r["type"] == "run")
    assert record["project"] == "try"
    assert record["config"]["update"]["kl"] == {"name": "abs", "weight": 0.5}
    assert record["run_id"] == run.info["memory"]["wandb_id"]


def test_resuming_continues_the_same_id(with_wandb, tmp_path):
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=5"]))
    ids, steps = set(), set()
    for file in offline_files(run):
        for record in read_back(file):
            if record["type"] == "run":
                ids.add(record["run"]["run_id"])
            elif record["type"] == "history":
                steps.add(record["history"]["item"]["_step"])
    assert ids == {run.info["memory"]["wandb_id"]}
    assert steps == {5, 10, 15, 20, 25}


def test_without_a_key_auto_means_offline(with_wandb, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    assert len(offline_files(run)) == 1
