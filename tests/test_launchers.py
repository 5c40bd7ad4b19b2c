"""The launchers: workers that die, machines with GPUs, Ray and submitit where they run on one."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen
from types import SimpleNamespace

import pytest
from dvae_plugins.launchers import local, slurm
from dvae_plugins.launchers.local import Local
from dvae_plugins.launchers.slurm import Slurm

from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.journal import Journal
from dvae_core.sweep.driver import run_sweep
from dvae_core.sweep.jobs import common_device, runs_at_once

from .forked import Forked
from .helpers import ROOT, SweepHeard, rows, runs_in

pytestmark = pytest.mark.slow

SMALL = """\
recipe = "small.toml"
seeds = 2

[grid]
"kl.name" = ["square", "abs"]

[launcher]
"""


@pytest.fixture
def sweep_file(recipe_file):
    file = recipe_file.with_name("sweep.toml")
    file.write_text(SMALL + 'name = "local"\nworkers = 2\n')
    return file


def command(*arguments, start=Forked) -> Forked | Popen:
    line = [sys.executable, "-m", "dvae_core", "sweep", *map(str, arguments)]
    return start(line, stdout=PIPE, stderr=PIPE, text=True)


def driver(launcher):
    """What starts the driver of a sweep: Ray's processes find no way to a forked one."""
    return Popen if "ray" in launcher else Forked


@pytest.fixture
def quick_workers(monkeypatch):
    """Workers of sweeps in this process start at once."""
    monkeypatch.setattr(local, "subprocess", SimpleNamespace(Popen=Forked, PIPE=PIPE))


@pytest.fixture
def killing(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import sweep_kills

    return sweep_kills


def test_workers_do_many_runs_each_and_leave_nothing_behind(sweep_file, tmp_path, quick_workers):
    heard = SweepHeard()
    done = run_sweep(sweep_file, tmp_path / "sweeps", watch=heard)
    assert len(runs_in(done.path)) == 4
    journal = [json.loads(line) for line in (done.path / "journal.jsonl").read_text().splitlines()]
    assert sum("run" in row for row in journal) == 4
    assert {file.name for file in (done.path / "logs").iterdir()} == {
        "worker-0.log",
        "worker-1.log",
    }
    infos = [RunFolder.open(done.path / name).info for name in runs_in(done.path)]
    assert {info["threads"] for info in infos} == {1}
    # One that failed in a worker says why, and not that the worker died.
    text = sweep_file.read_text().replace("small.toml", "worse.toml")
    sweep_file.write_text(text.replace("seeds = 2", "seeds = 1"))
    recipe = (tmp_path / "small.toml").read_text()
    (tmp_path / "worse.toml").write_text(recipe.replace("blobs.npz", "gone.npz"))
    worse = run_sweep(sweep_file, tmp_path / "sweeps")
    assert all("gone.npz: there is no such" in error for error in worse.failed.values())
    assert len(worse.failed) == 2
    assert worse.comparison is None


def test_drivers_and_workers_that_are_killed_change_nothing(sweep_file, tmp_path, killing):
    text = (tmp_path / "small.toml").read_text()
    (tmp_path / "small.toml").write_text(text.replace("epochs = 4", "epochs = 12"))
    started = time.monotonic()
    undisturbed = killing.whole(sweep_file, tmp_path / "whole")
    usual = time.monotonic() - started
    table, kills = killing.cut(sweep_file, tmp_path / "cut", 2, random.Random(3), usual)
    assert kills >= 2
    assert table == undisturbed
    whole, cut = (next((tmp_path / name).glob("*/")) for name in ("whole", "cut"))
    for name in runs_in(whole):
        assert rows(RunFolder.open(whole / name)) == rows(RunFolder.open(cut / name))


def test_ctrl_c_stops_runs_with_checkpoints_and_resume_ends_them(sweep_file, tmp_path):
    flags = ["--set", "train.epochs=60"]
    process = command(sweep_file, "--out", tmp_path / "sweeps", *flags)
    deadline = time.monotonic() + 600
    while not list(tmp_path.glob("sweeps/*/*/checkpoints/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (130, ""), err
    assert "of 4 runs are done\ngo on with: dvae sweep " in err
    (folder,) = (tmp_path / "sweeps").iterdir()
    statuses = {RunFolder.open(folder / name).info["status"] for name in runs_in(folder)}
    assert "interrupted" in statuses
    assert "running" not in statuses
    process = command(sweep_file, "--resume", folder, *flags)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == str(folder)
    assert set(Journal(folder / "journal.jsonl").runs.values()) == {"finished"}
    assert all(len(RunFolder.open(folder / name).metrics()) == 60 for name in runs_in(folder))


def test_a_worker_that_cannot_start_is_not_started_for_ever(sweep_file, tmp_path, monkeypatch):
    from dvae_core.errors import DvaeError

    monkeypatch.setattr(local.sys, "executable", "false")
    with pytest.raises(DvaeError, match=r"a worker died 5 times in a row; .*logs/worker-\d.log"):
        run_sweep(sweep_file, tmp_path / "sweeps")


def test_gpus_are_dealt_out_and_cores_divided(monkeypatch, tmp_path):
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.gpus() == []
    assert [Local().at_once(runs) for runs in (0, 3, 100)] == [1, 3, 8]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert local.gpus() == ["2", "5"]
    assert Local().at_once(100) == 2
    assert Local(runs_per_gpu=3).at_once(100) == 6
    assert Local(workers=1).at_once(100) == 1
    assert Local().at_once(100, "cuda:0") == 2
    # Runs that keep to the processor take all cores, whatever else there is.
    assert Local().at_once(100, "cpu") == 8
    assert runs_at_once(Local(), 100, "cpu") == 8
    assert runs_at_once(Slurm(at_most=3), 100, "cpu") == 3
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: Fast (UUID: a)'\necho 'GPU 1: Fast (UUID: b)'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert local.gpus() == ["0", "1"]
    worker = local.Worker(0, threads=4, gpu="1")
    assert worker.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert worker.environment["OMP_NUM_THREADS"] == "4"


def test_a_sweep_is_on_a_device_where_all_its_recipes_are(recipe_file):
    on = [load_recipe(recipe_file, [f"train.device={name}"]) for name in ("cpu", "cuda", "cpu")]
    assert common_device(on) == common_device([]) == "auto"
    assert common_device(on[::2]) == "cpu"


@pytest.mark.parametrize("launcher", ['name = "ray"\n', 'name = "slurm"\ncluster = "local"\n'])
def test_clusters_give_what_this_machine_gives(recipe_file, tmp_path, launcher, sweep_file):
    two = SMALL.replace("seeds = 2", "seeds = 1")
    sweep_file.write_text(f'{two}name = "local"\n')
    here = run_sweep(sweep_file, tmp_path / "here")
    sweep_file.write_text(two + launcher)
    process = command(sweep_file, "--out", tmp_path / "there", start=driver(launcher))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    (there,) = (tmp_path / "there").iterdir()
    assert (there / "comparison.csv").read_text() == (here.path / "comparison.csv").read_text()


class Task:
    """What submitit gives for a task of an array."""

    def __init__(self, job_id, folder):
        self.job_id = job_id
        self.paths = SimpleNamespace(result_pickle=folder / f"{job_id}_0_result.pkl")


def test_a_task_of_slurm_has_ended_when_it_has_a_result_or_left_the_queue(monkeypatch, tmp_path):
    queue = tmp_path / "squeue"
    queue.write_text("#!/bin/sh\necho '7_0'\necho '7_1'\n")
    queue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert slurm._queued() == {"7_0", "7_1"}
    tasks = [Task(f"7_{n}", tmp_path) for n in range(3)]
    tasks[0].paths.result_pickle.touch()
    ended = [Slurm()._has_ended(task, slurm._queued()) for task in tasks]
    assert ended == [True, False, True]
    # Where Slurm does not answer, nothing is known but what the results say.
    queue.write_text("#!/bin/sh\nexit 1\n")
    assert slurm._queued() is None
    assert [Slurm()._has_ended(task, None) for task in tasks] == [True, False, False]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert slurm._queued() is None


def test_without_slurm_it_says_what_to_do(sweep_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep_file.write_text(SMALL + 'name = "slurm"\n')
    process = command(sweep_file, "--out", tmp_path / "sweeps")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert 'start the sweep on a login node, or set cluster = "local"' in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("launcher", "number"),
    [
        ('name = "ray"\n', signal.SIGKILL),
        ('name = "slurm"\ncluster = "local"\n', signal.SIGKILL),
        ('name = "slurm"\ncluster = "local"\n', signal.SIGUSR2),
    ],
    ids=["ray-killed", "slurm-killed", "slurm-out-of-time"],
)
def test_a_run_whose_worker_is_ended_goes_on_in_another(tmp_path, sweep_file, launcher, number):
    one = SMALL.replace("seeds = 2", "seeds = 1").replace('["square", "abs"]', '["square"]')
    sweep_file.write_text(one + launcher)
    flags = ["--out", tmp_path / "sweeps", "--set", "train.epochs=40"]
    process = command(sweep_file, *flags, start=driver(launcher))
    ended = None
    deadline = time.monotonic() + 600
    while ended is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        for file in Path(tmp_path).glob("sweeps/*/jobs/kl-*.json"):
            folder = file.parent.parent / file.stem
            if list(folder.glob("checkpoints/*.pt")):
                ended = json.loads(file.read_text())["pid"]
                os.kill(ended, number)
                break
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert ended is not None
    (folder,) = (tmp_path / "sweeps").iterdir()
    for name in runs_in(folder):
        assert [row["epoch"] for row in RunFolder.open(folder / name).metrics()] == [*range(1, 41)]
