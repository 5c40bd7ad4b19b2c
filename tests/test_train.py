"""The loop: that it learns, resumes exactly, repeats itself, and ends well when it must."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from dvae_core.errors import Diverged, Interrupted, RecipeError, RunFolderError
from dvae_core.model.batches import Batches
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe import optimizers
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.training.run import resume_run, run_recipe

from .forked import Forked
from .helpers import Heard, rows, same_state, state


@pytest.mark.slow
def test_training_learns_and_leaves_a_complete_folder(recipe_file, tmp_path):
    recipe = load_recipe(
        recipe_file,
        [
            "train.epochs=30",
            "guidance.weight.length=100",
            "evaluate.every=30",
            'evaluate.plots=["latent"]',
        ],
    )
    run = run_recipe(recipe, tmp_path / "runs")
    metrics = run.metrics()
    assert [row["epoch"] for row in metrics] == list(range(1, 31))
    assert metrics[-1]["step"] == 30 * 5
    assert metrics[-1]["train/reconstruction"] < 0.5 * metrics[0]["train/reconstruction"]
    assert metrics[-1]["test/knn_accuracy"] > 0.95
    assert metrics[-1]["train/guidance_accuracy"] > 0.95
    first = metrics[0]
    assert first["train/guidance_weight"] == pytest.approx(5 - 4.9 * 4 / 100)
    assert set(first) == {
        "epoch", "step", "seconds", "images_per_second", "train/loss", "train/reconstruction",
        "train/kl", "train/guidance", "train/guidance_accuracy", "train/reconstruction_weight",
        "train/kl_weight", "train/guidance_weight", "test/reconstruction", "test/kl",
    }  # fmt: skip
    files = sorted(str(f.relative_to(run.path)) for f in run.path.rglob("*") if f.is_file())
    assert [f for f in files if "figures" not in f] == [
        ".lock",
        "checkpoints/epoch-0029.pt",
        "checkpoints/epoch-0029.pt.sha256",
        "checkpoints/epoch-0030.pt",
        "checkpoints/epoch-0030.pt.sha256",
        "evaluation/means-0030.npz",
        "evaluation/posterior.npz",
        "metrics.jsonl",
        "recipe.toml",
        "run.json",
    ]
    assert [f for f in files if "figures" in f] == ["figures/epoch-0030-latent.png"]
    info = json.loads((run.path / "run.json").read_text())
    assert info["status"] == "finished"
    assert info["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"kind": "kl", "name": "abs", "plugin": "kls", "distribution": "dvae-core",
            "version": info["versions"]["dvae-core"]} in info["components"]  # fmt: skip
    resolved = load_recipe(run.path / "recipe.toml")
    assert resolved.to_table() == recipe.to_table()


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bits_whatever_is_evaluated(recipe_file, tmp_path):
    bare = run_recipe(load_recipe(recipe_file, ["evaluate.metrics=[]"]), tmp_path)
    full = run_recipe(
        load_recipe(
            recipe_file,
            [
                'evaluate.metrics=["knn", "linear_probe", "silhouette"]',
                'evaluate.plots=["latent", "manifold", "reconstructions", "weights"]',
            ],
        ),
        tmp_path,
    )
    assert same_state(state(bare), state(full))
    other = run_recipe(load_recipe(recipe_file, ["seed=2"]), tmp_path)
    assert not same_state(state(bare)["model"], state(other)["model"])


def test_ten_epochs_are_five_and_five(recipe_file, tmp_path):
    at_once = run_recipe(load_recipe(recipe_file, ["train.epochs=10"]), tmp_path)
    half = run_recipe(load_recipe(recipe_file, ["train.epochs=5"]), tmp_path)
    again = resume_run(half.path, load_recipe(half.path / "recipe.toml", ["train.epochs=10"]))
    assert same_state(state(at_once), state(again))
    assert rows(at_once) == rows(again)


class StopAt(Watch):
    """Sends this process a signal once so many steps are done."""

    def __init__(self, step, number=signal.SIGINT, times=1):
        self.step, self.number, self.times = step, number, times

    def stepped(self, step, means):
        if step >= self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
                time.sleep(0.01)  # two at once would be one


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not(recipe_file, tmp_path, number, code):
    recipe = load_recipe(recipe_file, ["train.batch_size=2"])
    whole = run_recipe(recipe, tmp_path / "whole")
    with pytest.raises(Interrupted) as caught:
        run_recipe(recipe, tmp_path / "cut", watch=StopAt(200, number))
    assert caught.value.exit_code == code
    (path,) = (tmp_path / "cut").iterdir()
    assert f"dvae run --resume {path}" in str(caught.value)
    assert json.loads((path / "run.json").read_text())["status"] == "interrupted"
    # 96 steps an epoch; those who watch hear every 50 steps of an epoch.
    assert (path / "checkpoints" / "epoch-0002-step-0000050.pt").exists()
    again = resume_run(path)
    assert same_state(state(whole), state(again))
    assert rows(whole) == rows(again)
    assert again.info["status"] == "finished"


def test_a_second_signal_acts_at_once(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, ["train.batch_size=2"])
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, tmp_path, watch=StopAt(100, times=2))
    (path,) = (p for p in tmp_path.iterdir() if p.name.startswith("small-"))
    assert resume_run(path).info["status"] == "finished"


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    whole = state(run)
    newest = run.path / "checkpoints" / "epoch-0004.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match=r"epoch-0004\.pt: damaged checkpoint left out"):
        again = resume_run(run.path)
    assert same_state(whole, state(again))
    assert len(again.metrics()) == 4
    for file in (run.path / "checkpoints").glob("*.pt"):
        file.write_bytes(b"")
    with pytest.raises(RunFolderError, match="no good checkpoint"):
        resume_run(run.path)


def test_a_finished_run_has_nothing_to_go_on_with(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    with pytest.warns(UserWarning, match=r"all 4 epochs are done already.*train\.epochs=8"):
        resume_run(run.path)


def test_resuming_another_experiment_is_refused(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    with pytest.raises(RecipeError, match=r"optimizer\.lr is 0\.5 and was 0\.01"):
        resume_run(run.path, load_recipe(recipe_file, ["optimizer.lr=0.5"]))


EXPLODING = """
from dvae_core import Term, hookimpl

class Exploding(Term):
    "Stops being a number once the model has seen enough images."
    name = "exploding"
    after: int = 13
    def build(self, model):
        import torch
        seen = []
        def term(outputs, labels):
            seen.append(1)
            return torch.log(torch.tensor(self.after - len(seen) + 1e-3)) * outputs.z.mean()
        return term

@hookimpl
def register_terms():
    return [Exploding]
"""


def test_a_loss_that_is_not_finite_stops_the_run_with_all_that_helps(
    recipe_file, tmp_path, install
):
    install("dvae-exploding", EXPLODING)
    recipe_file.write_text(recipe_file.read_text() + '[[terms]]\nname = "exploding"\n')
    with pytest.raises(Diverged) as caught:
        run_recipe(load_recipe(recipe_file), tmp_path / "runs")
    message = str(caught.value)
    assert "no longer finite at step 14 (epoch 3)" in message
    assert "exploding nan (weight 1)" in message
    assert "kl " in message
    assert "guidance " in message
    assert "epoch-0002.pt" in message
    assert "smaller learning rate" in message
    (path,) = (tmp_path / "runs").iterdir()
    info = json.loads((path / "run.json").read_text())
    assert info["status"] == "failed"
    assert "step 14" in info["error"]
    assert all(torch.isfinite(t).all() for t in state(resume_folder(path))["model"].values())


def resume_folder(path):
    from dvae_core.runs.folder import RunFolder

    return RunFolder.open(path)


LISTENERS = """
from dvae_core import Callback, Metric, Plot, hookimpl

class Grumpy(Callback):
    "Fails in the second epoch."
    name = "grumpy"
    def epoch_finished(self, metrics):
        print("epoch", metrics["epoch"])
        if metrics["epoch"] == 2:
            raise RuntimeError("enough")

class Bad(Metric):
    "Is never finite."
    name = "bad"
    def measure(self, snapshot):
        return {"fine": 1.0, "bad": float("nan")}

class Ugly(Plot):
    "Cannot draw."
    name = "ugly"
    def draw(self, snapshot):
        raise ZeroDivisionError("no ink")

@hookimpl
def register_callbacks():
    return [Grumpy]
@hookimpl
def register_metrics():
    return [Bad]
@hookimpl
def register_plots():
    return [Ugly]
@hookimpl
def run_finished(status):
    print("the run has", status)
"""


def test_small_data_is_trained_on_for_more_epochs(recipe_file, tmp_path):
    """192 images are 3 steps of 64, so that 20 steps take 7 epochs where 2 were asked for."""
    changes = ["train.epochs=2", "train.batch_size=64", "train.min_steps=20", "evaluate.every=2"]
    changes += ["guidance.weight=1.0", "evaluate.metrics=['knn']"]
    run = run_recipe(load_recipe(recipe_file, changes), tmp_path)
    found = run.metrics()
    assert (len(found), found[-1]["step"]) == (7, 21)
    assert [row["epoch"] for row in found if "test/knn_accuracy" in row] == [7]
    table = run.recipe_table
    assert (table["train"]["epochs"], table["evaluate"]["every"]) == (7, 7)
    # It goes on as it is, and what is long enough stays as it is.
    longer = run.load_recipe(load_registry(), ["train.epochs=8"])
    resumed = resume_run(run.path, longer)
    assert resumed.metrics()[-1]["epoch"] == 8
    assert "min_steps" not in resumed.recipe_table["train"]
    heard = Heard()  # what a sweep that is resumed does with its recipe
    again = resume_run(run.path, load_recipe(recipe_file, changes), watch=heard)
    assert again.metrics() == resumed.metrics()
    assert any("all 8 epochs are done already" in text for text in heard.warnings)


def test_epochs_that_are_laid_over_count_alone():
    changes = ["train.min_steps=100", "train.epochs=9"]
    assert load_recipe("mnist_abs", changes).train.min_steps is None
    assert load_recipe("mnist_abs", changes[::-1]).train.min_steps == 100
    assert load_recipe("mnist_abs", changes[::-1]).fitted(64).train.epochs == 100


def test_listeners_metrics_and_plots_that_fail_do_not_end_a_run(
    recipe_file, tmp_path, install, capsys
):
    install("dvae-listeners", LISTENERS)
    text = recipe_file.read_text().replace('["knn"]', '["bad", "knn"]\nplots = ["ugly"]')
    recipe_file.write_text(text + '[[callbacks]]\nname = "grumpy"\n')
    watch = Heard()
    run = run_recipe(load_recipe(recipe_file, ["evaluate.every=2"]), tmp_path, watch=watch)
    out = capsys.readouterr().out
    assert out == "epoch 1\nepoch 2\nthe run has finished\n"
    grumpy = [w for w in watch.warnings if "grumpy" in w]
    assert grumpy == [
        'callback "grumpy" failed in epoch_finished and is switched off: RuntimeError: enough'
    ]
    assert 'metric "bad" failed: ValueError: bad is nan' in watch.warnings
    assert 'plot "ugly" failed: ZeroDivisionError: no ink' in watch.warnings
    assert [row.get("test/knn_accuracy") is not None for row in run.metrics()] == [
        False,
        True,
        False,
        True,
    ]


def test_an_extra_term_is_trained_weighted_and_reported(recipe_file, tmp_path, install):
    install(
        "dvae-pull",
        """
        from dvae_core import Term, hookimpl

        class Pull(Term):
            "A learned scale on the size of z."
            name = "pull"
            def build(self, model):
                import torch
                class Scale(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.scale = torch.nn.Parameter(torch.ones(()))
                    def forward(self, outputs, labels):
                        assert outputs.class_logits.shape[1] == len(model.classes)
                        return self.scale ** 2 * outputs.z.square().mean()
                return Scale()

        @hookimpl
        def register_terms():
            return [Pull]
        """,
    )
    recipe_file.write_text(recipe_file.read_text() + '[[terms]]\nname = "pull"\nweight = 2.0\n')
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    assert run.metrics()[-1]["train/pull_weight"] == 2.0
    assert run.metrics()[-1]["train/pull"] < run.metrics()[0]["train/pull"]
    (name,) = state(run)["objective"]
    assert state(run)["objective"][name] < 1
    resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=5"]))


def test_bfloat16_learns_the_same_thing(recipe_file, tmp_path):
    full = run_recipe(load_recipe(recipe_file), tmp_path)
    half = run_recipe(load_recipe(recipe_file, ["train.precision=bfloat16"]), tmp_path)
    a, b = full.metrics()[-1]["train/loss"], half.metrics()[-1]["train/loss"]
    assert a != b
    assert a == pytest.approx(b, rel=0.05)


def test_hidden_labels_are_seen_by_evaluation_alone(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, ["dataset.labelled_fraction=0.0"]), tmp_path)
    last = run.metrics()[-1]
    assert last["train/guidance"] == 0
    assert last["train/guidance_accuracy"] == 0
    assert last["test/knn_accuracy"] > 0.5


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch, skip=0):
        batches = Batches(
            np.zeros((10, 1, 2, 2), np.uint8),
            np.arange(10),
            batch_size=4,
            seed=seed,
            device=torch.device("cpu"),
        )
        return [i for _, labels, _ in batches.epoch(epoch, skip) for i in labels.tolist()]

    assert sorted(order(0, 0)) == list(range(10))
    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 3, skip=1) == order(0, 3)[4:]


def test_a_schedule_too_long_for_own_data_is_refused_before_a_folder_is_made(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, ["guidance.weight.length=9000"])
    with pytest.raises(RecipeError, match="settles at 9000 steps and the run has 20"):
        run_recipe(recipe, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_optimizer_that_torch_refuses_is_a_recipe_error(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, ["optimizer.lr=-1.0"])
    with pytest.raises(RecipeError, match=r"torch\.optim\.Adam refused: Invalid learning rate"):
        run_recipe(recipe, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_device_that_is_not_there_is_a_recipe_error(recipe_file, tmp_path):
    with pytest.raises(RecipeError, match="is not available on this machine"):
        run_recipe(load_recipe(recipe_file, ["train.device=cuda:99"]), tmp_path)


def test_an_out_that_cannot_be_written_leaves_nothing_behind(recipe_file, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        run_recipe(load_recipe(recipe_file), file / "runs")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        run_recipe(load_recipe(recipe_file), tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_the_command_survives_being_killed(recipe_file, tmp_path):
    """The real thing: SIGKILL at some moment, resume, the same bits as never killed."""
    overrides = ["train.epochs=40", "guidance.weight.length=100"]
    sets = [a for o in overrides for a in ("--set", o)]
    command = [sys.executable, "-m", "dvae_core", "run", str(recipe_file), *sets, "--out"]
    process = Forked([*command, str(tmp_path / "cut")], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch  5/40"):
            process.kill()
            break
    process.stderr.close()
    process.wait(timeout=600)
    (path,) = (tmp_path / "cut").iterdir()
    assert json.loads((path / "run.json").read_text())["status"] == "running"
    again = resume_run(path)
    whole = run_recipe(load_recipe(recipe_file, overrides), tmp_path / "whole")
    assert same_state(state(whole), state(again))
    assert rows(whole) == rows(again)


@pytest.mark.slow
def test_a_terminated_command_says_how_to_go_on(recipe_file, tmp_path):
    command = [sys.executable, "-m", "dvae_core", "run", str(recipe_file)]
    command += ["--set", "train.epochs=100000", "--out", str(tmp_path)]
    process = Forked(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch"):
            process.terminate()
            break
    out, err = process.communicate(timeout=600)
    assert process.returncode == 143
    assert out == ""
    assert "go on with: dvae run --resume" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_an_animation_shows_every_epoch_of_a_plot(recipe_file, tmp_path):
    from PIL import Image

    recipe = load_recipe(
        recipe_file,
        ['evaluate.plots=["regions", "weights"]', 'callbacks=[{name = "animation"}]'],
    )

    class Linked(Watch):
        def stage(self, text):
            link = tmp_path / "small" / "figures" / "regions.gif"
            if link.parent.exists() and not link.is_symlink():
                link.symlink_to(tmp_path / "elsewhere.gif")

    (tmp_path / "elsewhere.gif").write_text("mine")
    run = run_recipe(recipe, tmp_path, name="small", watch=Linked())
    assert (tmp_path / "elsewhere.gif").read_text() == "mine"
    with Image.open(run.path / "figures" / "regions.gif") as movie:
        assert movie.n_frames == 4
        with Image.open(run.path / "figures" / "epoch-0001-regions.png") as first:
            assert movie.size == first.size
    assert not (run.path / "figures" / "weights.gif").exists()


def test_an_optimizer_takes_one_pass_unless_the_recipe_says_how(recipe_file, tmp_path):
    fast = run_recipe(load_recipe(recipe_file), tmp_path)
    slow = run_recipe(load_recipe(recipe_file, ["optimizer.fused=false"]), tmp_path)
    assert state(fast)["optimizer"]["param_groups"][0]["fused"] is True
    assert state(slow)["optimizer"]["param_groups"][0]["fused"] is False
    for a, b in zip(state(fast)["model"].values(), state(slow)["model"].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


def test_a_run_goes_on_with_the_optimizer_that_it_began_with(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(optimizers, "_fusible", lambda parameters: False)
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    monkeypatch.undo()
    resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=5"]))
    assert not state(run)["optimizer"]["param_groups"][0]["fused"]
