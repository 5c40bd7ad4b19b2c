"""Reconstructions that are likelihoods, against SciPy's and torch's; and those with parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from dvae_plugins.reconstructions import ContinuousBernoulli, Gaussian, Poisson, SquaredError
from scipy import stats
from torch import nn

from dvae_core import load_run
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe

from .helpers import rows, same_state, state

SHAPE = (1, 2, 3)


def log_p(component, logits, images, built=None):
    pixels = math.prod(images.shape[1:])
    return component.log_constant(pixels) - (built or component).loss(logits, images)


def test_gaussian_with_a_fixed_width():
    component = Gaussian(noise="fixed", std=0.3)
    logits, images = torch.randn(5, *SHAPE), torch.rand(5, *SHAPE)
    expected = stats.norm(logits.sigmoid(), 0.3).logpdf(images).reshape(5, -1).sum(axis=1)
    np.testing.assert_allclose(log_p(component, logits, images), expected, rtol=1e-5)
    halves = Gaussian(noise="fixed", std=math.sqrt(0.5))
    torch.testing.assert_close(log_p(halves, logits, images), log_p(SquaredError(), logits, images))


def test_gaussian_with_a_width_for_each_pixel():
    component = Gaussian(noise="pixel", least=0.02)
    assert component.channels((3, 4, 4)) == 6
    logits, images = torch.randn(5, 2, 2, 3), torch.rand(5, *SHAPE)
    mean, raw = logits[:, :1], logits[:, 1:].double()
    std = 0.02 * (1 + torch.exp(raw) / 0.02)  # exp(softplus(r - f) + f) = e^f + e^r
    expected = stats.norm(mean.sigmoid(), std).logpdf(images).reshape(5, -1).sum(axis=1)
    np.testing.assert_allclose(log_p(component, logits, images), expected, rtol=1e-5)
    torch.testing.assert_close(component.image(logits), mean.sigmoid())


def test_the_learned_width_becomes_the_errors_own():
    """The best standard deviation of all is the root of the mean squared error."""
    component = Gaussian(std=0.5)
    built = component.build(SHAPE)
    assert built.log_std.exp().item() == pytest.approx(0.5, rel=1e-5)
    torch.manual_seed(0)
    logits = torch.zeros(2000, *SHAPE)
    images = 0.5 + 0.17 * torch.randn(2000, *SHAPE)
    optimizer = torch.optim.Adam(built.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        built.loss(logits, images).mean().backward()
        optimizer.step()
    assert built.log_std.exp().item() == pytest.approx(0.17, rel=0.02)


@pytest.mark.parametrize("logit", [-12.0, -3.0, -0.21, -0.19, -1e-3, 0.0, 0.15, 0.3, 9.0])
def test_continuous_bernoulli(logit):
    component = ContinuousBernoulli()
    logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    theirs = torch.distributions.ContinuousBernoulli(logits=torch.tensor(logit).double())
    for x in (0.0, 0.3, 1.0):
        image = torch.full((1, 1, 1, 1), x)
        expected = theirs.log_prob(torch.tensor(x).double()).item()
        assert log_p(component, logits, image).item() == pytest.approx(expected, abs=2e-4)
    assert component.image(logits).item() == pytest.approx(theirs.mean.item(), abs=1e-4)
    # The gradient of the loss is the mean less the image.
    component.loss(logits, torch.full((1, 1, 1, 1), 0.3)).sum().backward()
    assert logits.grad.item() == pytest.approx(theirs.mean.item() - 0.3, abs=1e-4)


@pytest.mark.parametrize(("scale", "count"), [(255, 0), (255, 17), (16, 16), (5000, 3217)])
def test_poisson_counts_as_many_as_there_are(scale, count):
    component = Poisson(scale=scale)
    logit = torch.full((1, 1, 1, 1), 0.4)
    rate = scale * math.log1p(math.exp(0.4))
    image = torch.full((1, 1, 1, 1), count / scale)
    expected = stats.poisson(rate).logpmf(count)
    assert log_p(component, logit, image).item() == pytest.approx(expected, rel=1e-4, abs=1e-2)


def test_poisson_is_finite_far_out():
    logits = torch.tensor([-300.0, -15.0, 300.0]).view(3, 1, 1, 1).requires_grad_()
    loss = Poisson().loss(logits, torch.full((3, 1, 1, 1), 0.5))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("noise", ["learned", "pixel"])
def test_what_is_learned_is_kept_found_by_name_and_goes_on_exactly(recipe_file, tmp_path, noise):
    changes = ["reconstruction.name=gaussian", f"reconstruction.noise={noise}"]
    whole = run_recipe(load_recipe(recipe_file, changes), tmp_path / "whole")
    half = run_recipe(load_recipe(recipe_file, [*changes, "train.epochs=2"]), tmp_path / "half")
    done = resume_run(half.path, load_recipe(recipe_file, changes))
    assert rows(done)[2:] == rows(whole)[2:]
    assert same_state(state(done)["model"], state(whole)["model"])
    loaded = load_run(done.path)
    snapshot = loaded.snapshot()
    assert snapshot.test_losses()["reconstruction"] == rows(done)[-1]["test/reconstruction"]
    assert loaded.decode(np.zeros((3, 2))).shape == (3, 1, 8, 8)
    if noise == "learned":
        raw = loaded.parameters["reconstruction.raw"]
        assert raw == state(done)["model"]["reconstruction.raw"].item()
        assert raw != Gaussian().build(SHAPE).raw.item()
        assert snapshot.parameters["reconstruction.raw"] == raw


def test_parameters_of_kls_and_terms_are_found_by_name(recipe_file, tmp_path, install):
    install(
        "dvae-critic",
        """
        import torch
        from dvae_core import Term, hookimpl

        class Critic(Term):
            "Asks what reconstruction and KL say, and keeps a scale of its own."
            name = "train.critic"

            def build(self, model):
                class Asks(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.scale = torch.nn.Parameter(torch.tensor(0.5))

                    def forward(self, outputs, labels):
                        error = model.reconstruction.loss(outputs.logits, outputs.images)
                        other = model.sample(outputs.images, torch.zeros_like(outputs.mean))
                        assert torch.equal(other.z, other.mean)
                        kl = model.kl(outputs.mean, outputs.log_var, labels)
                        bound = error + outputs.log_q - model.log_prior(outputs.z)
                        return (self.scale * (bound - error - kl)).square().mean()

                return Asks()

        @hookimpl
        def register_terms():
            return [Critic]
        """,
    )
    path = recipe_file
    path.write_text(path.read_text() + '\n[[terms]]\nname = "train.critic"\nweight = 0.1\n')
    changes = ["kl.name=class_prior", "kl.weight=0.5"]
    run = run_recipe(load_recipe(path, changes), tmp_path)
    kept = state(run)["objective"]
    loaded = load_run(run.path)
    for found in (loaded.parameters, loaded.snapshot().parameters):
        assert found["kl.means"].shape == (3, 2)
        np.testing.assert_array_equal(found["kl.means"], kept["kl.means"])
        np.testing.assert_array_equal(found["kl.means"], loaded.snapshot().class_means)
        assert 0 < found["terms.train/critic.scale"] < 0.5
    # An earlier version gave such terms numbers.
    from dvae_core.training.state import Training

    recipe = load_recipe(path, changes)
    training = Training(recipe, recipe.dataset.load(tmp_path))
    old = {k.replace("terms.train/critic", "_modules_of_terms.0"): v for k, v in kept.items()}
    training.objective.load_state_dict(old)
    assert same_state(dict(training.objective.state_dict()), dict(kept))
    assert isinstance(training.objective, nn.Module)
