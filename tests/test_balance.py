"""What the loss weighs, by hand and in the units of papers."""

import json

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.recipe.balance import balance
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe
from dvae_core.training.state import Training

from .helpers import RECIPES


def test_the_originals_balance():
    recipe = load_recipe(RECIPES / "mnist_abs.toml")
    loss = balance(recipe, 60_000, (1, 28, 28))
    assert [(t.term, t.component, t.unit) for t in loss.terms] == [
        ("reconstruction", "squared_error", "nats"),
        ("kl", "abs", "its own"),
        ("guidance", "mlp", "nats"),
    ]
    assert "1 x 28 x 28 pixels" in loss.terms[0].reduction
    assert "2 dimensions" in loss.terms[1].reduction
    assert "labelled images" in loss.terms[2].reduction
    assert loss.terms[2].weight == pytest.approx((20, 0.01), abs=1e-3)
    # Half the KL's sum over two dimensions is their mean.
    assert loss.beta == (0.5, 0.5)
    assert loss.beta_norm == pytest.approx((0.5 * 2 / 784,) * 2)
    assert loss.no_bound == 'kl "abs" is no divergence'


def test_beta_is_between_scheduled_weights(recipe_file):
    ramp = "kl.weight={schedule='linear', start=0.0, end=3.0, length=20}"
    recipe = load_recipe(recipe_file, [ramp, "reconstruction.weight=2.0", "kl.name=square"])
    known = balance(recipe, 192, (1, 8, 8))
    assert known.beta == pytest.approx((0.0, 3.0 * 19 / 20 / 2))
    assert known.no_bound is None
    unknown = balance(recipe, None, None)
    assert (unknown.terms[1].weight, unknown.beta, unknown.beta_norm) == (None, None, None)
    nothing = load_recipe(recipe_file, ["reconstruction.weight=0.0"])
    assert balance(nothing, 192, (1, 8, 8)).beta is None


def test_beta_norm_is_the_weight_of_a_loss_of_means(recipe_file):
    """The gradient of our loss points where that of the loss of means with beta_norm does."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8, generator=generator).numpy()
    labels = (torch.arange(20) % 3).numpy()
    data = LabelledImages(images, labels, images, labels, ("a", "b", "c"))
    recipe = load_recipe(recipe_file, ["kl.name=square", "guidance.weight=0.0"])
    training = Training(recipe, data)
    outputs = training.model(torch.from_numpy(images) / 255, torch.randn(20, 2))
    loss, _ = training.objective(outputs, torch.from_numpy(labels), torch.tensor([1.0, 0.5, 0.0]))
    (beta_norm, _) = balance(recipe, 20, (1, 8, 8)).beta_norm
    mean, log_var = outputs.mean, outputs.log_var
    kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).mean()
    of_means = F.mse_loss(outputs.logits.sigmoid(), outputs.images) + beta_norm * kl
    torch.testing.assert_close(of_means, loss / 64)


def test_show_and_run_json_say_the_same(dvae, recipe_file, tmp_path):
    _, out, _ = dvae("show", RECIPES / "mnist_abs.toml")
    lines = [line.split() for line in out.splitlines()]
    (guidance,) = (line for line in lines if line[:3] == ["#", "guidance", "mlp"])
    assert guidance[-3:] == ["20", "→", "0.01"]
    assert ["#", "beta", "0.5"] in [line[:3] for line in lines]
    assert ["#", "beta_norm", "0.001276"] in [line[:3] for line in lines]
    assert '# There is no bound on the likelihood: kl "abs" is no divergence.' in out
    _, out, _ = dvae("show", RECIPES / "mnist_borders.toml")
    bound = "log p(image | label), and log p(image) where the label is hidden"
    assert f"# Reconstruction and KL at weight 1 give a bound on {bound}." in out

    run = run_recipe(load_recipe(recipe_file), tmp_path)
    kept = json.loads((run.path / "run.json").read_text())["loss"]
    assert kept["beta"] == [0.5, 0.5]
    assert kept["bound_on"] is None
    assert kept["beta_norm"] == pytest.approx([0.5 * 2 / 64] * 2)
    assert kept["terms"][2]["weight"] == pytest.approx([5.0, 0.1])
    ramp = "guidance.weight.length=20"
    slow = run_recipe(load_recipe(recipe_file, ["train.epochs=4", ramp]), tmp_path)
    longer = load_recipe(slow.path / "recipe.toml", ["train.epochs=5"])
    start, end = (_guidance(slow), _guidance(resume_run(slow.path, longer)))
    assert start == pytest.approx([5.0, 5.0 - 4.9 * 19 / 20])
    assert end == pytest.approx([5.0, 0.1])


def _guidance(run):
    return json.loads((run.path / "run.json").read_text())["loss"]["terms"][2]["weight"]


def test_show_says_what_only_the_data_can_tell(dvae, recipe_file):
    code, out, _ = dvae("show", recipe_file)
    assert code == 0
    assert "# beta_norm  ?" in out
    assert "# ? shows once the data is loaded" in out
