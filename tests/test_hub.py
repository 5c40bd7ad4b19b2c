"""Runs that are shown to others, on a stand-in for the hub, and taken up from there."""

import json
import os
import sys

import numpy as np
import pytest
import torch

from dvae_core import load_run
from dvae_core.errors import DvaeError, RunFolderError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.card import card
from dvae_core.runs.checkpoints import WEIGHTS
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.hub import at_hand, is_address, push
from dvae_core.runs.published import publish
from dvae_core.training.run import resume_run, run_recipe

from .helpers import same_state
from .hub_stub import Hub

ADDRESS = "hf://ada/digits"


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    yield made
    made.close()


@pytest.fixture
def run(recipe_file, tmp_path):
    changes = ['evaluate.plots=["latent"]', 'kl={name="class_prior", weight=0.5}']
    return run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs", name="one")


def test_what_comes_back_is_the_same_run_bit_for_bit(hub, run):
    assert push(run, ADDRESS) == f"{hub.address}/ada/digits"
    ours, theirs = load_run(run.path), load_run(ADDRESS)
    assert theirs.folder.path != run.path
    assert theirs.epoch == ours.epoch == 4
    assert same_state(ours._trained, theirs._trained)  # the KL's parameters too
    images = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(ours.encode(images), theirs.encode(images))
    assert ours.evaluate().values == theirs.evaluate().values
    assert theirs.metrics() == ours.metrics()
    assert "memory" not in theirs.folder.info


def test_only_what_is_data_is_sent(hub, run):
    push(run, ADDRESS)
    assert set(hub.repositories["ada/digits"]) == {
        "README.md", "recipe.toml", "run.json", "metrics.jsonl", WEIGHTS,
        "figures/epoch-0004-latent.png",
    }  # fmt: skip
    held = hub.repositories["ada/digits"][WEIGHTS]
    length = int.from_bytes(held[:8], "little")
    assert json.loads(held[8 : 8 + length])["__metadata__"] == {"format": "pt", "epoch": "4"}


def test_an_earlier_epoch_takes_the_place_of_the_last(hub, run):
    push(run, ADDRESS)
    push(run, ADDRESS, 3)
    names = set(hub.repositories["ada/digits"])
    assert "figures/epoch-0003-latent.png" in names
    assert "figures/epoch-0004-latent.png" not in names
    theirs = load_run(ADDRESS)
    assert (theirs.epoch, len(theirs.metrics())) == (3, 3)
    with pytest.raises(RunFolderError, match="of epoch 3 alone"):
        load_run(ADDRESS, 4)


def test_commands_take_an_address(hub, run, dvae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = dvae("push", run.path, ADDRESS, "--private")
    assert (status, out) == (0, f"{hub.address}/ada/digits\n")
    assert hub.private == {"ada/digits": True}
    status, out, err = dvae("evaluate", ADDRESS, "--json")
    ours = json.loads(dvae("evaluate", run.path, "--json")[1])
    assert json.loads(out) | {"run": ""} == ours | {"run": ""}, err
    status, out, err = dvae("explore", ADDRESS, "--html", "page.html")
    assert status == 0, err
    assert (tmp_path / "page.html").stat().st_size > 10_000
    status, out, err = dvae("show", ADDRESS)
    assert (status, "class_prior" in out) == (0, True), err
    assert not list(tmp_path.glob("hf*"))


def test_what_was_fetched_serves_where_the_hub_cannot_be_had(hub, run, monkeypatch):
    push(run, ADDRESS)
    before = at_hand(ADDRESS)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert at_hand(ADDRESS) == before
    with pytest.raises(RunFolderError, match="hf://ada/other: cannot be had from the hub"):
        load_run("hf://ada/other")


def test_a_repository_that_is_not_there_or_holds_no_run(hub):
    with pytest.raises(RunFolderError, match="cannot be had from the hub"):
        load_run(ADDRESS)
    hub.repositories["ada/digits"] = {"README.md": b"# something else"}
    with pytest.raises(RunFolderError, match="holds no run that `dvae push` has put there"):
        load_run(ADDRESS)


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_hub_that_refuses_is_told_in_words(hub, run, refusal):
    hub.refusal = refusal
    with pytest.raises(DvaeError, match=r"the hub does not take it: .* `hf auth login`"):
        push(run, ADDRESS)


@pytest.mark.parametrize("address", ["hf://ada", "hf:///x/y", "hf://a/b/c", "ada/digits", "hf://"])
def test_an_address_that_is_none(address, run):
    with pytest.raises(RunFolderError, match="write hf://user/name"):
        push(run, address)


@pytest.mark.parametrize(
    ("text", "known"), [("hf://a/b", True), ("hf:/a/b", True), ("runs/a", False), ("hf", False)]
)
def test_what_is_an_address(text, known):
    assert is_address(text) == known


def test_a_run_from_others_does_not_go_on(hub, run):
    push(run, ADDRESS)
    theirs = at_hand(ADDRESS)
    with pytest.raises(RunFolderError, match=r"nothing to go on with; train\.start_from"):
        resume_run(theirs, load_recipe(theirs / "recipe.toml", ["train.epochs=6"]))


def test_a_new_run_starts_with_its_weights(hub, run, recipe_file, tmp_path):
    push(run, ADDRESS)
    recipe = load_recipe(recipe_file, [f'train.start_from="{at_hand(ADDRESS)}"'])
    started = run_recipe(recipe, tmp_path / "new")
    assert started.info["start_from"]["epoch"] == 4


@pytest.mark.parametrize(
    "broken",
    [b"", b"\xff" * 40, b"\x10\0\0\0\0\0\0\0{}              "],
    ids=["empty", "absurd length", "no epoch"],
)
def test_weights_from_strangers_end_in_words(run, tmp_path, broken):
    folder = tmp_path / "theirs"
    folder.mkdir()
    publish(run, folder, address=ADDRESS)
    (folder / WEIGHTS).write_bytes(broken)
    with pytest.raises(RunFolderError, match=f"{WEIGHTS}: damaged"):
        load_run(folder)
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)  # which nobody writes to
    with pytest.raises(RunFolderError, match="no regular file"):
        load_run(folder)


def test_weights_of_another_model_end_in_words(run, tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "theirs"
    folder.mkdir()
    publish(run, folder, address=ADDRESS)
    save_file({"model.x": torch.zeros(3)}, folder / WEIGHTS, metadata={"epoch": "1"})
    with pytest.raises(RunFolderError, match="the checkpoint does not fit the recipe"):
        load_run(folder)


def test_what_is_no_tensor_stays_here(run, tmp_path):
    folder = RunFolder.open(run.path)
    state, _ = folder.load_checkpoint()
    state["model"]["encoder._extra_state"] = {"seen": 3}
    folder.save_checkpoint(state)
    (tmp_path / "out").mkdir()
    with pytest.raises(RunFolderError, match=r"encoder\._extra_state is a dict"):
        publish(folder, tmp_path / "out", address=ADDRESS)
    assert not list((tmp_path / "out").iterdir())


def test_a_card_says_nothing_but_itself():
    info = {
        "name": "run",
        "title": "<script>alert(1)</script> ![x](http://x)",
        "classes": ["a|b", "**c**", "\x1b[2J\nd"],
        "image_shape": [1, 8, 8],
        "plugins": {"other": "1.0"},
        "versions": {"torch": "2"},
    }
    rows = [{"epoch": 2, "test/a|b": 0.12345, "train/loss": 1.0, "test/none": None}]
    text = card(info, rows, 'title = "```"\n', ["epoch-0002-latent.png"], 2, ADDRESS)
    assert r"\<script\>alert(1)\</script\> \!\[x\](http://x)" in text
    assert r"a\|b, \*\*c\*\*, \\x1b\[2J" in text
    assert r"| test/a\|b | 0.1235 |" in text
    assert "train/loss" not in text
    assert 'pip install "dvae-core[hub]" "other==1.0"' in text
    assert '````toml\ntitle = "```"\n````' in text
    assert "![epoch-0002-latent.png](figures/epoch-0002-latent.png)" in text


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DvaeError, match=r'pip install "dvae-core\[hub\]"'):
        load_run(ADDRESS)


def test_a_recipe_from_the_hub_is_trained_anew(hub, run, dvae, tmp_path):
    push(run, ADDRESS)
    status, out, err = dvae("run", ADDRESS, "--out", tmp_path / "again")
    assert status == 0, err
    again = RunFolder.open(out.strip())
    assert [row["train/loss"] for row in again.metrics()] == [
        row["train/loss"] for row in run.metrics()
    ]
