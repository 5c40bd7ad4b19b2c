"""Posteriors, and what KLs and bounds make of them: against known answers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from dvae_plugins.kls import SquareKL
from dvae_plugins.posteriors import Diagonal, FullCovariance
from torch.distributions import MultivariateNormal, kl_divergence

from dvae_core import KL, IndependentNormal, LabelledImages, Posterior, Sample, load_run
from dvae_core.errors import RecipeError
from dvae_core.model.data import load_data
from dvae_core.recipe.recipe import load_recipe
from dvae_core.testing.toys import toy_recipe, toy_registry
from dvae_core.training.run import resume_run, run_recipe
from dvae_core.training.state import Training

from .helpers import OLD_RUN, rows, same_state, state
from .test_bounds import CLASSES, EVERY, SHAPE, Linear, Pixels, stats

# The columns are not orthogonal, so that the exact posterior has dimensions that hang together.
W = np.array([[0.9, 0.7], [0.5, 0.8], [-0.3, -0.6], [0.3, 0.3]])
B = np.array([0.5, 0.4, 0.6, 0.5])
COVARIANCE = np.linalg.inv(np.eye(2) + 2 * W.T @ W)


def training_with(posterior, *components, kl="toy", **keys):
    registry = toy_registry(Pixels, Linear, type(posterior), *components)
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)
    labels = np.arange(40) % 3
    recipe = toy_recipe(registry, encoder={"name": "pixels"}, reconstruction={"name": "linear"},
                        posterior={"name": posterior.name}, kl={"name": kl}, **keys)  # fmt: skip
    training = Training(recipe, LabelledImages(images, labels, images, labels, CLASSES))
    training.train(False)
    return training, images.reshape(40, 4) / 255


def exact_training():
    """x = W z + B + noise of variance 1/2, with its exact posterior."""
    training, x = training_with(FullCovariance(), SquareKL, kl="square")
    lower = np.linalg.cholesky(COVARIANCE)
    parameters = {
        "posterior.base.to_mean.weight": 2 * COVARIANCE @ W.T,
        "posterior.base.to_mean.bias": -2 * COVARIANCE @ W.T @ B,
        "posterior.base.to_log_var.weight": np.zeros((2, 4)),
        "posterior.base.to_log_var.bias": 2 * np.log(np.diag(lower)),
        "posterior.to_below.bias": lower[[1], [0]],
        "decoder.0.weight": W,
        "decoder.0.bias": B,
    }
    for name, value in parameters.items():
        training.model.get_parameter(name).data = torch.tensor(value, dtype=torch.float32)
    return training, x


def test_with_the_exact_covariance_one_sample_is_enough():
    training, x = exact_training()
    truth = stats.multivariate_normal(B, W @ W.T + np.eye(4) / 2).logpdf(x)
    bounds = training.snapshot().log_likelihood(EVERY, samples=1)
    np.testing.assert_allclose(bounds, truth, atol=1e-4)
    np.testing.assert_allclose(
        training.snapshot().test_log_vars, np.tile(np.log(np.diag(COVARIANCE)), (40, 1)), atol=1e-5
    )


def test_the_kl_of_a_full_covariance_is_the_divergence():
    training, x = exact_training()
    images = torch.tensor(x, dtype=torch.float32).view(40, *SHAPE)
    outputs = training.model(images, torch.randn(40, 2))
    q = MultivariateNormal(outputs.mean, torch.tensor(COVARIANCE, dtype=torch.float32))
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    labels = torch.full((40,), -1)
    torch.testing.assert_close(training.objective.kl_of(outputs, labels), kl_divergence(q, prior))
    torch.testing.assert_close(outputs.log_q, q.log_prob(outputs.z))
    # Without what its dimensions have in common it would be too small.
    of_marginals = training.objective.kl(outputs.mean, outputs.log_var, labels)
    assert (kl_divergence(q, prior) - of_marginals > 0.1).all()
    measured = training.snapshot().test_losses()["kl"]
    assert measured == pytest.approx(kl_divergence(q, prior).mean().item(), rel=1e-5)


def test_a_full_covariance_starts_as_the_diagonal():
    features, noise = torch.randn(6, 5), torch.randn(6, 3)
    samples = []
    for component in (Diagonal(), FullCovariance()):
        torch.manual_seed(0)
        samples.append(component.build(5, 3)(features, noise))
    one, other = samples
    torch.testing.assert_close(one.z, other.z)
    torch.testing.assert_close(one.log_density, other.log_density)
    torch.testing.assert_close(other.correlation, torch.zeros(6), atol=1e-6, rtol=0)


def test_diagonal_is_what_a_recipe_without_a_posterior_has(recipe_file, tmp_path):
    without = run_recipe(load_recipe(recipe_file), tmp_path / "without")
    named = run_recipe(load_recipe(recipe_file, ["posterior.name=diagonal"]), tmp_path / "named")
    assert rows(without) == rows(named)
    assert same_state(state(without)["model"], state(named)["model"])


def test_a_plain_autoencoder(recipe_file, tmp_path):
    changes = ["posterior.name=deterministic", "kl.name=square", "kl.weight=1.0"]
    recipe = load_recipe(recipe_file, changes)
    assert recipe.no_bound == 'posterior "deterministic" is a point, without a density'
    run = run_recipe(recipe, tmp_path)
    snapshot = load_run(run.path).snapshot()
    penalty = 0.5 * (snapshot.test_means.astype(np.float64) ** 2).sum(axis=1).mean()
    assert rows(run)[-1]["test/kl"] == pytest.approx(penalty, rel=1e-5)
    with pytest.raises(RecipeError, match=r'"iwae" needs a bound .* is a point'):
        load_recipe(recipe_file, [*changes, "evaluate.metrics=['iwae']"])


class Laplace(Posterior):
    """Double exponential dimensions."""

    name = "laplace"

    def build(self, features, latent_dim):
        class Sampler(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.to_mean = torch.nn.Linear(features, latent_dim)
                self.log_scale = torch.nn.Parameter(torch.tensor(-1.0))

            def forward(self, features, noise):
                mean = self.to_mean(features)
                q = torch.distributions.Laplace(mean, self.log_scale.exp())
                z = q.icdf(torch.special.ndtr(noise).clamp(1e-6, 1 - 1e-6))
                log_var = (math.log(2) + 2 * self.log_scale).expand_as(mean)
                return Sample(z, mean, log_var, q.log_prob(z).sum(dim=1))

        return Sampler()


class Normal(torch.nn.Module):
    def log_prior(self, z):
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1)

    def forward(self, mean, log_var, labels, outputs):
        return outputs.log_q - self.log_prior(outputs.z)


class Sampled(KL):
    """By one sample, to N(0, 1)."""

    name = "sampled"
    divergence = True
    given_outputs = True

    def build(self, latent_dim, classes):
        return Normal()


class Mute(Sampled):
    """To an unknown prior."""

    name = "mute"

    def build(self, latent_dim, classes):
        return Normal().forward


def test_a_posterior_of_another_shape_has_its_own_density_in_the_bound():
    training, x = training_with(Laplace(), Sampled, kl="sampled")
    for name, value in {"weight": W, "bias": B}.items():
        training.model.get_parameter(f"decoder.0.{name}").data = torch.tensor(value).float()
    truth = stats.multivariate_normal(B, W @ W.T + np.eye(4) / 2).logpdf(x)
    bounds = training.snapshot().log_likelihood(EVERY, samples=4000)
    np.testing.assert_allclose(bounds, truth, atol=0.3)
    assert bounds.mean() == pytest.approx(truth.mean(), abs=0.03)


class Told(IndependentNormal):
    """Says more of its sample than the usual one."""

    def forward(self, features, noise):
        sample = super().forward(features, noise)
        return Richer(**vars(sample), extra=features.sum(dim=1))


@dataclasses.dataclass(frozen=True)
class Richer(Sample):
    extra: torch.Tensor | None = None


class Telling(Posterior):
    """Independent dimensions, and a word more."""

    name = "telling"
    family = "independent normal"

    def build(self, features, latent_dim):
        return Told(features, latent_dim)


class Curious(KL):
    """Looks at all that it is given."""

    name = "curious"
    given_outputs = True

    def build(self, latent_dim, classes):
        def kl(mean, log_var, labels, outputs):
            assert outputs.class_logits.shape == (len(mean), len(classes))
            return outputs.sample.extra.square() + outputs.class_logits.softmax(dim=1)[:, 0]

        return kl


def test_a_kl_is_given_the_same_in_an_evaluation_as_in_a_step():
    registry = toy_registry(Telling, Curious)
    recipe = toy_recipe(registry, posterior={"name": "telling"}, kl={"name": "curious"})
    training = Training(recipe, load_data(recipe.dataset))
    images, labels, _ = next(iter(training.batches.epoch(0)))
    training.take_step(images, labels)
    assert training.snapshot().test_losses()["kl"] > 0


def test_a_prior_that_says_nothing_is_refused_in_words():
    training, _ = training_with(Laplace(), Mute, kl="mute")
    with pytest.raises(ValueError, match="has no log_prior, which would say its prior's density"):
        training.snapshot().log_likelihood(EVERY, samples=1)


def test_kls_that_do_not_know_a_posterior_are_refused():
    with pytest.raises(
        RecipeError, match='kl "toy" knows normal posteriors alone, and posterior "lap'
    ):
        training_with(Laplace())
    with pytest.raises(RecipeError, match='kl "toy" knows posteriors with independent dimensions'):
        training_with(FullCovariance())


@pytest.mark.parametrize("posterior", ["full_covariance", "deterministic"])
def test_it_goes_on_exactly_after_a_kill(recipe_file, tmp_path, posterior):
    changes = [f"posterior.name={posterior}", "kl.name=square"]
    whole = run_recipe(load_recipe(recipe_file, changes), tmp_path / "whole")
    half = run_recipe(load_recipe(recipe_file, [*changes, "train.epochs=2"]), tmp_path / "half")
    done = resume_run(half.path, load_recipe(recipe_file, changes))
    assert rows(done)[2:] == rows(whole)[2:]
    assert same_state(state(done)["model"], state(whole)["model"])


def test_checkpoints_from_before_posteriors_are_read():
    old = torch.load(OLD_RUN / "checkpoints" / "epoch-0002.pt", weights_only=True)["model"]
    assert "to_mean.weight" in old
    found = load_run(OLD_RUN).parameters
    np.testing.assert_array_equal(found["posterior.to_mean.weight"], old["to_mean.weight"])
