"""The KL terms against closed forms, integrals and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from dvae_plugins.kls import LaplaceKL
from scipy import stats
from scipy.integrate import quad

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
