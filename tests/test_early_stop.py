"""Runs that end before all of their epochs."""

import json

import pytest

from dvae_core.errors import DvaeError, Interrupted, RecipeError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.watch import Watch
from dvae_core.sweep.driver import run_sweep
from dvae_core.sweep.jobs import is_finished
from dvae_core.training import loop as training_loop
from dvae_core.training.run import resume_run, run_recipe

from .helpers import Heard, rows, runs_in, same_state, state

STOPPER = """
from dvae_core import Callback, Metric, hookimpl

class Stopper(Callback):
    name = "stopper"
    at: int = 2
    best: bool = False

    def epoch_finished(self, run, metrics, figures):
        with open(run.path / "heard.txt", "a") as file:
            print(metrics["epoch"], "test/knn_accuracy" in metrics, file=file)
        if metrics["epoch"] == self.at:
            run.stop("enough", restore_best=self.best)
            run.stop("more than enough")

class Fussy(Metric):
    name = "fussy"

    def measure(self, snapshot):
        if snapshot.epoch == 3:
            snapshot.stop("seen it all")
        return {"fuss": 1.0}

class Sawtooth(Metric):
    "0, 2, 1, 1, 2, ... after epochs 1, 2, 3, 4, 5"
    name = "sawtooth"

    def measure(self, snapshot):
        return {"teeth": [0.0, 2.0, 1.0, 1.0][(snapshot.epoch - 1) % 4]}

@hookimpl
def register_callbacks():
    return [Stopper]

@hookimpl
def register_metrics():
    return [Fussy, Sawtooth]
"""
STOP = 'callbacks=[{name="stopper"}]'
VALIDATED = ["dataset.validation_fraction=0.25", "train.epochs=8"]
PATIENT = [
    *VALIDATED,
    'evaluate.metrics=["knn", "sawtooth"]',
    'callbacks=[{name="early_stopping", goal="highest val/teeth", patience=2}]',
]


@pytest.fixture(autouse=True)
def stopper(install):
    install("dvae-stopper", STOPPER)


def stopped(run):
    return json.loads((run.path / "run.json").read_text())["stopped"]


def test_a_callback_ends_the_run_after_the_epoch(recipe_file, tmp_path):
    whole = run_recipe(load_recipe(recipe_file, ["train.epochs=2"]), tmp_path)
    run = run_recipe(load_recipe(recipe_file, [STOP, "evaluate.every=4"]), tmp_path)
    assert run.info["status"] == "finished"
    assert stopped(run) == {"reason": "enough", "restore_best": False, "epoch": 2, "of": 4}
    # The last epoch is measured as any last one, and told of again with what it then has.
    assert [row["epoch"] for row in run.metrics()] == [1, 2]
    assert {*rows(run)[-1]} == {*rows(whole)[-1]}
    assert (run.path / "heard.txt").read_text() == "1 False\n2 False\n2 True\n"


def test_a_metric_ends_the_run(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, ['evaluate.metrics=["fussy"]']), tmp_path)
    assert stopped(run)["reason"] == "seen it all"
    assert len(run.metrics()) == 3


def test_in_its_last_epoch_nothing_is_stopped(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, [STOP, "train.epochs=2"]), tmp_path)
    assert run.info["status"] == "finished"
    assert "stopped" not in run.info


def test_with_validation_images_the_test_is_measured_at_the_early_end(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, [STOP, *VALIDATED]), tmp_path)
    first, last = run.metrics()
    assert "val/knn_accuracy" in first
    assert "test/knn_accuracy" not in first
    assert {"val/knn_accuracy", "test/knn_accuracy", "train/kl"} <= {*last}


def test_what_was_stopped_goes_on_only_with_more_epochs(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, [STOP]), tmp_path)
    before, heard = state(run), Heard()
    again = resume_run(run.path, watch=heard)
    assert "stopped after epoch 2: enough; --set train.epochs=5 or more goes on" in heard.warnings
    assert same_state(before, state(again))
    more = resume_run(run.path, load_recipe(run.recipe_file, ["train.epochs=5"]))
    assert "stopped" not in more.info
    assert len(more.metrics()) == 5
    # The schedules of both are in steps, so that the length of the plan changes no bit.
    at_once = run_recipe(load_recipe(recipe_file, ["train.epochs=5"]), tmp_path)
    assert same_state(state(at_once)["model"], state(more)["model"])


def test_a_kill_before_the_early_end_loses_nothing(recipe_file, tmp_path, monkeypatch):
    recipe = load_recipe(recipe_file, [STOP, *VALIDATED])
    whole = run_recipe(recipe, tmp_path / "whole")

    def killed(*arguments):
        raise Interrupted("killed", 137)

    with monkeypatch.context() as patched:
        patched.setattr("dvae_core.training.loop._end_early", killed)
        with pytest.raises(Interrupted):
            run_recipe(recipe, tmp_path / "cut")
    (path,) = (tmp_path / "cut").iterdir()
    assert RunFolder.open(path).info["status"] == "interrupted"
    again = resume_run(path)
    assert stopped(again) == stopped(whole)
    assert rows(again) == rows(whole)
    assert same_state(state(again), state(whole))


def test_a_kill_in_the_evaluation_that_asked_for_the_end_ends_no_epoch_early(
    recipe_file, tmp_path, monkeypatch
):
    recipe = load_recipe(recipe_file, ['evaluate.metrics=["fussy"]'])
    whole = run_recipe(recipe, tmp_path / "whole")
    measured = training_loop._evaluate

    def killed(training, run, watch, **more):
        found = measured(training, run, watch, **more)
        if training.epoch == 3:
            raise Interrupted("killed", 137)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(training_loop, "_evaluate", killed)
        with pytest.raises(Interrupted):
            run_recipe(recipe, tmp_path / "cut")
    (path,) = (tmp_path / "cut").iterdir()
    again = resume_run(path)
    assert stopped(again) == stopped(whole)
    assert rows(again) == rows(whole)
    assert same_state(state(again), state(whole))


def test_early_stopping_waits_for_so_long(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, PATIENT), tmp_path)
    assert stopped(run)["epoch"] == 4
    assert stopped(run)["reason"] == "val/teeth was best at 2, 2 epochs ago"
    lenient = run_recipe(load_recipe(recipe_file, [*PATIENT, "callbacks.0.min_delta=3"]), tmp_path)
    assert stopped(lenient)["epoch"] == 3


class StopAt(Watch):
    def epoch_finished(self, row):
        from dvae_core.stopping import request_stop

        if row["epoch"] == 3:
            request_stop(15)


def test_early_stopping_is_exact_under_resume(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, PATIENT)
    whole = run_recipe(recipe, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_recipe(recipe, tmp_path / "cut", watch=StopAt())
    (path,) = (tmp_path / "cut").iterdir()
    again = resume_run(path)
    assert rows(again) == rows(whole)
    assert same_state(state(again), state(whole))
    assert stopped(again) == stopped(whole)


def test_the_best_weights_come_back(recipe_file, tmp_path):
    best = 'train.keep_best="highest val/teeth"'
    recipe = load_recipe(recipe_file, [*PATIENT, best, "callbacks.0.restore_best=true"])
    run = run_recipe(recipe, tmp_path)
    kept, _ = run.load_checkpoint("best")
    assert kept["epoch"] == 2
    assert state(run)["epoch"] == 4
    assert same_state(state(run)["model"], kept["model"])
    *_, second, _, last = run.metrics()
    assert last["restored_epoch"] == 2
    assert last["val/kl"] == pytest.approx(second["val/kl"], rel=1e-6)
    assert last["train/kl"] != second["train/kl"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("restore_best=true", 'needs train.keep_best = "highest val/teeth"'),
        ('goal="highest test/knn_accuracy"', 'say "highest val/knn_accuracy"'),
        ('goal="val/teeth"', 'write "highest" or "lowest"'),
        ("patience=0", "greater than or equal to 1"),
    ],
)
def test_what_early_stopping_cannot_do_is_refused(recipe_file, tmp_path, change, problem):
    with pytest.raises((RecipeError, DvaeError), match=problem):
        run_recipe(load_recipe(recipe_file, [*PATIENT, f"callbacks.0.{change}"]), tmp_path)
    assert not list(tmp_path.glob("*/run.json"))


def test_a_missing_metric_is_warned_of_once(recipe_file, tmp_path):
    heard = Heard()
    recipe = load_recipe(recipe_file, [*PATIENT, 'callbacks.0.goal="highest val/tooth"'])
    run = run_recipe(recipe, tmp_path, watch=heard)
    assert len(run.metrics()) == 8
    assert sum('epoch 1 has no "val/tooth"' in text for text in heard.warnings) == 1


def test_a_sweep_does_not_resume_what_stopped_early(write, inline, tmp_path):
    file = write()
    once = run_sweep(file, tmp_path / "sweeps", overrides=["train.epochs=4", STOP])
    assert not once.failed
    runs = [RunFolder.open(once.path / name) for name in runs_in(once.path)]
    assert [stopped(run)["epoch"] for run in runs] == [2] * 4
    files = {f: f.stat().st_mtime_ns for f in once.path.rglob("run.json")}
    again = run_sweep(file, resume=once.path)
    assert not again.failed
    assert files == {f: f.stat().st_mtime_ns for f in once.path.rglob("run.json")}
    # Nor does a worker that is given one of them again.
    assert all(is_finished(run.path, 4) and not is_finished(run.path, 5) for run in runs)
