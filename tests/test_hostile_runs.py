"""Runs that are killed, damaged, doubled or watched by nobody: nothing lost, nothing silent."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dvae_core import files, load_run
from dvae_core.errors import DvaeError, Interrupted, RecipeError, RunFolderError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.comparison import compare_runs
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.journal import read_journal
from dvae_core.runs.watch import Watch
from dvae_core.sweep.driver import run_sweep
from dvae_core.training import run as running
from dvae_core.training.run import resume_run, run_recipe

from .forked import Forked
from .helpers import Heard

DVAE = [sys.executable, "-m", "dvae_core"]


@pytest.fixture
def run(recipe_file, tmp_path):
    return run_recipe(load_recipe(recipe_file, ["train.epochs=2"]), tmp_path / "runs", name="one")


def longer(recipe_file):
    return load_recipe(recipe_file, ["train.epochs=3"])


# --- Rows.


@pytest.mark.parametrize("byte", [b"{", b"\xff", b"\x00"])
def test_a_damaged_row_costs_itself_alone(run, recipe_file, byte):
    file = run.path / "metrics.jsonl"
    first, second, _ = file.read_bytes().split(b"\n")
    damaged = first[:5] + byte + first[6:] + b"\n" + second + b"\n"
    file.write_bytes(damaged)
    assert [row["epoch"] for row in run.metrics()] == [2]
    heard = Heard()
    resume_run(run.path, longer(recipe_file), watch=heard)
    (told,) = [text for text in heard.warnings if "damaged" in text]
    assert "metrics.damaged-1.jsonl" in told
    assert (run.path / "metrics.damaged-1.jsonl").read_bytes() == damaged
    assert [row["epoch"] for row in run.metrics()] == [2, 3]


# --- Data.


def test_a_run_goes_on_with_its_own_data_alone(run, recipe_file, blobs):
    with np.load(blobs) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    other = images.copy()
    other[17, 3, 3] ^= 1
    np.savez(blobs, images=other, labels=labels)
    with pytest.raises(RecipeError, match="the images or labels are not those"):
        resume_run(run.path, longer(recipe_file))
    heard = Heard()
    load_run(run.path, watch=heard).evaluate(watch=heard)
    assert [text for text in heard.warnings if "looked at with other data" in text]
    np.savez(blobs, images=images[:210], labels=labels[:210])
    with pytest.raises(RecipeError, match="train_images were 192 and are 168"):
        resume_run(run.path, longer(recipe_file))
    # A run from before has no fingerprint; what it says of its data is still compared.
    info = json.loads((run.path / "run.json").read_text())
    del info["data"]
    (run.path / "run.json").write_text(json.dumps(info))
    with pytest.raises(RecipeError, match="train_images were 192 and are 168"):
        resume_run(run.path, longer(recipe_file))


# --- Kills.


def test_a_kill_before_the_best_checkpoint_is_made_up_for(recipe_file, tmp_path, monkeypatch):
    best = ["train.keep_best=lowest train/loss", "train.epochs=3"]
    whole = run_recipe(load_recipe(recipe_file, best), tmp_path, name="whole")
    save = RunFolder.save_checkpoint

    def dies(self, state, name=None):
        if state["epoch"] == 2:
            raise KeyboardInterrupt
        return save(self, state, name)

    monkeypatch.setattr(RunFolder, "save_checkpoint", dies)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(load_recipe(recipe_file, best), tmp_path, name="killed")
    monkeypatch.setattr(RunFolder, "save_checkpoint", save)
    killed = resume_run(tmp_path / "killed", watch=Heard())
    one, other = (load_run(r.path, "best").epoch for r in (whole, killed))
    assert one == other == 3


def test_a_run_that_was_killed_after_all_its_epochs_is_finished(run, recipe_file):
    info = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(info | {"status": "running"}))
    assert RunFolder.open(run.path).status == "finished"
    assert compare_runs([run.path]).rows[0].finished
    assert resume_run(run.path).info["status"] == "finished"
    (run.path / "checkpoints" / "epoch-0002.pt").unlink()
    (run.path / "run.json").write_text(json.dumps(info | {"status": "running"}))
    assert RunFolder.open(run.path).status == "running"


def test_images_a_second_are_never_negative(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, ["train.checkpoint_every=5 steps", "train.epochs=2"])
    run = run_recipe(recipe, tmp_path)
    training = running.prepare(recipe, Watch())
    assert training.images_in_epoch(training.timeline.steps_per_epoch + 3) == 0
    assert run.metrics()[0]["images_per_second"] >= 0


def test_a_run_without_a_checkpoint_starts_again(run, recipe_file):
    before = run.metrics()
    for file in (run.path / "checkpoints").iterdir():
        file.unlink()
    heard = Heard()
    again = resume_run(run.path, watch=heard)
    assert [text for text in heard.warnings if "starts again" in text]
    same = [{k: v for k, v in row.items() if "second" not in k} for row in again.metrics()]
    assert same == [{k: v for k, v in row.items() if "second" not in k} for row in before]


def test_every_resume_is_on_record_and_other_versions_are_told_of(run, recipe_file, monkeypatch):
    resume_run(run.path, longer(recipe_file))
    (first,) = RunFolder.open(run.path).info["resumed"]
    assert (first["epoch"], first["threads"]) == (2, run.info["threads"])
    info = json.loads((run.path / "run.json").read_text())
    info["resumed"][0]["versions"]["torch"] = "1.0"
    info["resumed"][0]["threads"] = 77
    (run.path / "run.json").write_text(json.dumps(info))
    heard = Heard()
    resume_run(run.path, load_recipe(recipe_file), watch=heard)
    (told,) = heard.warnings
    assert "threads 77 before" in told
    assert "torch 1.0 before" in told
    assert len(RunFolder.open(run.path).info["resumed"]) == 2


# --- Names.


@pytest.mark.parametrize("name", ["../up", ".", "..", "", "a/b", "/tmp/absolute", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(recipe_file, tmp_path, name):
    with pytest.raises(RunFolderError, match="cannot name a run"):
        run_recipe(load_recipe(recipe_file), tmp_path / "runs", name=name)
    assert not (tmp_path / "up").exists()


def test_a_name_twice_is_refused_and_the_first_run_stays(run, recipe_file, tmp_path):
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(RunFolderError, match="is there already"):
        run_recipe(load_recipe(recipe_file), tmp_path / "runs", name="one")
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before


def test_a_disk_without_inodes_costs_no_other_run(run, recipe_file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.mkdir", full)
    with pytest.raises(RunFolderError, match="No space left"):
        run_recipe(load_recipe(recipe_file), tmp_path / "runs", name="two")
    assert RunFolder.open(run.path).metrics()


# --- Locks.


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_worked_on_with_a_warning(tmp_path, monkeypatch, code):
    def no_locks(*_, **__):
        raise OSError(code, "no locks here")

    monkeypatch.setattr("filelock.FileLock.acquire", no_locks)
    with (
        pytest.warns(UserWarning, match="this file system has no locks"),
        files.locked(tmp_path, "somebody else"),
    ):
        pass


def test_a_lock_that_fails_leaves_no_run_that_seems_to_go_on(recipe_file, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("filelock.FileLock.acquire", fails)
    with pytest.raises(RunFolderError, match="Input/output error"):
        run_recipe(load_recipe(recipe_file), tmp_path, name="one")
    assert RunFolder.open(tmp_path / "one").info["status"] == "failed"


# --- Streams and signals.


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_no_run(recipe_file, tmp_path):
    line = f"{' '.join(DVAE)} run {recipe_file} --out {tmp_path}/runs 2>&1 | head -1"
    subprocess.run(["bash", "-c", line], capture_output=True, cwd=tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    assert RunFolder.open(run).info["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_gone_ends_no_run(recipe_file, tmp_path, streams):
    line = f"{' '.join(DVAE)} run {recipe_file} --out {tmp_path}/runs {streams}"
    subprocess.run(["bash", "-c", line], cwd=tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    found = RunFolder.open(run)
    assert found.info["status"] == "finished"
    assert found.load_checkpoint()[1] == []


@pytest.mark.slow
def test_a_full_disk_behind_stdout_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*DVAE, "list-plugins"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def started(recipe_file, out, *more, **how):
    """A long run in a process of its own, after its folder is there."""
    arguments = ["run", recipe_file, "--set", "train.epochs=100000", "--out", out, *more]
    process = Forked([*DVAE, *map(str, arguments)], stderr=subprocess.PIPE, text=True, **how)
    while not list(out.glob("*/checkpoints/*.pt")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_a_checkpoint(recipe_file, tmp_path, number):
    process = started(recipe_file, tmp_path / "runs")
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert "go on with" in err
    (run,) = (tmp_path / "runs").iterdir()
    assert RunFolder.open(run).info["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_to_be_ignored_is(recipe_file, tmp_path, number):
    process = started(recipe_file, tmp_path / "runs", ignored=[number])
    process.send_signal(number)
    (run,) = (tmp_path / "runs").iterdir()
    epochs = len(RunFolder.open(run).metrics())
    while len(RunFolder.open(run).metrics()) < epochs + 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_second_ctrl_c_leaves_a_true_status(recipe_file, tmp_path, monkeypatch):
    from dvae_core.training.state import Training

    step = Training.take_step

    def twice(self, *batch):
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    monkeypatch.setattr(signal, "getsignal", signal.getsignal)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Training, "take_step", twice)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_recipe(load_recipe(recipe_file), tmp_path, name="one")
    finally:
        signal.signal(signal.SIGINT, before)
    assert RunFolder.open(tmp_path / "one").info["status"] == "interrupted"


def test_a_signal_while_a_run_starts_leaves_one_that_can_go_on(recipe_file, tmp_path, monkeypatch):
    create = RunFolder.create

    def interrupted(*arguments, **keywords):
        run = create(*arguments, **keywords)
        signal.raise_signal(signal.SIGTERM)
        return run

    monkeypatch.setattr(RunFolder, "create", interrupted)
    with pytest.raises(Interrupted):
        run_recipe(load_recipe(recipe_file), tmp_path, name="one")
    monkeypatch.setattr(RunFolder, "create", create)
    assert RunFolder.open(tmp_path / "one").info["status"] == "interrupted"
    assert len(resume_run(tmp_path / "one").metrics()) == 4


@pytest.mark.slow
def test_ctrl_c_at_any_moment_shows_no_traceback(tmp_path):
    seen = set()
    for tenth in range(1, 13):
        process = subprocess.Popen([*DVAE, "list-plugins"], stderr=-1, stdout=-1, text=True)
        time.sleep(0.03 * tenth)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
        seen.add(process.returncode)
        # Before Python has come to the program's first line nobody can help it.
        if "dvae_core/__main__.py" in err:
            assert "Traceback" not in err, err
    assert seen <= {0, 130, -signal.SIGINT, 1}


# --- Files that a user names.


@pytest.mark.slow
def test_out_is_written_through_and_never_replaced(run, dvae, tmp_path):
    target, link, pipe = tmp_path / "real.html", tmp_path / "link.html", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    assert dvae("report", run.path, "--out", link)[0] == 0
    assert link.is_symlink()
    assert "<html" in target.read_text()
    os.mkfifo(pipe)
    with (tmp_path / "read.html").open("w") as read:
        reader = subprocess.Popen(["cat", pipe], stdout=read)
        assert dvae("report", run.path, "--out", pipe)[0] == 0
        assert reader.wait(timeout=600) == 0
    assert (tmp_path / "read.html").read_text() == target.read_text()
    assert pipe.is_fifo()
    assert dvae("report", run.path, "--out", "/dev/null")[0] == 0
    assert not os.path.isfile("/dev/null")
    circle = tmp_path / "circle.html"
    circle.symlink_to(circle)
    for out in (tmp_path, circle):
        code, _, err = dvae("report", run.path, "--out", out)
        assert code == 1
        assert "cannot be written" in err
    assert circle.is_symlink()
    code, _, err = dvae("report", run.path, "--out", tmp_path)
    assert code == 1
    assert "cannot be written" in err


def test_a_picture_is_a_png(run, dvae, tmp_path):
    code, _, err = dvae("morph", run.path, "0", "1", "--out", tmp_path / "x.jpg")
    assert code == 2
    assert ".png" in err


# --- Recipes that cannot do what they say.


def test_a_goal_that_nobody_measures_is_said(recipe_file, tmp_path):
    heard = Heard()
    recipe = load_recipe(
        recipe_file, ["train.keep_best=highest test/nope forced", "train.epochs=2"]
    )
    run_recipe(recipe, tmp_path, watch=heard)
    assert len(heard.warnings) == 2
    assert all('there is no metric "test/nope"' in told for told in heard.warnings)


BATCH_NORM = """
from dvae_core import Encoder, hookimpl

class Normed(Encoder):
    "With BatchNorm."
    name = "normed"
    def build(self, image_shape):
        import torch
        size = image_shape[0] * image_shape[1] * image_shape[2]
        layers = torch.nn.Flatten(), torch.nn.Linear(size, 8), torch.nn.BatchNorm1d(8)
        return torch.nn.Sequential(*layers)

@hookimpl
def register_encoders():
    return [Normed]
"""


def test_batch_norm_and_a_last_batch_of_one_are_told_of_before_training(
    install, recipe_file, tmp_path
):
    install("dvae-normed", BATCH_NORM)
    changes = ["encoder.name=normed", "decoder.name=mlp"]
    # 192 images: a batch of 191 leaves one.
    recipe = load_recipe(recipe_file, [*changes, "train.batch_size=191", "train.epochs=6"])
    with pytest.raises(RecipeError, match="a last batch of one image"):
        run_recipe(recipe, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    recipe = load_recipe(recipe_file, [*changes, "train.batch_size=190", "train.epochs=6"])
    assert run_recipe(recipe, tmp_path / "runs").metrics()


def test_runs_are_ordered_by_time_whatever_their_zones(run, recipe_file, tmp_path):
    later = run_recipe(load_recipe(recipe_file, ["train.epochs=2"]), tmp_path / "runs", name="two")
    for path, started_at in ((run.path, "2026-01-01T12:00:00+0900"),
                             (later.path, "2026-01-01T04:00:00+0000")):  # fmt: skip
        info = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(info | {"started": started_at}))
    found = compare_runs([tmp_path / "runs"])
    assert [row.runs[0].name for row in found.rows] == ["two"]
    assert "a newer run" in found.left_out[0]


def test_so_many_seeds_are_refused(recipe_file, tmp_path, dvae):
    (tmp_path / "sweep.toml").write_text(f'recipe = "{recipe_file}"\nseeds = 1000000000\n')
    code, _, err = dvae("sweep", tmp_path / "sweep.toml", "--dry-run")
    assert code == 2
    assert "seeds: must be 100,000 at most" in err


def test_errors_of_a_check_stop_a_run_in_words(install, recipe_file, tmp_path):
    code = (
        "import sys\nfrom dvae_core import Callback, hookimpl\n"
        'class Exits(Callback):\n    "Exits."\n    name = "exits"\n'
        "    def check(self):\n        sys.exit(0)\n"
        "@hookimpl\ndef register_callbacks():\n    return [Exits]\n"
    )
    install("dvae-exits", code)
    with pytest.raises(DvaeError, match='callback "exits" cannot be used: SystemExit: 0'):
        run_recipe(load_recipe(recipe_file, ['callbacks=["exits"]']), tmp_path / "runs")


def test_a_sweep_whose_lock_fails_leaves_no_stub(recipe_file, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    sweep = tmp_path / "sweep.toml"
    sweep.write_text(f'recipe = "{recipe_file}"\n')
    monkeypatch.setattr("filelock.FileLock.acquire", fails)
    with pytest.raises(RunFolderError, match="Input/output error"):
        run_sweep(sweep, tmp_path / "sweeps")
    assert list((tmp_path / "sweeps").iterdir()) == []


def test_a_sweep_goes_on_with_the_overrides_that_it_had(recipe_file, tmp_path, inline):
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(f'recipe = "{recipe_file}"\nlauncher = {{ name = "inline" }}\n')
    first = ["train.epochs=3", "kl.weight=0.25", "evaluate.metrics=[]"]
    done = run_sweep(sweep, tmp_path / "sweeps", overrides=first)
    (name,) = [path.parent.name for path in done.path.glob("*/run.json")]
    run_sweep(sweep, resume=done.path, overrides=["evaluate.metrics=['knn']"])
    run = RunFolder.open(done.path / name)
    assert len(run.metrics()) == run.recipe_table["train"]["epochs"] == 3
    sessions = [row["set"] for row in read_journal(done.path / "journal.jsonl") if "session" in row]
    assert sessions[-1] == [*first[:2], "evaluate.metrics=['knn']"]


def test_a_job_whose_file_system_has_no_locks_is_done(recipe_file, tmp_path, inline, monkeypatch):
    def no_locks(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    sweep = tmp_path / "sweep.toml"
    sweep.write_text(f'recipe = "{recipe_file}"\nlauncher = {{ name = "inline" }}\n')
    monkeypatch.setattr("filelock.FileLock.acquire", no_locks)
    with pytest.warns(UserWarning, match="this file system has no locks"):
        done = run_sweep(
            sweep, tmp_path / "sweeps", overrides=["train.epochs=1", "guidance.weight=1.0"]
        )
    assert done.failed == {}
    assert done.comparison is not None
