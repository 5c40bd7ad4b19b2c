"""Kills, faults, strangers' files: what docs/reliability.md promises."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dvae_core.errors import Diverged, DvaeError, RunFolderError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs import checkpoints
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.watch import Watch
from dvae_core.training.run import resume_run, run_recipe

from .helpers import OLD_RUN, ROOT, Heard, rows, same_state, state

pytestmark = pytest.mark.slow


@pytest.fixture
def long_recipe(recipe_file, monkeypatch):
    """A run of half a second or so, with a checkpoint every 7 steps of its 20-step epochs."""
    monkeypatch.syspath_prepend(str(ROOT))
    text = recipe_file.read_text().replace(
        "epochs = 4", 'epochs = 12\ncheckpoint_every = "7 steps"'
    )
    recipe_file.write_text(text.replace("batch_size = 40", "batch_size = 10"))
    return recipe_file


def whole(recipe, tmp_path, monkeypatch):
    """The same run, never disturbed, in a process of the same kind."""
    from tests import killable

    assert killable.run_for(None, recipe, tmp_path / "whole") == 0
    return the_run(tmp_path / "whole")


def the_run(out: Path) -> RunFolder:
    (path,) = out.glob("*/run.json")
    return RunFolder.open(path.parent)


def test_killed_at_thirty_random_moments_it_ends_with_the_same_bits(
    long_recipe, tmp_path, monkeypatch
):
    from tests import killable

    undisturbed = whole(long_recipe, tmp_path, monkeypatch)
    dice = random.Random(0)
    kills, finished = 0, 0
    while kills < 30:
        out = tmp_path / f"cut-{finished}"
        code = killable.run_for(dice.uniform(0.05, 1.2), long_recipe, out)
        if code == 0:
            finished += 1
            disturbed = the_run(out)
            assert same_state(state(undisturbed), state(disturbed))
            assert rows(undisturbed) == rows(disturbed)
        else:
            assert code == -9
            kills += 1
    out = tmp_path / f"cut-{finished}"
    assert killable.run_for(None, long_recipe, out) == 0
    assert same_state(state(undisturbed), state(the_run(out)))
    assert rows(undisturbed) == rows(the_run(out))


def test_killed_at_each_step_of_writing_it_ends_with_the_same_bits(
    long_recipe, tmp_path, monkeypatch
):
    from tests import killable

    long_recipe.write_text(long_recipe.read_text().replace("epochs = 12", "epochs = 3"))
    undisturbed = whole(long_recipe, tmp_path, monkeypatch)
    killed = 0
    # The operations of starting a folder, of several checkpoints, and of an epoch's row.
    for die_at in range(1, 46):
        out = tmp_path / f"at-{die_at}"
        code = killable.run_for(None, long_recipe, out, die_at)
        assert code == -9
        killed += 1
        if not list(out.glob("*/run.json")):
            continue  # killed before the folder was complete: there is no run to resume
        leftovers = [f for f in the_run(out).path.rglob("*.pt") if f.name.startswith("epoch")]
        assert len(leftovers) <= 3
        assert killable.run_for(None, long_recipe, out) == 0
        assert same_state(state(undisturbed), state(the_run(out))), die_at
        assert rows(undisturbed) == rows(the_run(out)), die_at
        assert not list(the_run(out).path.rglob("*.tmp")), die_at
        shutil.rmtree(out)
    assert killed == 45


def test_at_most_the_steps_between_checkpoints_are_lost(recipe_file, tmp_path):
    sets = ["train.batch_size=2", 'train.checkpoint_every="30 steps"', "train.epochs=2"]
    seen = []

    class Look(Watch):
        def stepped(self, step, means):
            files = tmp_path.glob("*/checkpoints/*.pt")
            if step % 30 == 0:  # the end of an epoch is heard, too
                seen.append((step, sorted(f.stem for f in files)))

    recipe = load_recipe(recipe_file, [*sets, "guidance.weight.length=100"])
    run_recipe(recipe, tmp_path, watch=Look())
    # 96 steps an epoch; heard before each checkpoint: 30, 60, 90, 120, 150, 180.
    assert seen == [
        (30, []),
        (60, ["epoch-0000-step-0000030"]),
        (90, ["epoch-0000-step-0000030", "epoch-0000-step-0000060"]),
        (120, ["epoch-0000-step-0000090", "epoch-0001"]),
        (150, ["epoch-0001", "epoch-0001-step-0000024"]),
        (180, ["epoch-0001-step-0000024", "epoch-0001-step-0000054"]),
    ]


def test_checkpoints_by_the_minute(recipe_file, tmp_path, monkeypatch):
    import dvae_core.training.loop as loop

    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    due = loop._checkpoint_clock("1 minutes")
    assert [due(step) for step in range(20)] == ([False] * 8 + [True]) * 2 + [False] * 2


@pytest.mark.parametrize("value", ["", "5", "0 steps", "5 hours", "steps", "1.5 minutes"])
def test_other_words_for_checkpoint_every_are_refused(recipe_file, value):
    with pytest.raises(DvaeError, match="checkpoint_every"):
        load_recipe(recipe_file, [f'train.checkpoint_every="{value}"'])


def test_the_best_checkpoint_is_kept(recipe_file, tmp_path):
    recipe = load_recipe(
        recipe_file, ["train.epochs=6", 'train.keep_best="highest test/knn_accuracy forced"']
    )
    run = run_recipe(recipe, tmp_path)
    values = [row["test/knn_accuracy"] for row in run.metrics()]
    best = torch.load(run.path / "checkpoints" / "best.pt", weights_only=True)
    assert best["epoch"] == 1 + values.index(max(values))
    assert (run.path / "checkpoints" / "best.pt.sha256").exists()


def test_the_state_of_callbacks_is_kept(recipe_file, tmp_path, install):
    install(
        "dvae-counting",
        """
        from dvae_core import Callback, hookimpl

        class Counting(Callback):
            "Counts epochs."
            name = "counting"
            _count: int = 0
            def epoch_finished(self, run):
                self._count += 1
                run.remember("count", self._count)
            def state(self):
                return {"count": self._count}
            def restore(self, state):
                self._count = state["count"]

        @hookimpl
        def register_callbacks():
            return [Counting]
        """,
    )
    recipe_file.write_text(recipe_file.read_text() + '[[callbacks]]\nname = "counting"\n')
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    again = resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=7"]))
    # The last checkpoint of a run is written before the listeners hear of its epoch.
    assert again.recall("count") in (6, 7)


# --- Disk.


@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13, 21])
def test_a_disk_that_fills_up_leaves_the_last_checkpoint_good(
    recipe_file, tmp_path, monkeypatch, nth
):
    """The n-th write after the first epoch fails, and every one after it."""
    real, count, armed = os.fsync, 0, []

    def fsync(descriptor):
        nonlocal count
        count += bool(armed)
        if count >= nth:
            raise OSError(28, "No space left on device")
        real(descriptor)

    class Arm(Watch):
        def epoch_finished(self, row):
            armed.append(row)

    monkeypatch.setattr(os, "fsync", fsync)
    recipe = load_recipe(recipe_file, ["train.epochs=12", "guidance.weight.length=20"])
    with pytest.raises(RunFolderError, match="No space left on device; free some space"):
        run_recipe(recipe, tmp_path / "cut", watch=Arm())
    monkeypatch.setattr(os, "fsync", real)
    cut = the_run(tmp_path / "cut")
    assert state(cut)["epoch"] >= 1
    assert not list(cut.path.rglob("*.tmp"))
    undisturbed = run_recipe(recipe, tmp_path / "whole")
    assert same_state(state(undisturbed), state(resume_run(cut.path)))


def test_a_disk_that_takes_no_more_writes_ends_the_run_in_words(
    recipe_file, tmp_path, monkeypatch, dvae
):
    """Read-only or over quota from the n-th change of the disk on, whatever change that is."""
    from dvae_core import load_run

    from .killable import count_disk_operations

    sets = ["--set", "train.epochs=2", "--set", "train.checkpoint_every='4 steps'"]
    sets += ["--set", "guidance.weight.length=10"]
    loaded, nth, code = 0, 0, 1
    while code:
        nth += 1
        out = tmp_path / f"{nth}"
        number = errno.EROFS if nth % 2 else errno.EDQUOT

        def fail(n, nth=nth, number=number):
            if n >= nth:
                raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            count_disk_operations(fail, patch.setattr)
            code, stdout, stderr = dvae("run", recipe_file, *sets, "--out", out)
        if not code:
            break
        assert (code, stdout) == (1, "")
        assert f"cannot be written: {os.strerror(number)}; free some space" in stderr, stderr
        assert "Traceback" not in stderr
        if list(out.glob("*/checkpoints/*.pt")):
            assert load_run(the_run(out).path).epoch >= 0
            loaded += 1
    assert nth > 50
    assert loaded > 30


def test_a_run_on_a_read_only_disk_can_be_looked_at(recipe_file, tmp_path, monkeypatch, dvae):
    from dvae_core import load_run

    from .killable import count_disk_operations

    run = run_recipe(load_recipe(recipe_file), tmp_path)

    def fail(n):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def refuse(lock):
        fail(0)

    monkeypatch.setattr("filelock.FileLock._acquire", refuse)
    count_disk_operations(fail, monkeypatch.setattr)
    assert load_run(run.path).encode(np.zeros((2, 1, 8, 8), np.uint8))[0].shape == (2, 2)
    code, _, err = dvae("run", "--resume", run.path, "--set", "train.epochs=5")
    assert code == 1
    assert f"{run.path}: cannot be written: Read-only file system" in err


def test_a_folder_that_vanishes_is_reported(recipe_file, tmp_path):
    class Remove(Watch):
        def epoch_finished(self, row):
            for run in tmp_path.glob("runs/*"):
                shutil.rmtree(run)

    with pytest.raises(RunFolderError, match="cannot be written: No such file or directory"):
        run_recipe(load_recipe(recipe_file), tmp_path / "runs", watch=Remove())


def test_too_little_space_is_said_before_the_start(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(RunFolderError, match=r"needs about \d+ MB and 0 MB are free"):
        run_recipe(load_recipe(recipe_file), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# --- Two at once.


def test_two_runs_of_the_same_second_get_two_folders(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *a: "20260101-120000")
    recipe = load_recipe(recipe_file, ["train.epochs=2"])
    assert run_recipe(recipe, tmp_path).path != run_recipe(recipe, tmp_path).path


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(
    long_recipe, tmp_path, monkeypatch
):
    from tests import killable

    text = long_recipe.read_text().replace("epochs = 12", "epochs = 5000")
    long_recipe.write_text(text)
    out = tmp_path / "runs"
    process = killable.CONTEXT.Process(target=killable.train, args=(str(long_recipe), str(out)))
    process.start()
    try:
        deadline = time.monotonic() + 600
        while not list(out.glob("*/checkpoints/*.pt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        run = the_run(out)
        with pytest.raises(RunFolderError, match="another process is training in this folder"):
            resume_run(run.path)
        # Reading is allowed meanwhile.
        from dvae_core import load_run

        assert load_run(run.path).encode(np.zeros((2, 1, 8, 8), np.uint8))[0].shape == (2, 2)
    finally:
        process.kill()
        process.join(600)
    with run.lock():
        pass


def test_a_run_can_be_read_at_any_moment_of_its_training(long_recipe, tmp_path, monkeypatch):
    from dvae_core import load_run
    from tests import killable

    text = long_recipe.read_text().replace("epochs = 12", "epochs = 5000")
    long_recipe.write_text(text.replace('"7 steps"', '"1 steps"'))
    out = tmp_path / "runs"
    process = killable.CONTEXT.Process(target=killable.train, args=(str(long_recipe), str(out)))
    process.start()
    try:
        deadline = time.monotonic() + 600
        while not list(out.glob("*/checkpoints/*.pt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        path, seen = the_run(out).path, []
        while (len(seen) < 100 or len(set(seen)) < 20) and time.monotonic() < deadline:
            run = load_run(path)
            assert np.isfinite(run.encode(np.zeros((2, 1, 8, 8), np.uint8))[0]).all()
            epochs = [row["epoch"] for row in run.metrics()]
            assert epochs == list(range(1, len(epochs) + 1))
            seen.append((run.epoch, run._state["epoch_step"]))
        assert process.is_alive()
        assert seen == sorted(seen)
        assert len(set(seen)) >= 20
    finally:
        process.kill()
        process.join(600)


def test_the_best_of_another_goal_is_set_aside(recipe_file, tmp_path):
    goal = "train.keep_best='{} test/knn_accuracy forced'"
    lowest, highest = (load_recipe(recipe_file, [goal.format(g)]) for g in ("lowest", "highest"))
    run = run_recipe(lowest, tmp_path)
    heard = Heard()
    more = load_recipe(recipe_file, [goal.format("highest"), "train.epochs=5"])
    again = resume_run(run.path, more, watch=heard)
    assert any("best-before.pt" in text for text in heard.warnings)
    accuracy = [row["test/knn_accuracy"] for row in again.metrics()]
    assert highest.train.keep_best != lowest.train.keep_best
    if accuracy[4] > max(accuracy[:4]):
        assert again.load_checkpoint("best")[0]["epoch"] == 5
    else:
        with pytest.raises(RunFolderError, match="the best epoch is not kept"):
            again.load_checkpoint("best")


def test_a_checkpoint_stays_good_where_one_of_its_name_cannot_be_written(
    recipe_file, tmp_path, monkeypatch
):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    state, _ = run.load_checkpoint()
    run.save_checkpoint(state | {"epoch": 1}, "best")
    write = checkpoints.write_atomically

    def full(file, data):
        if file.suffix == ".pt":
            raise DvaeError("the disk is full")
        write(file, data)

    monkeypatch.setattr(checkpoints, "write_atomically", full)
    with pytest.raises(DvaeError, match="full"):
        run.save_checkpoint(state | {"epoch": 2}, "best")
    assert run.load_checkpoint("best")[0]["epoch"] == 1
    monkeypatch.setattr(checkpoints, "write_atomically", write)
    run.save_checkpoint(state | {"epoch": 3}, "best")
    assert run.load_checkpoint("best")[0]["epoch"] == 3
    (line,) = (run.path / "checkpoints" / "best.pt.sha256").read_text().splitlines()
    assert line.endswith("  best.pt")


def test_a_checkpoint_that_goes_while_it_is_read_is_no_damage(recipe_file, tmp_path, monkeypatch):
    """A run that trains drops old checkpoints; whoever reads one of them takes a newer one."""
    from dvae_core.runs.checkpoints import Checkpoints

    run = run_recipe(load_recipe(recipe_file), tmp_path)
    real, read = Checkpoints._read, []

    def drop_then_read(self, file):
        if not read:
            for path in sorted(file.parent.iterdir()):
                path.rename(path.with_name(path.name.replace("000", "001")))
        read.append(file.name)
        return real(self, file)

    monkeypatch.setattr(Checkpoints, "_read", drop_then_read)
    last, warnings = run.load_checkpoint()
    assert read == ["epoch-0004.pt", "epoch-0014.pt"]
    assert (last["epoch"], warnings) == (4, [])


# --- Divergence.


def test_a_gradient_that_is_not_finite_stops_the_run_before_a_bad_checkpoint(
    recipe_file, tmp_path, install
):
    install(
        "dvae-steep",
        """
        from dvae_core import Term, hookimpl

        class Steep(Term):
            "A finite term with a gradient that is not, in the last step of an epoch."
            name = "steep"
            def build(self, model):
                steps = []
                def term(outputs, labels):
                    steps.append(1)
                    bad = len(steps) == 10
                    inner = outputs.mean * 0 if bad else outputs.mean.square() + 1
                    return 1e-9 * inner.sqrt().sum()
                return term

        @hookimpl
        def register_terms():
            return [Steep]
        """,
    )
    recipe_file.write_text(recipe_file.read_text() + '[[terms]]\nname = "steep"\n')
    with pytest.raises(Diverged) as caught:
        run_recipe(load_recipe(recipe_file), tmp_path / "runs")
    message = str(caught.value)
    assert "a gradient, and so the model, is no longer finite at step 10 (epoch 2)" in message
    assert "train.clip_grad_norm" in message
    assert "epoch-0001.pt" in message
    run = the_run(tmp_path / "runs")
    assert [f.stem for f in (run.path / "checkpoints").glob("*.pt")] == ["epoch-0001"]


def test_clipping_bounds_each_step(recipe_file, tmp_path):
    sets = ["optimizer.name=SGD", "optimizer.lr=1.0", "train.epochs=2"]
    sets += ["train.batch_size=240"]
    clipped = load_recipe(recipe_file, [*sets, "train.clip_grad_norm=0.001"])
    from dvae_core.model.data import load_data
    from dvae_core.training.state import Training

    training = Training(clipped, load_data(clipped.dataset))
    before = [p.detach().clone() for p in training.parameters]
    for batch in training.batches.epoch(0):
        training.take_step(*batch)
    moved = sum((p - b).square().sum() for p, b in zip(training.parameters, before, strict=True))
    assert moved.sqrt().item() == pytest.approx(0.001, rel=1e-3)


# --- Strangers' files.


def test_a_hostile_checkpoint_runs_nothing(recipe_file, tmp_path):
    import hashlib

    run = run_recipe(load_recipe(recipe_file), tmp_path / "runs")
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    for file in (run.path / "checkpoints").glob("*.pt"):
        torch.save({"epoch": 1, "epoch_step": 0, "model": Evil()}, file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n")
    with pytest.raises(RunFolderError, match="damaged checkpoint left out"):
        resume_run(run.path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../../up", "..", "a/b", "x\ny", "é" * 300, "$(id)", " "])
def test_no_name_leads_out_of_the_folder(recipe_file, tmp_path, name):
    recipe = load_recipe(recipe_file, ["train.epochs=2", f"title={json.dumps(name)}"])
    recipe._name = name
    run = run_recipe(recipe, tmp_path / "runs")
    assert run.path.parent == tmp_path / "runs"
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [run.path.name]
    assert load_recipe(run.path / "recipe.toml").title == name


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "3", '{"format": 1}', '{"format": 2}', '{"format": "1"}', "[" * 10_000,
        '{"format": 1, "components": [{}]}', '{"format": 1, "components": 3}', "x" * 11_000_000,
    ],
)  # fmt: skip
def test_a_run_json_that_makes_no_sense(recipe_file, tmp_path, text):
    run = run_recipe(load_recipe(recipe_file, ["train.epochs=2"]), tmp_path)
    (run.path / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"not a run folder|this version reads|damaged"):
        resume_run(run.path)


def test_a_run_of_another_format_is_refused_in_words(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, ["train.epochs=2"]), tmp_path)
    info = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(info | {"format": 99}))
    with pytest.raises(
        RunFolderError, match="run format 99, and this version reads 1; it was made"
    ):
        resume_run(run.path)


def test_a_run_written_by_the_first_version_can_be_read_and_resumed(tmp_path):
    from dvae_core import load_run

    path = tmp_path / "run"
    shutil.copytree(OLD_RUN, path)
    text = (path / "recipe.toml").read_text()
    (path / "recipe.toml").write_text(text.replace("BLOBS", str(OLD_RUN / "blobs.npz")))
    loaded = load_run(path)
    assert loaded.epoch == 2
    expected = np.load(OLD_RUN / "expected.npz")
    mean, log_var = loaded.encode(expected["images"])
    np.testing.assert_allclose(mean, expected["mean"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_var, expected["log_var"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loaded.decode(mean), expected["decoded"], rtol=1e-4, atol=1e-5)
    heard = Heard()
    recipe = load_recipe(path / "recipe.toml", ["train.epochs=3"])
    again = resume_run(path, recipe, watch=heard)
    assert [row["epoch"] for row in again.metrics()] == [1, 2, 3]
    # It was made elsewhere, which may be all that is said.
    said = "the bits of a run depend on what it is trained with"
    assert all(said in text for text in heard.warnings), heard.warnings


# --- Export.


def test_the_exported_networks_agree_with_pytorch(recipe_file, tmp_path, dvae):
    import onnxruntime
    from safetensors import safe_open

    from dvae_core import load_run

    run = run_recipe(load_recipe(recipe_file), tmp_path / "runs")
    code, out, err = dvae("export", run.path, "--out", tmp_path / "model")
    assert code == 0, err
    assert [Path(line).name for line in out.splitlines()] == [
        "model.safetensors",
        "encoder.onnx",
        "decoder.onnx",
    ]
    loaded = load_run(run.path)
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        assert file.metadata()["recipe"] == (run.path / "recipe.toml").read_text()
        assert json.loads(file.metadata()["classes"]) == ["0", "1", "2"]
        for name, tensor in loaded.model.state_dict().items():
            assert torch.equal(file.get_tensor(name), tensor)
    images = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "encoder.onnx")
    for ours, theirs in zip(
        loaded.encode(images), session.run(None, {"images": images}), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "decoder.onnx")
    for n in (1, 7):
        z = np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)
        np.testing.assert_allclose(
            loaded.decode(z), session.run(None, {"z": z})[0], rtol=1e-3, atol=1e-5
        )


def test_a_loaded_run_is_the_run(recipe_file, tmp_path):
    from dvae_core import load_run

    run = run_recipe(load_recipe(recipe_file), tmp_path)
    loaded = load_run(run.path)
    snapshot = loaded.snapshot()
    np.testing.assert_allclose(
        loaded.encode(snapshot.test_images)[0], snapshot.test_means, atol=1e-5
    )
    np.testing.assert_allclose(
        loaded.classify(snapshot.test_means), snapshot.classify(snapshot.test_means), atol=1e-5
    )
    assert loaded.metrics()[-1]["test/kl"] == pytest.approx(snapshot.test_losses()["kl"])
