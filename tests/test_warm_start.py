"""Runs that start with the weights of an earlier one."""

import pytest
import torch

from dvae_core.errors import RecipeError, RunFolderError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.training.run import prepare, resume_run, run_recipe
from dvae_core.training.warm_start import start_from

from .helpers import Heard, rows, same_state, state


class Stages(Watch):
    def __init__(self):
        self.stages = []

    def stage(self, text):
        self.stages.append(text)


@pytest.fixture
def earlier(recipe_file, tmp_path):
    return run_recipe(load_recipe(recipe_file), tmp_path / "earlier", name="one")


def test_all_that_fits_is_taken_and_said(earlier, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, [f"train.start_from={earlier.path}", "kl.name=square"])
    watch = Stages()
    run = run_recipe(recipe, tmp_path / "later", watch=watch)
    told = f"starts from {earlier.path}, epoch 4: encoder, posterior, decoder, head"
    assert told in watch.stages
    facts = run.info["start_from"]
    assert (facts["run"], facts["epoch"], facts["not_taken"]) == (str(earlier.path), 4, [])
    assert facts["data"] == earlier.info["data"]
    model = prepare(recipe, Watch()).model
    start_from(model, earlier.path)
    assert same_state(dict(model.state_dict()), dict(state(earlier)["model"]))
    # It starts where the other ended, and not where a new run starts.
    begun, first = earlier.metrics()[0], run.metrics()[0]
    assert first["train/reconstruction"] < begun["train/reconstruction"] / 2


def test_layers_are_taken_whole_or_not_at_all(earlier, recipe_file):
    recipe = load_recipe(recipe_file, ["encoder.hidden=[8]"])
    model = prepare(recipe, Watch()).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    facts = start_from(model, earlier.path)
    # The encoder has other widths, and so what reads it; the rest does not depend on these.
    assert {name.split(".")[0] for name in facts["taken"]} == {"decoder", "head"}
    assert {name.split(".")[0] for name in facts["not_taken"]} == {"encoder", "posterior"}
    for name in facts["not_taken"]:
        assert torch.equal(model.state_dict()[name], before[name])
    for name in facts["taken"]:
        assert torch.equal(model.state_dict()[name], state(earlier)["model"][name])


def test_a_run_that_goes_on_keeps_its_own_weights(earlier, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, [f"train.start_from={earlier.path}"])
    whole = run_recipe(recipe, tmp_path / "whole")
    short = load_recipe(recipe_file, [f"train.start_from={earlier.path}", "train.epochs=2"])
    cut = run_recipe(short, tmp_path / "cut")
    again = resume_run(cut.path, recipe)
    assert rows(again) == rows(whole)
    # Killed before its first checkpoint, it starts again from the other run's.
    for file in (cut.path / "checkpoints").iterdir():
        file.unlink()
    assert rows(resume_run(cut.path, recipe, watch=Heard())) == rows(whole)


def test_what_cannot_be_started_from_is_refused(earlier, recipe_file, tmp_path):
    with pytest.raises(RunFolderError, match="not a run folder"):
        run_recipe(load_recipe(recipe_file, ["train.start_from=nowhere"]), tmp_path / "a")
    other = ["encoder.hidden=[8]", "decoder.hidden=[8]", "guidance.hidden=[3]", "latent.dim=3"]
    with pytest.raises(RecipeError, match=r"no weights of .* fit"):
        run_recipe(load_recipe(recipe_file, [f"train.start_from={earlier.path}", *other]), tmp_path)
    assert not list(tmp_path.glob("small-*"))
