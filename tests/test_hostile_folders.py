"""Run and sweep folders from strangers: read within the folder, within bounds, and never obeyed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from dvae_core import load_run
from dvae_core.errors import DvaeError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.comparison import compare_runs
from dvae_core.training.run import resume_run, run_recipe

from .conftest import write_blobs, write_recipe


@pytest.fixture(autouse=True)
def _never_for_ever():
    """What hangs, on a pipe that nobody writes to, fails."""

    def late(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run that nobody has touched."""
    folder = tmp_path_factory.mktemp("good")
    write_blobs(folder)
    changes = ["train.epochs=2", 'evaluate.metrics=["knn", "borders"]', 'evaluate.plots=["latent"]']
    return run_recipe(load_recipe(write_recipe(folder), changes), folder, name="good").path


@pytest.fixture
def run(good, tmp_path, judged_after):
    """Its twin, beside a copy."""
    judged_after(10)
    shutil.copytree(good, tmp_path / "runs" / "good")
    return shutil.copytree(good, tmp_path / "runs" / "one")


@pytest.fixture
def longer(run):
    """The run's recipe, for more epochs than it has."""
    return load_recipe(run / "recipe.toml", ["train.epochs=4"])


# --- What is no file of the run's.

FILES = [
    "run.json",
    "recipe.toml",
    "metrics.jsonl",
    "checkpoints/epoch-0002.pt",
    "checkpoints/epoch-0002.pt.sha256",
    "figures/epoch-0002-latent.png",
    "evaluation/epoch-0002-borders.npz",
    "evaluation/epoch-0002-borders.json",
    "evaluation/means-0002.npz",
    "evaluation/posterior.npz",
]
NO_FILES = {
    "pipe": lambda file, secret: os.mkfifo(file),
    "device": lambda file, secret: file.symlink_to("/dev/zero"),
    "link": lambda file, secret: file.symlink_to(secret),
    "folder": lambda file, secret: file.mkdir(),
    "circle": lambda file, secret: file.symlink_to(file.name),
    "gap": lambda file, secret: os.truncate(os.open(file, os.O_CREAT | os.O_WRONLY), 2**40),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_of_the_run_is_not_opened(run, dvae, tmp_path, kind, name):
    secret = tmp_path / "secret"
    shutil.move(run / name, secret)
    NO_FILES[kind](run / name, secret)
    before = secret.read_bytes()
    code, out, err = dvae("compare", tmp_path / "runs")
    assert code == 0, err
    assert "good" in out
    looks = [["report", run]] if kind in ("link", "pipe") else []
    for command in (["evaluate", run, "--metric", "knn"], *looks, ["run", "--resume", run]):
        code, out, err = dvae(*command)
        assert code in (0, 1, 2)
        assert "dvae failed" not in err
        if kind == "link" and name.endswith(("run.json", "recipe.toml")):
            assert code != 0
    if kind == "link" and (run / "report.html").exists():
        page = (run / "report.html").read_text()
        assert base64.b64encode(before).decode()[:400] not in page
    assert secret.read_bytes() == before


@pytest.mark.parametrize("part", ["checkpoints", "figures", "evaluation", "morphs", "export"])
def test_a_part_that_leads_elsewhere_is_left_alone(run, dvae, tmp_path, part):
    other = tmp_path / "other"
    other.mkdir()
    if (run / part).exists():
        shutil.rmtree(run / part)
    if part == "checkpoints":
        shutil.copytree(tmp_path / "runs" / "good" / part, other, dirs_exist_ok=True)
    (other / ".mine.tmp").write_text("kept")
    (run / part).symlink_to(other)
    before = {file.name: file.read_bytes() for file in other.iterdir()}
    for command in (
        ["run", "--resume", run, "--set", "train.epochs=6"],
        ["evaluate", run],
        ["morph", run, "0", "1"],
        ["export", run],
        ["report", run],
    ):
        _, _, err = dvae(*command)
        assert "dvae failed" not in err
        assert {file.name: file.read_bytes() for file in other.iterdir()} == before


@pytest.mark.parametrize("name", ["report.html", "explore.html", "metrics.jsonl", ".lock"])
def test_nothing_is_written_through_a_link(run, dvae, tmp_path, monkeypatch, name):
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    for command in ("report", "explore", "evaluate"):
        dvae(command, run)
    dvae("run", "--resume", run, "--set", "train.epochs=6")
    assert victim.read_text() == "mine"


# --- Checkpoints.


def changed(run, change):
    """The run with a checkpoint that is changed and has a hash that fits."""
    file = run / "checkpoints" / "epoch-0002.pt"
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(digest)


def adam(key, make):
    def change(state):
        kept = state["optimizer"]["state"][0]
        kept[key] = make(kept[key])

    return change


def numpy_position(state):
    state["global_random"]["numpy"][2] = 10**9


CHANGES = {
    "short": adam("exp_avg", lambda kept: kept[:1]),
    "flat": adam("exp_avg_sq", lambda kept: kept.flatten()),
    "double": adam("exp_avg", lambda kept: kept.double()),
    "no tensor": adam("exp_avg", lambda kept: 1.0),
    "steps": adam("step", lambda kept: kept.expand(7)),
    "missing": lambda state: state["optimizer"]["state"][0].pop("exp_avg"),
    "more": lambda state: state["optimizer"]["state"][0].update(more=torch.zeros(1)),
    "another": lambda state: state["optimizer"]["state"].update({99: {}, "x": {"step": 1}}),
    "epoch_step": lambda state: state.update(epoch_step=10**12),
    "a step too far": lambda state: state.update(epoch_step=6),
    "epoch": lambda state: state.update(epoch=10**400),
    "negative": lambda state: state.update(epoch=-1),
    "ledger": lambda state: state["ledger"].update(totals=[1.0]),
    "images": lambda state: state["ledger"].update(images=-5),
    "ways": lambda state: state["optimizer"]["param_groups"][0].update(foreach=7),
    "groups": lambda state: state["optimizer"].update(param_groups=[]),
    "numpy's place": numpy_position,
    "callbacks": lambda state: state.update(callbacks=7),
    "noise": lambda state: state.update(noise=torch.full_like(state["noise"], 255)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_does_not_fit_is_refused(run, longer, change):
    for file in (run / "checkpoints").glob("epoch-0001*"):
        file.unlink()
    changed(run, CHANGES[change])
    with pytest.raises(DvaeError):
        resume_run(run, longer)


def test_state_without_memory_of_its_own_is_laid_out_anew(run, longer):
    def thin(state):
        for kept in state["optimizer"]["state"].values():
            kept["exp_avg"] = torch.zeros(()).expand(kept["exp_avg"].shape)

    changed(run, thin)
    assert len(resume_run(run, longer).metrics()) == 4


def test_keywords_are_the_recipe_s_and_not_the_checkpoint_s(run, longer):
    def change(state):
        state["optimizer"]["param_groups"][0].update(lr=1e30, betas="no", eps=7)

    plain = resume_run(shutil.copytree(run, run.with_name("plain")), longer)
    changed(run, change)
    odd = resume_run(run, longer)
    assert odd.metrics()[-1]["train/loss"] == plain.metrics()[-1]["train/loss"]


@pytest.mark.parametrize(
    "change",
    [
        lambda run: with_info(run, image_shape=[1, 20000, 20000]),
        lambda run: with_recipe(run, "hidden = [", "hidden = [1000000000, "),
        lambda run: with_recipe(run, "dim = 2", "dim = 1000000000"),
    ],
)
def test_a_model_larger_than_its_weights_is_never_built(run, change, monkeypatch):
    filled = []
    fill = torch.nn.Linear.reset_parameters

    def reset(layer):
        filled.append(layer.weight.nbytes)
        fill(layer)

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", reset)
    change(run)
    for take_up in (load_run, resume_run):
        with pytest.raises(DvaeError):
            take_up(run)
    assert max(filled, default=0) < 1e6


def with_info(run, **changes):
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | changes))


def with_recipe(run, old, new):
    text = (run / "recipe.toml").read_text()
    assert old in text
    (run / "recipe.toml").write_text(text.replace(old, new))


def test_a_bomb_among_the_maps_is_passed_over(run):
    file = run / "evaluation" / "epoch-0002-borders.npz"
    np.savez_compressed(
        file,
        region_map=np.zeros((20_000, 20_000), np.int16),
        region_x=np.zeros(20_000),
        region_y=np.zeros(20_000),
    )
    from dvae_core.latent.borders.kept_maps import kept_maps

    assert 2 not in [epoch for epoch, _ in kept_maps(run)]


def test_runs_can_be_compared_beside_what_is_no_run(run, tmp_path):
    assert [row.runs[0].name for row in compare_runs([tmp_path / "runs"]).rows]


# --- Words.

STEERING = "\x1b]0;mine\x07\x1b[2J\x9b31m\u202e"
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in STEERING)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: with_info(run, classes=[STEERING, "b", "c"]),
        lambda run: with_info(run, status="failed", error=STEERING),
        lambda run: with_info(run, status=STEERING),
        lambda run: with_info(run, format=STEERING),
        lambda run: with_recipe(run, 'name = "npz"', f'name = "{ESCAPED}"'),
        lambda run: (run / "metrics.jsonl").write_text(
            json.dumps({"epoch": 2, f"test/{STEERING}": 1.0}) + "\n"
        ),
    ],
    ids=["class", "error", "status", "format", "recipe", "metric"],
)  # fmt: skip
def test_nothing_that_a_folder_says_steers_the_terminal(run, dvae, spoil):
    spoil(run)
    for command in (
        ["compare", run.parent],
        ["compare", run.parent, "--csv"],
        ["compare", run.parent, "--markdown"],
        ["evaluate", run, "--metric", "knn"],
        ["morph", run, "nobody", "b"],
        ["run", "--resume", run],
    ):
        _, out, err = dvae(*command)
        assert not set(out + err) & set(STEERING) - set("];0mine[2J31m"), (command, out, err)
