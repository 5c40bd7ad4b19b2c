"""`dvae sweep`: plans, journals, jobs, and what is left when anything is killed."""

from __future__ import annotations

import errno
import json
import os
import re
import statistics
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dvae_core.errors import DvaeError, Interrupted, RecipeError, RunFolderError
from dvae_core.files import append_lines
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.journal import Journal
from dvae_core.sweep import jobs as jobs_module
from dvae_core.sweep.driver import run_sweep
from dvae_core.sweep.jobs import Job, Record, record_file, run_job, session_file
from dvae_core.sweep.sweep_file import load_sweep
from dvae_core.sweep.tracker import Tracker, epochs_in
from dvae_core.sweep.watch import SweepWatch
from dvae_core.training.run import run_recipe

from .helpers import GRID, INLINE, RECIPES, SweepHeard, plan_of, rows, runs_in

# --- The plan.


def test_a_grid_is_every_combination(inline, write):
    plan = plan_of(
        write(
            """
            recipe = "small.toml"
            [grid]
            latent.dim = [2, 3]
            "kl.name" = ["square", "abs"]
            "guidance.weight" = [1.0, { schedule = "linear", start = 2.0, end = 0.0, length = 5 }]
            [launcher]
            name = "inline"
            """
        )
    )
    variants = list(plan.variants())
    assert [v.name for v in variants] == [
        f"kl-{kl}_latent.dim-{dim}_guidance.weight-{weight}"
        for kl in ("square", "abs")
        for dim in (2, 3)
        for weight in ("1.0", "linear")
    ]
    recipe = plan.recipe(variants[3])
    assert (recipe.kl.component.name, recipe.latent.dim) == ("square", 3)
    assert recipe.weights["guidance"].start == 2.0
    assert recipe.kl.weight == 0.5  # the recipe's, which outlives a change of the name


def test_named_variants_are_laid_over_the_recipe_and_combined_with_the_grid(inline, write):
    plan = plan_of(
        write(
            """
            recipe = "small.toml"
            [[variants]]
            name = "plain"
            guidance.weight = 0.0
            [[variants]]
            name = "wide"
            encoder.hidden = [32]
            [grid]
            train.batch_size = [40, 80]
            [launcher]
            name = "inline"
            """
        ),
        ["train.epochs=3"],
    )
    found = {v.name: plan.recipe(v) for v in plan.variants()}
    assert list(found) == [
        f"{name}_train.batch_size-{size}" for name in ("plain", "wide") for size in (40, 80)
    ]
    wide = found["wide_train.batch_size-80"]
    assert (wide.encoder.hidden, wide.train.batch_size, wide.train.epochs) == ((32,), 80, 3)
    assert found["plain_train.batch_size-40"].encoder.hidden == (16,)


def test_a_sweep_of_seeds_alone_has_the_recipes_name(inline, write):
    file = write('recipe = "small.toml"\nseeds = [3, 7]\n')
    plan = plan_of(file)
    assert [v.name for v in plan.variants()] == ["small"]
    assert plan.sweep.seeds == (3, 7)
    assert plan.sweep.launcher.name == "local"


def test_all_mistakes_of_a_sweep_file_at_once_with_their_lines(inline, write):
    file = write(
        """\
        recipe = "gone.toml"
        seeds = [1, 1]
        golas = 3
        [grid]
        "kl.name" = "abs"
        seed = [1, 2]
        [search]
        trials = 3
        [search.space]
        "kl.weight" = { low = 2.0, high = 1.0 }
        [launcher]
        name = "inlin"
        """
    )
    with pytest.raises(RecipeError) as caught:
        load_sweep(file, load_registry())
    text = str(caught.value)
    for line in (
        "sweep.toml:2: seeds: must be how many there are, or a list of different seeds",
        'sweep.toml:3: unknown key "golas", did you mean "goal"?',
        "sweep.toml:10: [search.space] kl.weight: low must be below high",
        'sweep.toml:12: [launcher] unknown launcher "inlin", did you mean "inline"?',
    ):
        assert line in text, text
    file.write_text(
        'recipe = "gone.toml"\nseeds = 2\n[grid]\n"kl.name" = "abs"\nseed = [1, 2]\n'
        '[[variants]]\nname = "a"\n[[variants]]\nname = "a"\n[search]\ntrials = 2\n'
        '[search.space]\n"kl.weight" = [1.0]\n'
    )
    with pytest.raises(RecipeError) as caught:
        load_sweep(file, load_registry())
    text = str(caught.value)
    for line in (
        "sweep.toml:1: recipe: there is no such file",
        "sweep.toml:4: ",
        'sweep.toml:9: [variants.1] another variant is called "a" already',
        "a search takes the place of grid and variants",
        "a search needs a goal",
    ):
        assert line in text, text


def test_every_recipe_is_checked_before_the_first_run(inline, write, tmp_path):
    file = write(
        GRID.replace('["square", "abs"]', '["square", "aps"]')
        + '[[variants]]\nname = "slow"\noptimizer.learning = 1.0\n[[variants]]\nname = "good"\n'
    )
    with pytest.raises(RecipeError) as caught:
        run_sweep(file, tmp_path / "sweeps")
    text = str(caught.value)
    assert 'sweep.toml:6: [kl] unknown kl "aps", did you mean "abs"?' in text
    assert "(variant slow_kl-aps and 1 more)" in text
    assert re.search(
        r"sweep.toml:12: \[optimizer\].*learning.*\(variant slow_kl-square and 1 more\)", text
    )
    assert not (tmp_path / "sweeps").exists()
    with pytest.raises(RecipeError, match=r"the sweep varies kl\.name itself"):
        run_sweep(write(), tmp_path / "sweeps", overrides=["kl.name=abs"])


# --- A sweep.


@pytest.mark.slow
def test_its_runs_are_those_that_dvae_run_would_give(inline, write, tmp_path):
    heard = SweepHeard()
    done = run_sweep(write(), tmp_path / "sweeps", watch=heard)
    names = [f"kl-{kl}-seed-{seed}" for seed in (0, 1) for kl in ("square", "abs")]
    assert heard.ends == [(name, "finished") for name in names]
    assert runs_in(done.path) == sorted(names)
    alone = run_recipe(
        load_recipe(tmp_path / "small.toml", ["kl.name=abs", "seed=1"]), tmp_path / "runs"
    )
    ours = RunFolder.open(done.path / "kl-abs-seed-1")
    assert rows(ours) == rows(alone)
    assert ours.recipe_table == alone.recipe_table
    assert (ours.sweep, alone.sweep) == (done.path.name, None)
    table = (done.path / "comparison.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["recipe", "kl-abs", "kl-square"]
    assert [row.recipe_name for row in done.comparison.rows] == ["kl-abs", "kl-square"]
    assert [run.seed for run in done.comparison.rows[0].runs] == [0, 1]
    assert json.loads((done.path / "comparison.json").read_text())["differences"] == ["kl.name"]
    assert list((done.path / "jobs").iterdir()) == []
    assert not (done.path / "session").exists()
    assert (done.path / "sweep.toml").read_text() == GRID


@pytest.mark.slow
def test_finished_runs_are_never_run_again_and_a_longer_plan_adds_to_them(inline, write, tmp_path):
    done = run_sweep(write(), tmp_path / "sweeps")
    before = {f: f.stat().st_mtime_ns for f in done.path.glob("*/*.json*")}
    heard = SweepHeard()
    run_sweep(write(), resume=done.path, watch=heard)
    assert heard.ends == []
    file = write(GRID.replace("seeds = 2", "seeds = 3").replace('"abs"]', '"abs", "laplace"]'))
    run_sweep(file, resume=done.path, watch=heard)
    assert [name for name, _ in heard.ends] == [
        "kl-laplace-seed-0",
        "kl-laplace-seed-1",
        "kl-square-seed-2",
        "kl-abs-seed-2",
        "kl-laplace-seed-2",
    ]
    assert {f: f.stat().st_mtime_ns for f in before} == before
    longer = run_sweep(file, resume=done.path, overrides=["train.epochs=3"])
    for folder in done.path.glob("*-seed-*"):
        assert [row["epoch"] for row in RunFolder.open(folder).metrics()] == [1, 2, 3]
    assert longer.comparison.rows[0].runs[0].epoch == 3


@pytest.mark.slow
def test_another_experiment_is_refused(inline, write, tmp_path):
    done = run_sweep(write(), tmp_path / "sweeps")
    changed = r"variant kl-square: .*optimizer\.lr is 0\.1 and was 0\.01"
    with pytest.raises(RecipeError, match=changed):
        run_sweep(write(), resume=done.path, overrides=["optimizer.lr=0.1"])
    with pytest.raises(RunFolderError, match="not a sweep's folder"):
        run_sweep(write(), resume=tmp_path)


@pytest.mark.slow
def test_a_failed_run_stops_no_other_and_is_run_again_when_asked(inline, write, tmp_path, dvae):
    # A latent point a pixel wide: the loss of a huge learning rate is soon not finite.
    text = GRID.replace('"kl.name" = ["square", "abs"]', "optimizer.lr = [1e30, 0.01]")
    file = write(text.replace("seeds = 2", "seeds = 1"))
    code, out, err = dvae("sweep", file, "--out", tmp_path / "sweeps")
    assert code == 1
    folder = Path(out.splitlines()[-1])
    bad, good = "optimizer.lr-1e+30-seed-0", "optimizer.lr-0.01-seed-0"
    assert f"{bad}: failed: " in err
    assert "no longer finite" in err
    assert f"{good}: finished: " in err
    assert "(2 of 2 runs, 1 failed" in err
    assert Journal(folder / "journal.jsonl").runs == {bad: "failed", good: "finished"}
    code, _, err = dvae("sweep", file, "--resume", folder)
    assert (code, f"{bad}: failed: " in err, f"{good}: finished" in err) == (1, True, False)
    assert "2 done already" in err
    code, _, err = dvae("sweep", file, "--resume", folder, "--retry")
    assert (code, "1 done already" in err) == (1, True)


@pytest.mark.slow
def test_the_command_prints_a_line_a_run_and_the_table_and_the_folder(
    inline, write, dvae, tmp_path
):
    code, out, err = dvae(
        "sweep", write(), "--out", tmp_path / "sweeps", "--set", "train.batch_size=30"
    )
    assert code == 0
    lines = out.splitlines()
    assert re.fullmatch(r"sweep-\d{8}-\d{6}-[a-z]{4}", Path(lines[-1]).name)
    assert "knn_accuracy" in out
    assert "4 runs, 8 epochs, 1 at once" in err
    assert len(re.findall(r"^kl-\w+-seed-\d: finished: [\d.]+ s \(\d of 4 runs", err, re.M)) == 4
    assert "best knn_accuracy" in err
    assert dvae("compare", lines[-1])[1].startswith(out[:40].splitlines()[0][:3])
    for arguments, message in (
        (["gone.toml"], "gone.toml: there is no such file"),
        ([write(), "--launcher", "inlien"], 'did you mean "inline"?'),
        ([write(), "--resume", tmp_path], "not a sweep's folder"),
    ):
        code, out, err = dvae("sweep", *arguments)
        assert (code, out) == (1 if "--resume" in arguments else 2, "")
        assert message in err


@pytest.mark.slow
def test_a_run_that_is_done_twice_is_counted_once(install, write, tmp_path):
    twice = "run_job(job); yield; __import__('time').sleep(0.3); run_job(job)"
    install("dvae-inline", INLINE.replace("run_job(job)", twice))
    heard = SweepHeard()
    run_sweep(write(GRID.replace("goal", "# goal")), tmp_path / "sweeps", watch=heard)
    assert len(heard.ends) == len(set(heard.ends)) == 4


@pytest.mark.slow
def test_a_launcher_that_fails_or_leaves_runs_undone_is_named(install, write, tmp_path):
    install("dvae-inline", INLINE.replace("run_job(job)", "raise KeyError('no room')"))
    with pytest.raises(DvaeError, match="launcher \"inline\" failed: KeyError: 'no room'"):
        run_sweep(write(), tmp_path / "sweeps")


@pytest.mark.slow
def test_a_launcher_that_does_nothing_is_not_called_for_ever(install, write, tmp_path):
    install("dvae-inline", INLINE.replace("run_job(job)", "pass"))
    with pytest.raises(DvaeError, match="left runs undone, such as kl-abs-seed-0"):
        run_sweep(write(), tmp_path / "sweeps")


def test_two_commands_cannot_drive_one_sweep(inline, write, tmp_path):
    from filelock import FileLock

    done = run_sweep(write(), tmp_path / "sweeps")
    with (
        FileLock(done.path / ".lock"),
        pytest.raises(RunFolderError, match="another process drives this sweep"),
    ):
        run_sweep(write(), resume=done.path)


@pytest.mark.slow
def test_a_stop_leaves_checkpoints_and_the_line_that_goes_on(install, write, tmp_path, dvae):
    # The signal comes in the middle of the second run: after its first epoch.
    code = INLINE.replace(
        "            run_job(job)",
        "            if job.name == 'kl-abs-seed-0' and job.session not in sent:\n"
        "                sent.add(job.session)\n"
        "                threading.Thread(target=stop, args=[job]).start()\n"
        "            run_job(job)",
    ).replace(
        "class Inline",
        "import os, pathlib, signal, threading, time\n"
        "sent = set()\n"
        "def stop(job):\n"
        "    file = pathlib.Path(job.sweep, job.name, 'metrics.jsonl')\n"
        "    while not (file.exists() and file.stat().st_size):\n"
        "        time.sleep(0.002)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n\n"
        "class Inline",
    )
    install("dvae-inline", code)
    file = write(GRID.replace("seeds = 2", "seeds = 1"))
    flags = ["--set", "train.epochs=80", "--set", "evaluate.metrics=[]"]
    code, out, err = dvae("sweep", file, "--out", tmp_path / "sweeps", *flags)
    assert (code, out) == (143, ""), err
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert "interrupted; 1 of 2 runs are done" in err
    assert f"go on with: dvae sweep {file} --set 'train.epochs=80' " in err
    assert f"--resume {folder}\n" in err
    stopped = RunFolder.open(folder / "kl-abs-seed-0")
    assert stopped.info["status"] == "interrupted"
    assert 0 < len(stopped.metrics()) < 80
    install("dvae-other", "")
    again = INLINE.replace('"inline"', '"other"')
    install("dvae-again", again)
    code, out, err = dvae("sweep", file, "--resume", folder, "--launcher", "other", *flags)
    assert code == 0, err
    assert "1 done already" in err
    assert len(RunFolder.open(folder / "kl-abs-seed-0").metrics()) == 80


# --- The journal.


def test_the_journal_drops_a_line_that_was_cut_off_and_refuses_another_format(tmp_path):
    file = tmp_path / "journal.jsonl"
    whole = '{"format": 1, "session": "a"}\n{"run": "x", "status": "failed", "error": "no"}\n'
    file.write_text(whole + '{"run": "y", "sta')
    journal = Journal(file)
    assert (journal.runs, journal.errors) == ({"x": "failed"}, {"x": "no"})
    assert file.read_text() == whole
    journal.add([{"run": "x", "status": "retry"}, {"run": "y", "status": "finished", "epochs": 2}])
    assert Journal(file).runs == {"y": "finished"}
    file.write_text('{"format": 99}\n')
    with pytest.raises(RunFolderError, match="sweep format 99, and this version reads 1"):
        Journal(file)
    file.write_text("[]\n")
    with pytest.raises(RunFolderError, match=":1: damaged"):
        Journal(file)


# --- Jobs.


@pytest.fixture
def job(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, ["train.epochs=2"])
    sweep = tmp_path / "a-sweep"
    (sweep / "jobs").mkdir(parents=True)
    session_file(sweep).write_text("now")
    return Job("one-seed-1", str(sweep), "now", recipe.to_table(), {"torch": version("torch")})


def version(name):
    from importlib.metadata import version

    return version(name)


def record_of(job):
    return Record.read(record_file(Path(job.sweep), job.name))


def test_a_job_survives_json_and_pickle_and_leaves_a_record(job):
    import pickle
    from dataclasses import asdict

    assert Job(**json.loads(json.dumps(asdict(job)))) == job == pickle.loads(pickle.dumps(job))
    run_job(job)
    record = record_of(job)
    assert (record.status, record.session, record.attempt) == ("finished", "now", 1)
    assert record.pid == os.getpid()
    assert len(RunFolder.open(Path(job.sweep) / job.name).metrics()) == 2


def test_a_record_holds_names_that_are_no_utf_8(tmp_path):
    (tmp_path / "jobs").mkdir()
    error, warning = "caf\udce9.png: no picture", "caf\udce9"
    Record("one", "now", "failed", error=error, warnings=(warning,)).write(tmp_path)
    record = Record.read(record_file(tmp_path, "one"))
    assert (record.error, record.warnings) == (error, (warning,))


def test_lines_are_added_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "journal.jsonl"
    append_lines(file, [{"n": 1}])

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunFolderError, match="No space left"):
            append_lines(file, [{"n": 2}])
    append_lines(file, [{"n": 3}])
    assert file.read_text() == '{"n": 1}\n{"n": 3}\n'


def test_a_run_without_a_checkpoint_starts_anew_and_a_finished_one_is_left_alone(job):
    folder = Path(job.sweep) / job.name
    folder.mkdir()
    (folder / "run.json").write_text(
        '{"format": 1, "status": "running", "components": [], "image_shape": [1, 8, 8], '
        '"classes": ["0", "1", "2"]}'
    )
    (folder / "recipe.toml").write_text("")
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "step": 5}\n')
    from dataclasses import replace

    (folder / "recipe.toml").write_bytes(_toml(job.recipe))
    run_job(job)
    assert record_of(job).status == "finished", record_of(job)
    before = (folder / "run.json").stat().st_mtime_ns
    run_job(replace(job, session="now"))
    assert record_of(job).status == "finished"
    assert (folder / "run.json").stat().st_mtime_ns == before


def _toml(table):
    import tomli_w

    return tomli_w.dumps(table).encode()


def test_a_run_whose_process_dies_three_times_has_failed(job):
    sweep = Path(job.sweep)
    for attempt in (1, 2):
        Record(job.name, "now", "running", attempt=attempt).write(sweep)
    Record(job.name, "now", "running", attempt=3, host="node7").write(sweep)
    run_job(job)
    record = record_of(job)
    assert (record.status, record.error) == ("failed", "its process died 3 times, last on node7")
    # Another session starts counting anew, for it may have been the sweep that was killed.
    session_file(sweep).write_text("later")
    from dataclasses import replace

    run_job(replace(job, session="later"))
    assert (record_of(job).status, record_of(job).attempt) == ("finished", 1)


def test_a_job_of_an_earlier_session_does_nothing(job):
    session_file(Path(job.sweep)).write_text("later")
    run_job(job)
    session_file(Path(job.sweep)).unlink()
    run_job(job)
    assert record_of(job) is None


def test_a_worker_with_other_versions_refuses(job):
    from dataclasses import replace

    run_job(replace(job, distributions={"torch": "0.1", "dvae-nowhere": "2.0"}))
    record = record_of(job)
    assert record.status == "refused"
    assert f"torch 0.1 is {version('torch')}, dvae-nowhere 2.0 is not there" in record.error


@pytest.mark.slow
def test_a_refusal_ends_the_sweep_and_fails_no_run(install, write, tmp_path):
    code = INLINE.replace(
        "run_job(job)",
        "run_job(__import__('dataclasses').replace(job, distributions={'torch': '0.1'}))",
    )
    install("dvae-inline", code)
    with pytest.raises(DvaeError, match=r"not fit for this sweep: .*torch 0\.1 is "):
        run_sweep(write(), tmp_path / "sweeps")
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert Journal(folder / "journal.jsonl").runs == {}


def test_a_job_waits_for_another_process_that_is_at_it(job, monkeypatch):
    import threading

    from filelock import FileLock

    monkeypatch.setattr(jobs_module, "POLL", 0.05)
    lock = FileLock(record_file(Path(job.sweep), job.name).with_suffix(".lock"), thread_local=False)
    lock.acquire()
    threading.Timer(0.5, lock.release).start()
    run_job(job)
    assert record_of(job).status == "finished"


def test_keep_busy_fills_the_room_and_passes_errors_on(job):
    from concurrent.futures import Future

    from dvae_core import keep_busy

    taken = []

    def submit(job):
        taken.append(Future())
        return taken[-1]

    left = iter(range(5))
    steps = keep_busy(submit, left, 2)
    next(steps)
    assert len(taken) == 2
    taken[0].set_result(None)
    next(steps)
    next(steps)
    assert len(taken) == 3
    taken[1].set_exception(ValueError("lost"))
    with pytest.raises(ValueError, match="lost"):
        list(steps)


def test_interrupted_is_an_error_with_its_own_code():
    assert Interrupted("x", 143).exit_code == 143


# --- Search.

SEARCH = """\
recipe = "small.toml"
seeds = 2
goal = "lowest test/reconstruction forced"

[search]
sampler = "random"
trials = 3

[search.space]
"kl.weight" = { low = 0.01, high = 10.0, log = true }
"kl.name" = ["square", "abs"]
latent.dim = { low = 1, high = 4 }

[launcher]
name = "inline"
"""


def studied(folder):
    import optuna
    from optuna.storages.journal import JournalFileBackend

    backend = JournalFileBackend(str(folder / "optuna.jsonl"))
    return optuna.load_study(
        study_name="sweep", storage=optuna.storages.JournalStorage(backend)
    ).trials


@pytest.mark.slow
def test_a_search_tries_trials_and_tells_their_means_to_optuna(inline, write, tmp_path):
    done = run_sweep(write(SEARCH), tmp_path / "sweeps")
    names = [f"trial-{n:04d}-seed-{seed}" for n in range(3) for seed in (0, 1)]
    assert runs_in(done.path) == names
    trials = studied(done.path)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    for number, trial in enumerate(trials):
        runs = [RunFolder.open(done.path / f"trial-{number:04d}-seed-{s}") for s in (0, 1)]
        values = [run.metrics()[-1]["test/reconstruction"] for run in runs]
        assert trial.value == pytest.approx(sum(values) / 2)
        for run in runs:
            table = run.recipe_table
            assert table["kl"]["weight"] == trial.params["kl.weight"]
            assert table["kl"]["name"] == ("square", "abs")[trial.params["kl.name"]]
            assert table["latent"]["dim"] == trial.params["latent.dim"]
            assert 0.01 <= table["kl"]["weight"] <= 10
    # Extended, it keeps its trials; what a trial draws depends on its number alone.
    longer = write(SEARCH.replace("trials = 3", "trials = 4"))
    run_sweep(longer, resume=done.path)
    again = run_sweep(longer, tmp_path / "again")
    assert [t.params for t in studied(done.path)] == [t.params for t in studied(again.path)]
    assert len({t.params["kl.weight"] for t in studied(again.path)}) == 4
    with pytest.raises(RecipeError, match="the goal or the space is not the one"):
        run_sweep(write(SEARCH.replace("high = 4", "high = 5")), resume=done.path)


@pytest.mark.slow
def test_tpe_moves_towards_what_is_better(inline, write, tmp_path, monkeypatch):
    """The KL's weight is the loss, as far as Optuna can see: the best weight is the lowest."""
    from dvae_core.sweep import tracker

    def weight(run, key):
        return RunFolder.open(run).recipe_table["kl"]["weight"]

    monkeypatch.setattr(tracker, "_last_value", weight)
    text = SEARCH.replace('"random"', '"tpe"').replace("trials = 3", "trials = 25")
    text = text.replace("seeds = 2", "seeds = 1").replace('"kl.name" = ["square", "abs"]\n', "")
    text = text.replace("latent.dim = { low = 1, high = 4 }\n", "")
    quick = ["evaluate.metrics=[]", "dataset.train_limit=40", "guidance.weight=1.0"]
    done = run_sweep(write(text), tmp_path / "sweeps", overrides=quick)
    weights = [trial.params["kl.weight"] for trial in studied(done.path)]
    assert sorted(weights[:9])[4] > 0.1
    assert sorted(weights[-9:])[4] < 0.05


@pytest.mark.slow
def test_a_trial_with_a_failed_run_has_no_value(inline, write, tmp_path):
    text = SEARCH.replace('"kl.weight" = { low = 0.01, high = 10.0, log = true }\n', "")
    text = text.replace("latent.dim = { low = 1, high = 4 }", "optimizer.lr = [1e30]")
    done = run_sweep(write(text.replace("trials = 3", "trials = 1")), tmp_path / "sweeps")
    assert len(done.failed) == 2
    (trial,) = studied(done.path)
    assert trial.state.name == "FAIL"


@pytest.mark.slow
def test_values_that_are_wrong_together_alone_cost_their_trial(inline, write, tmp_path):
    """Guidance settles at 10 steps, and 3 epochs with batches of 80 have 9."""
    text = SEARCH.replace('"kl.weight" = { low = 0.01, high = 10.0, log = true }\n', "")
    text = text.replace('"kl.name" = ["square", "abs"]\n', '"train.epochs" = [4, 3]\n')
    text = text.replace("latent.dim = { low = 1, high = 4 }", '"train.batch_size" = [40, 80]')
    text = text.replace("seeds = 2", "seeds = 1").replace("trials = 3", "trials = 8")
    done = run_sweep(write(text), tmp_path / "sweeps")
    states = {trial.state.name for trial in studied(done.path)}
    assert states == {"COMPLETE", "FAIL"}
    assert all("settles at 10 steps and the run has 9" in text for text in done.failed.values())
    again = run_sweep(write(text), resume=done.path)
    assert again.failed == done.failed
    more = run_sweep(write(text.replace("trials = 8", "trials = 9")), resume=done.path)
    assert len(studied(more.path)) == 9


@pytest.mark.slow
@pytest.mark.parametrize("left", [2, 3, 4, 5])
def test_a_kill_in_optunas_journal_loses_no_search(inline, write, tmp_path, left):
    text = SEARCH.replace("trials = 3", "trials = 2").replace("seeds = 2", "seeds = 1")
    done = run_sweep(write(text.replace("trials = 2", "trials = 1")), tmp_path / "sweeps")
    file = done.path / "optuna.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    drawing = next(n for n, line in enumerate(lines) if '"op_code":4' in line)  # a new trial
    ended = len(lines)
    # The second trial as the first one was drawn, cut off in the middle of a line.
    again = lines[drawing : drawing + left]
    renumbered = [line.replace('"trial_id":0', '"trial_id":1') for line in again]
    file.write_text("".join(lines[:ended] + renumbered[:-1]) + renumbered[-1][:20])
    (done.path / "optuna.jsonl.lock").symlink_to("optuna.jsonl")
    more = run_sweep(write(text), resume=done.path)
    assert [trial.state.name for trial in studied(more.path)] == ["COMPLETE", "COMPLETE"]


def test_the_choices_of_a_search_are_checked_before_the_first_run(inline, write, tmp_path):
    file = write(SEARCH.replace('["square", "abs"]', '["square", "aps"]'))
    with pytest.raises(RecipeError, match=r'sweep.toml:11: \[kl\] unknown kl "aps"'):
        run_sweep(file, tmp_path / "sweeps")
    assert not (tmp_path / "sweeps").exists()


IN_STEP = """
import threading, time
from dvae_core import Callback, Launcher, Metric, hookimpl, run_job

POLLS = threading.Semaphore(0)

class InStep(Launcher):
    "One run after the other, in a thread."
    name = "in_step"

    def launch(self, jobs):
        for job in jobs:
            thread = threading.Thread(target=run_job, args=(job,))
            thread.start()
            while thread.is_alive():
                yield
                POLLS.release()
                time.sleep(0.002)

class Dim(Metric):
    name = "dim"

    def measure(self, snapshot):
        return {"dim": float(snapshot.latent_dim)}

class Waits(Callback):
    "Until the sweep has looked at the epoch."
    name = "waits"

    def epoch_finished(self, run, metrics, figures):
        while POLLS.acquire(blocking=False):
            pass
        POLLS.acquire()
        POLLS.acquire()  # this look began after the epoch was on disk

@hookimpl
def register_launchers():
    return [InStep]

@hookimpl
def register_metrics():
    return [Dim]

@hookimpl
def register_callbacks():
    return [Waits]
"""
PRUNED = """\
recipe = "small.toml"
goal = "lowest test/dim forced"

[search]
sampler = "random"
pruner = "median"
trials = 10

[search.space]
latent.dim = { low = 2, high = 60 }

[launcher]
name = "in_step"
"""


@pytest.mark.slow
def test_a_search_prunes_what_is_worse_than_the_median(inline, install, write, tmp_path):
    install("dvae-in-step", IN_STEP)
    brief = ["train.epochs=4", 'evaluate.metrics=["dim"]', 'callbacks=["waits"]']
    done = run_sweep(write(PRUNED), tmp_path / "sweeps", overrides=brief)
    assert not done.failed
    trials = studied(done.path)
    complete: list[float] = []
    for trial in trials:
        dim = trial.params["latent.dim"]
        run = RunFolder.open(done.path / f"trial-{trial.number:04d}-seed-0")
        # Optuna's median pruner lets five trials be, and then knows those that came to their end.
        poor = len(complete) >= 5 and dim > statistics.median(complete)
        assert (trial.state.name, len(run.metrics())) == (
            ("PRUNED", 1) if poor else ("COMPLETE", 4)
        )
        assert (run.stopped is not None) == poor
        assert trial.value == dim
        complete += [] if poor else [dim]
    assert 0 < sum(t.state.name == "PRUNED" for t in trials) < 5
    assert "pruned: lowest test/dim" in run_of_first(trials, done.path).stopped["reason"]
    assert not list((done.path / "jobs").iterdir())


def run_of_first(trials, folder):
    number = next(t.number for t in trials if t.state.name == "PRUNED")
    return RunFolder.open(folder / f"trial-{number:04d}-seed-0")


# --- Who hears of it.

LISTENERS = """
from dvae_core import Callback, hookimpl

class Grumpy(Callback):
    "Fails."
    name = "grumpy"
    word: str = "enough"
    def sweep_finished(self, sweep):
        raise RuntimeError(self.word)

class Quiet(Callback):
    "Writes a file."
    name = "quiet"
    def sweep_finished(self, sweep):
        best = sweep.best_run.name
        text = f"{sweep.title}, {sweep.name}, {len(sweep.comparison.rows)} rows, {best}\\n"
        with (sweep.path / "heard.txt").open("a") as file:
            file.write(text)

@hookimpl
def register_callbacks():
    return [Grumpy, Quiet]

@hookimpl
def sweep_finished(sweep):
    (sweep.path / "plugin.txt").write_text((sweep.path / "report.html").read_text()[:15])
"""


@pytest.mark.slow
def test_callbacks_hear_of_the_end_and_one_that_fails_is_reported(inline, install, write, tmp_path):
    install("dvae-listeners", LISTENERS)
    flags = ['callbacks=[{name = "grumpy"}, {name = "quiet"}]']
    heard = SweepHeard()
    done = run_sweep(write(f'title = "Mine"\n{GRID}'), tmp_path, overrides=flags, watch=heard)
    assert heard.warnings == [
        'callback "grumpy" failed in sweep_finished and is switched off: RuntimeError: enough'
    ]
    best = max(
        sorted(runs_in(done.path)),
        key=lambda name: RunFolder.open(done.path / name).metrics()[-1]["test/knn_accuracy"],
    )
    # Once, though all four runs have the callback.
    told = (done.path / "heard.txt").read_text()
    assert told == f"Mine, {done.path.name}, 2 rows, {best}\n"
    assert (done.path / "plugin.txt").read_text() == "<!doctype html>"


@pytest.mark.slow
def test_each_different_callback_of_the_variants_hears_once(inline, install, write, tmp_path):
    install("dvae-listeners", LISTENERS)
    text = """
    recipe = "small.toml"
    goal = "lowest train/loss"
    variants = [
        { name = "a", callbacks = [{ name = "grumpy" }] },
        { name = "b", callbacks = [{ name = "grumpy", word = "no" }, { name = "quiet" }] },
        { name = "c", callbacks = [{ name = "grumpy" }] },
    ]
    launcher = { name = "inline" }
    """
    heard = SweepHeard()
    done = run_sweep(write(text), tmp_path, watch=heard)
    said = [warning.rpartition(" ")[2] for warning in heard.warnings]
    assert said == ["enough", "no"]
    assert (done.path / "heard.txt").read_text().count("\n") == 1


# --- What it leaves, and what it would do.


def test_figures_and_a_dry_run(inline, write, tmp_path, dvae):
    flags = ["--set", 'evaluate.metrics=["borders"]']
    code, out, err = dvae("sweep", write(), "--dry-run", *flags)
    assert code == 0, err
    assert out.splitlines() == [
        f"kl-{kl}-seed-{seed}: 2 epochs" for seed in (0, 1) for kl in ("square", "abs")
    ]
    assert re.search(r"4 runs, 8 epochs of about [\d.]+ s each: 1 at once, about 0:0\d", err)
    assert not Path("sweeps").exists()
    code, out, err = dvae("sweep", write(), "--out", tmp_path / "sweeps", *flags)
    assert code == 0, err
    assert "warning" not in err
    figures = Path(out.splitlines()[-1]) / "figures"
    for name in ("metrics", "regions"):
        from PIL import Image

        with Image.open(figures / f"{name}.png") as image:
            assert image.size > (300, 300)


@pytest.mark.slow
def test_the_region_maps_are_those_that_the_runs_kept(inline, write, tmp_path):
    import numpy as np

    from dvae_core.latent.borders.kept_maps import kept_maps
    from dvae_core.latent.borders.regions import regions_of

    done = run_sweep(write(), tmp_path / "sweeps", overrides=['evaluate.metrics=["borders"]'])
    run = done.path / "kl-abs-seed-0"
    epoch, kept = next(kept_maps(run, newest_first=True))
    assert (epoch, kept.classes, kept.pairs) == (2, ("0", "1", "2"), ())
    about = json.loads((run / "evaluation" / "epoch-0002-borders.json").read_text())
    regions = regions_of(kept.grid, 3)
    assert np.allclose(regions.area_share, about["area_share"])
    assert regions.borders.tolist() == about["border"]


@pytest.mark.parametrize("file", sorted((RECIPES / "sweeps").glob("*.toml")), ids=lambda f: f.stem)
def test_the_sweeps_that_ship_are_right(file):
    plan = plan_of(file)
    assert plan.check(list(plan.variants()))


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [
        (b"", 0),
        (b'{"epoch": 1}\n{"epoch": 3}\n', 3),  # the second was damaged, and dropped
        (b'{"epoch": 1}\n{"epoch": 2}\n{"epo', 2),
        (b'{"epo', 0),
        (b'{"epoch": 1}\n\xff{"epoch"}\n', 2),
        (b'{"epoch": 1}\n{"epoch": 1e999}\n', 2),
    ],
)
def test_a_run_has_come_to_its_last_epoch_whatever_rows_are_lost(tmp_path, rows, epochs):
    (tmp_path / "metrics.jsonl").write_bytes(rows)
    assert epochs_in(tmp_path) == epochs


def test_the_time_left_goes_by_what_this_session_has_done(tmp_path, monkeypatch):
    """Forty epochs were done before; two of ten take ten seconds, so that eight take forty."""
    seconds = [100.0]
    monkeypatch.setattr("dvae_core.sweep.tracker.time.monotonic", lambda: seconds[0])
    journal = SimpleNamespace(runs={"old": "finished"}, epochs={"old": 40})
    tracker = Tracker(tmp_path, journal, "session", None, SweepWatch())
    tracker._estimate()
    tracker.plan("old", 40)
    tracker.plan("new", 10)
    tracker._estimate()
    assert tracker.progress.seconds_left is None
    seconds[0] = 110.0
    tracker._set_epochs("new", 2)
    tracker._estimate()
    assert tracker.progress.seconds_left == pytest.approx(40)


def test_a_sweep_knows_how_long_runs_have_become(inline, write, tmp_path):
    """How many epochs 40 steps take is known when a run has read its file of 192 images."""
    heard = SweepHeard()
    heard.ended = lambda name, status, detail, progress: ends.append(replace(progress))
    ends = []
    sets = ["train.min_steps=40", "guidance.weight=1.0", "train.batch_size=48"]
    file = write("recipe = 'small.toml'\nseeds = 2\n[launcher]\nname = 'inline'\n")
    outcome = run_sweep(file, tmp_path / "out", overrides=sets, watch=heard)
    assert [len(RunFolder.open(outcome.path / run).metrics()) for run in runs_in(outcome.path)] == [
        10,
        10,
    ]
    assert [(p.epochs, p.epochs_done) for p in ends] == [(12, 10), (20, 20)]
    assert all(p.seconds_left >= 0 for p in ends)
