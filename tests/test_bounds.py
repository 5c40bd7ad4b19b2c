"""Bounds on the likelihood against models whose likelihood is known."""

import math

import numpy as np
import pytest
import torch
from dvae_plugins.kls import ClassPriorKL, LaplaceKL, SquareKL
from dvae_plugins.metrics import IWAE
from dvae_plugins.reconstructions import Bernoulli, SquaredError
from scipy import stats
from scipy.integrate import quad
from torch import nn

from dvae_core import Encoder, LabelledImages, Reconstruction
from dvae_core.errors import RecipeError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.testing.toys import toy_recipe, toy_registry
from dvae_core.training.state import Training

SHAPE = (1, 1, 4)
CLASSES = ("a", "b", "c")
CORNERS = ((1.0, 0.0), (0.0, 1.5), (-2.0, -1.0))
# The columns are orthogonal, so that the exact posterior has independent dimensions.
W = np.array([[0.5, 0.5], [0.5, -0.5], [-0.3, 0.3], [0.3, 0.3]])
B = np.array([0.5, 0.4, 0.6, 0.5])
PRECISIONS = 1 + 2 * np.diag(W.T @ W)


class Pixels(Encoder):
    """The pixels as they are."""

    name = "pixels"

    def build(self, image_shape):
        return nn.Flatten()


class Linear(Reconstruction):
    """Squared error without an output activation."""

    name = "linear"

    def image(self, logits):
        return logits

    def loss(self, logits, images):
        return (logits - images).square().flatten(1).sum(dim=1)

    def log_constant(self, pixels):
        return -0.5 * pixels * math.log(math.pi)


def linear_gaussian(kl, **keys):
    """x = W z + B + noise of variance 1/2, and the exact posterior under a standard prior."""
    registry = toy_registry(Pixels, Linear, type(kl))
    table = kl.model_dump(mode="json")
    recipe = toy_recipe(registry, encoder={"name": "pixels"}, reconstruction={"name": "linear"},
                        kl=table, latent={"dim": W.shape[1]}, **keys)  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)
    labels = np.arange(40) % 3
    training = Training(recipe, LabelledImages(images, labels, images, labels, CLASSES))
    parameters = {
        "posterior.to_mean.weight": (2 * W / PRECISIONS).T,
        "posterior.to_mean.bias": -(2 * W / PRECISIONS).T @ B,
        "posterior.to_log_var.weight": np.zeros((2, 4)),
        "posterior.to_log_var.bias": -np.log(PRECISIONS),
        "decoder.0.weight": W,
        "decoder.0.bias": B,
    }
    for name, value in parameters.items():
        training.model.get_parameter(name).data = torch.tensor(value, dtype=torch.float32)
    training.train(False)
    return training, images.reshape(40, 4) / 255


def exact(x, mean=(0.0, 0.0)):
    """log p(x) where the prior is N(mean, 1)."""
    return stats.multivariate_normal(B + W @ mean, W @ W.T + np.eye(4) / 2).logpdf(x)


EVERY = np.arange(40)


def test_with_the_exact_posterior_one_sample_is_enough():
    training, x = linear_gaussian(SquareKL())
    bounds = training.snapshot().log_likelihood(EVERY, samples=1)
    np.testing.assert_allclose(bounds, exact(x), atol=1e-4)
    some = training.snapshot().log_likelihood(np.array([7, 3]), samples=2)
    np.testing.assert_allclose(some, exact(x)[[7, 3]], atol=1e-4)


def test_with_another_posterior_the_bound_grows_to_the_likelihood():
    training, x = linear_gaussian(SquareKL())
    training.model.posterior.to_log_var.bias.data += 0.5
    training.model.posterior.to_mean.bias.data += 0.3
    snapshot = training.snapshot()
    means = [snapshot.log_likelihood(EVERY, samples=k).mean() for k in (1, 5, 500)]
    truth = exact(x).mean()
    # One sample gives the ELBO: the likelihood less the divergence of the two posteriors.
    apart = 0.5 * (np.exp(0.5) + 0.09 * PRECISIONS - 1 - 0.5).sum()
    assert means[0] == pytest.approx(truth - apart, abs=0.25)
    assert means[0] < means[1] < means[2] < truth + 0.01
    assert means[2] == pytest.approx(truth, abs=0.02)


def test_the_bound_of_a_class_prior_is_about_the_mixture():
    training, x = linear_gaussian(ClassPriorKL(means="given", coordinates=CORNERS))
    truth = np.log(np.mean([np.exp(exact(x, c)) for c in CORNERS], axis=0))
    training.model.posterior.to_log_var.bias.data += 1
    bounds = training.snapshot().log_likelihood(EVERY, samples=3000)
    np.testing.assert_allclose(bounds, truth, atol=0.15)
    assert bounds.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_with_labels_shown_a_class_prior_bounds_another_likelihood():
    """With the exact posterior under N(m_y, 1), minus the loss is log p(x | y): above log p(x)."""
    training, x = linear_gaussian(ClassPriorKL(means="given", coordinates=CORNERS))
    bounds = []
    for y, corner in enumerate(CORNERS):
        mean = ((x - B) @ W * 2 + corner) / PRECISIONS
        variance = np.tile(1 / PRECISIONS, (40, 1))
        # The expected squared error of W z + B over the posterior N(mean, variance), by hand.
        error = ((x - B - mean @ W.T) ** 2).sum(axis=1) + variance @ (W**2).sum(axis=0)
        posterior = [torch.tensor(a, dtype=torch.float32) for a in (mean, np.log(variance))]
        kl = training.objective.kl(*posterior, torch.full((40,), y)).detach().numpy()
        bounds.append(Linear().log_constant(4) - error - kl)
        np.testing.assert_allclose(bounds[-1], exact(x, corner), atol=1e-4)
    mixture = np.log(np.mean([np.exp(exact(x, c)) for c in CORNERS], axis=0))
    assert (np.max(bounds, axis=0) > mixture).all()


def test_what_is_bounded(recipe_file):
    assert load_recipe(recipe_file).bound_on is None
    assert load_recipe(recipe_file, ["kl.name=laplace"]).bound_on == "log p(image)"
    bound = load_recipe(recipe_file, ["kl.name=class_prior"]).bound_on
    assert bound == "log p(image | label), and log p(image) where the label is hidden"


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_which_beta_a_weight_of_the_kl_is(weight):
    """Squared error + w KL is 2 (half of it + w/2 KL), and w (NLL of variance w/2 + KL)."""
    logits = torch.tensor([[[[0.3, -1.0]]]])
    shown = logits.sigmoid().numpy()
    cases = [(np.array([[[[0.7, 0.1]]]]), 0.7), (np.array([[[[0.0, 0.9]]]]), 2.0)]

    def apart(loss):
        """Of two images with their KLs: constants fall out."""
        (one, other) = (loss(image, kl) for image, kl in cases)
        return one - other

    def of_papers(variance, beta):
        noise = stats.norm(shown, math.sqrt(variance))
        return apart(lambda image, kl: -noise.logpdf(image).sum() + beta * kl)

    squared = SquaredError()
    ours = apart(lambda image, kl: squared.loss(logits, torch.tensor(image)).item() + weight * kl)
    assert ours == pytest.approx(2 * of_papers(variance=1, beta=weight / 2), rel=1e-5)
    assert ours == pytest.approx(weight * of_papers(variance=weight / 2, beta=1), rel=1e-5)


def test_the_bound_of_a_laplace_prior():
    training, x = linear_gaussian(LaplaceKL())

    def likelihood(image):
        # The columns of W are orthogonal, so that p(x) is a product over the dimensions.
        rest = image - B
        product = np.exp(-rest @ rest) * math.pi**-2
        for column in W.T:
            product *= quad(
                lambda z, w=column: np.exp(2 * z * (w @ rest) - z * z * (w @ w) - abs(z)) / 2,
                -30, 30, points=[0.0],
            )[0]  # fmt: skip
        return product

    truth = np.log([likelihood(image) for image in x])
    bounds = training.snapshot().log_likelihood(EVERY, samples=3000)
    np.testing.assert_allclose(bounds, truth, atol=0.15)
    assert bounds.mean() == pytest.approx(truth.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("kl", "density"),
    [
        (SquareKL(), stats.norm.logpdf),
        (LaplaceKL(), stats.laplace.logpdf),
    ],
)
def test_the_prior_is_read_off_the_divergence(kl, density):
    z = np.random.default_rng(0).normal(0, 3, (50, 2))
    model = linear_gaussian(kl)[0].model
    log_prior = model.log_prior(torch.tensor(z, dtype=torch.float32))
    np.testing.assert_allclose(log_prior, density(z).sum(axis=1), atol=1e-4)


def test_reconstructions_are_densities():
    logits, image = torch.tensor([[[[0.3, -1.0]]]]), torch.tensor([[[[0.7, 0.1]]]])
    squared = SquaredError().log_constant(2) - SquaredError().loss(logits, image)
    density = stats.norm(logits.sigmoid().numpy(), math.sqrt(0.5)).logpdf(image.numpy()).sum()
    assert squared.item() == pytest.approx(density, rel=1e-5)
    grey = Bernoulli().log_constant(1) - Bernoulli().loss(logits[..., :1], image[..., :1])
    white, black = (
        -Bernoulli().loss(logits[..., :1], torch.full((1, 1, 1, 1), v)) for v in (1.0, 0.0)
    )
    assert grey.item() == pytest.approx((0.7 * white + 0.3 * black).item(), rel=1e-5)


def test_iwae_takes_a_seeded_choice_of_images():
    training, x = linear_gaussian(SquareKL())
    value = IWAE(images=10, samples=1).measure(training.snapshot())
    assert value == IWAE(images=10, samples=1).measure(training.snapshot())
    chosen = training.snapshot().random("iwae").permutation(40)[:10]
    assert value == {"iwae": pytest.approx(exact(x)[chosen].mean(), abs=1e-4)}


def test_a_recipe_without_a_bound_is_refused(dvae, recipe_file):
    code, out, err = dvae("validate", recipe_file, "--set", 'evaluate.metrics=["knn", "iwae"]')
    assert (code, out) == (2, "")
    assert '"iwae" needs a bound on the likelihood, and kl "abs" is no divergence' in err
    load_recipe(recipe_file, ["evaluate.metrics=['iwae']", "kl.name=square"])


class Odd(Linear):
    """No likelihood."""

    name = "odd"

    def log_constant(self, pixels):
        return None


def test_a_snapshot_without_a_bound_gives_no_number():
    registry = toy_registry(Odd, IWAE)
    with pytest.raises(RecipeError, match="is no log-likelihood"):
        toy_recipe(registry, reconstruction={"name": "odd"}, evaluate={"metrics": ["iwae"]})
    recipe = toy_recipe(registry, reconstruction={"name": "odd"})
    assert recipe.no_bound == 'reconstruction "odd" is no log-likelihood'
    snapshot = Training(recipe, recipe.dataset.load(None)).snapshot()
    with pytest.raises(ValueError, match="no bound on the likelihood"):
        snapshot.log_likelihood(EVERY, 1)
