"""The KL terms against closed forms, integrals and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from dvae_plugins.kls import ClassPriorKL, LaplaceKL
from scipy import stats
from scipy.integrate import quad
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from dvae_core.errors import RecipeError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.testing import check
from dvae_core.training.run import resume_run, run_recipe

from .helpers import rows, same_state, state

CLASSES = ("a", "b", "c", "d")
HIDDEN = torch.full((1,), -1)


def laplace(mean, log_var):
    """The term of one image, and its gradients."""
    mean = torch.tensor([mean], requires_grad=True)
    log_var = torch.tensor([log_var], requires_grad=True)
    value = LaplaceKL().build(mean.shape[1], CLASSES)(mean, log_var, HIDDEN)
    return value.item(), *(g[0].tolist() for g in torch.autograd.grad(value, (mean, log_var)))


@pytest.mark.parametrize(
    ("mean", "log_var"), [(0.0, 0.0), (1.5, 0.0), (-0.3, -3.0), (4.0, 1.2), (0.0, 5.0)]
)
def test_laplace_kl_is_the_integral(mean, log_var):
    q = stats.norm(mean, math.exp(0.5 * log_var))
    low, high = q.ppf([1e-14, 1 - 1e-14])
    expected, _ = quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.laplace.logpdf(z)), low, high, points=[0.0]
    )
    assert laplace([mean], [log_var])[0] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_laplace_kl_sums_over_dimensions():
    parts = [laplace([m], [v])[0] for m, v in ((0.4, -1.0), (-2.0, 0.7))]
    assert laplace([0.4, -2.0], [-1.0, 0.7])[0] == pytest.approx(sum(parts), rel=1e-6)


def test_laplace_kl_at_a_known_point():
    # Standard normal: E|z| = sqrt(2/pi); the pull on the mean is erf(mean / sqrt 2).
    value, pull, _ = laplace([0.0], [0.0])
    by_hand = math.log(2) + math.sqrt(2 / math.pi) - 0.5 * math.log(2 * math.pi * math.e)
    assert value == pytest.approx(by_hand, rel=1e-6)
    assert pull == [0.0]
    assert laplace([1.0], [0.0])[1] == [pytest.approx(math.erf(1 / math.sqrt(2)), rel=1e-6)]


@pytest.mark.parametrize("mean", [0.0, 1e-20, -3.0, 1e6])
@pytest.mark.parametrize("log_var", [-1000.0, -100.0, -60.0, 60.0, 150.0])
def test_laplace_kl_is_finite_far_out(mean, log_var):
    value, pull, stretch = laplace([mean], [log_var])
    entropy = 0.5 * (math.log(2 * math.pi * math.e) + log_var)
    spread = math.sqrt(2 / math.pi) * math.exp(0.5 * log_var)
    narrow = log_var < 0
    expected = abs(mean) if narrow else spread
    assert value == pytest.approx(math.log(2) + expected - entropy, rel=1e-5)
    assert np.isfinite([*pull, *stretch]).all()
    if narrow and abs(mean) > 1:
        assert pull == [math.copysign(1, mean)]
        assert stretch == [-0.5]


MEANS = ((0.0, 0.0), (3.0, 0.0), (0.0, -2.0), (1.0, 1.0))


def posteriors(n, dim=2):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(n, dim, generator=generator, requires_grad=True) for _ in range(2))


def test_the_class_prior_of_a_labelled_image_is_its_class():
    mean, log_var = posteriors(8)
    labels = torch.arange(8) % 4
    prior = Normal(torch.tensor(MEANS)[labels], 1.0)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), prior).sum(dim=1)
    kl = ClassPriorKL(means="given", coordinates=MEANS).build(2, CLASSES)
    torch.testing.assert_close(kl(mean, log_var, labels), expected)
    assert ClassPriorKL.divergence


def test_without_a_label_the_class_prior_bounds_the_divergence_to_the_mixture():
    mean, log_var = posteriors(6)
    hidden = torch.full((6,), -1)
    kl = ClassPriorKL(means="given", coordinates=MEANS).build(2, CLASSES)
    term = kl(mean, log_var, hidden)
    each = torch.stack([kl(mean, log_var, torch.full((6,), c)) for c in range(4)], dim=1)
    # The divergence from q(z) q(c) to p(z, c), at the best q(c): VaDE's bound.
    best = (-each).softmax(dim=1)
    expected = (best * (each + best.log() - math.log(1 / 4))).sum(dim=1)
    torch.testing.assert_close(term, expected)

    centres = torch.distributions.Independent(Normal(torch.tensor(MEANS), 1.0), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(4)), centres)
    q = torch.distributions.Independent(Normal(mean, (0.5 * log_var).exp()), 1)
    torch.manual_seed(0)
    z = q.sample((100_000,))
    by_chance = (q.log_prob(z) - mixture.log_prob(z)).mean(dim=0)
    assert (term >= by_chance - 0.02).all()
    # A narrow posterior on a mean far from the others knows its class: the bound is tight.
    certain = kl(torch.tensor([[30.0, 0.0]]), torch.tensor([[-9.0, -9.0]]), HIDDEN)
    own = kl(torch.tensor([[30.0, 0.0]]), torch.tensor([[-9.0, -9.0]]), torch.tensor([1]))
    assert certain.item() == pytest.approx(own.item() + math.log(4), rel=1e-5)


def test_learned_means_are_pulled_by_their_images_and_by_their_own_prior():
    kl = ClassPriorKL(width=2.0).build(2, CLASSES)
    (means,) = kl.parameters()
    mean, log_var = posteriors(3)
    labels = torch.tensor([0, 0, 2])
    evaluated = kl.eval()(mean, log_var, labels)
    trained = kl.train()(mean, log_var, labels)
    penalty = means.square().sum(dim=1).mean() / 8
    torch.testing.assert_close(trained, evaluated + penalty)
    (gradient,) = torch.autograd.grad(trained.mean(), means)
    pulls = means / 16
    pulls[0] = pulls[0] + (2 * means[0] - mean[0] - mean[1]) / 3
    pulls[2] = pulls[2] + (means[2] - mean[2]) / 3
    torch.testing.assert_close(gradient, pulls)


def test_class_prior_gradients_are_right():
    mean, log_var = (t.detach().double().requires_grad_() for t in posteriors(4))
    labels = torch.tensor([0, -1, 3, -1])
    kl = ClassPriorKL().build(2, CLASSES).double()
    assert torch.autograd.gradcheck(lambda m, v: kl(m, v, labels), (mean, log_var))
    far = kl(1e4 * mean, -50 * log_var.abs(), labels)
    assert torch.autograd.grad(far.sum(), mean)[0].isfinite().all()


def test_layouts_lie_in_the_first_two_dimensions():
    ring = ClassPriorKL(means="ring", radius=2.0).build(3, CLASSES).means
    by_hand = torch.tensor([[2.0, 0, 0], [0, 2, 0], [-2, 0, 0], [0, -2, 0]])
    torch.testing.assert_close(ring, by_hand, atol=1e-6, rtol=0)
    grid = ClassPriorKL(means="grid", spacing=4.0).build(2, (*CLASSES, "e")).means
    by_hand = torch.tensor([[-4.0, 2], [0, 2], [4, 2], [-4, -2], [0, -2]])
    torch.testing.assert_close(grid, by_hand)
    line = ClassPriorKL(means="grid", spacing=1.0).build(1, CLASSES).means
    torch.testing.assert_close(line, torch.tensor([[-1.5], [-0.5], [0.5], [1.5]]))
    with pytest.raises(ValueError, match=r"needs latent.dim = 2"):
        ClassPriorKL(means="ring").build(1, CLASSES)


@pytest.mark.parametrize(
    "kl",
    [ClassPriorKL(means="grid"), ClassPriorKL(width=0.5), LaplaceKL()],
    ids=["grid", "learned", "laplace"],
)
def test_kls_conform(kl):
    assert [o for o in check(kl) if o.status != "passed"] == []


GIVEN = ["kl.name=class_prior", "kl.means=given"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["kl.coordinates=[[0.0, 0.0]]"], "[kl] coordinates: 1 rows for 3 classes; give one row"),
        (["kl.coordinates=[[0, 0], [1, 1], [2]]"], "row 2 has 1 numbers, and latent.dim is 2"),
        ([], 'means = "given" needs coordinates = [[x, y], ...]'),
        (["kl.means=ring", "kl.coordinates=[[0, 0]]"], 'coordinates need means = "given"'),
    ],
)
def test_coordinates_that_do_not_fit_are_a_recipe_error(dvae, recipe_file, overrides, message):
    sets = [part for text in (*GIVEN, *overrides) for part in ("--set", text)]
    code, _, err = dvae("run", recipe_file, "--dry-run", *sets)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_learned_means_are_saved_and_resumed_exactly(recipe_file, tmp_path):
    def recipe(epochs):
        overrides = [f"train.epochs={epochs}", "kl.name=class_prior", "guidance.weight=1.0"]
        return load_recipe(recipe_file, [*overrides, "dataset.labelled_fraction=0.5"])

    at_once = run_recipe(recipe(4), tmp_path)
    half = run_recipe(recipe(2), tmp_path)
    means = state(half)["objective"]["kl.means"]
    assert means.shape == (3, 2)
    again = resume_run(half.path, recipe(4))
    assert same_state(state(at_once), state(again))
    assert rows(at_once) == rows(again)
    assert not torch.equal(state(again)["objective"]["kl.means"], means)
    with pytest.raises(RecipeError, match=r"kl.width is 1.0 and was 10.0"):
        resume_run(half.path, load_recipe(half.path / "recipe.toml", ["kl.width=1.0"]))
