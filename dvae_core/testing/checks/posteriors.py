"""Posteriors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dvae_core.plugin.given import Sample
from dvae_core.plugin.kinds import Posterior
from dvae_core.testing.checks.register import B, check, disturbed, expect_shape, must

F = 7
MANY = 40_000


@check("posterior")
def gives_a_sample(posterior: Posterior) -> None:
    for b, d in ((B, 2), (1, 1), (B, 5)):
        network, features, noise = _built(posterior, d), torch.randn(b, F), torch.randn(b, d)
        sample = network(features, noise)
        must(isinstance(sample, Sample), f"gives {type(sample).__name__}, not a dvae_core.Sample")
        for tensor in (sample.z, sample.mean, sample.log_var):
            expect_shape(tensor, (b, d))
            must(tensor.dtype == torch.float32, f"gives {tensor.dtype}, not float32")
        with torch.autocast("cpu", torch.bfloat16):
            low = network(features, noise)
        for tensor in (low.z, low.mean, low.log_var):
            told = f"gives {tensor.dtype} in a bfloat16 run, not float32; call .float()"
            must(tensor.dtype == torch.float32, told)
        if posterior.family == "point":
            must(sample.log_density is None, "is a point, and says a density")
            continue
        must(sample.log_density is not None, "says neither log_q nor noise: it has no density")
        expect_shape(_density(sample), (b,))
        if posterior.family == "normal":
            must(sample.correlation is not None, 'is "normal", and says no correlation')


@check("posterior")
def has_a_mean_without_noise(posterior: Posterior) -> None:
    network, features = _built(posterior, 2).eval(), torch.randn(B, F)
    one, other = (network(features, noise) for noise in (torch.randn(B, 2), torch.zeros(B, 2)))
    must(torch.equal(one.mean, other.mean), "its mean depends on the noise")
    must(torch.equal(one.log_var, other.log_var), "its log_var depends on the noise")


@check("posterior")
def treats_an_image_by_itself(posterior: Posterior) -> None:
    network, features, noise = _built(posterior, 2).eval(), torch.randn(B, F), torch.randn(B, 2)
    whole, alone = network(features, noise).mean, network(features[:1], noise[:1]).mean
    must(torch.allclose(whole[:1], alone, atol=1e-5), "an image's mean depends on the batch")


@check("posterior")
def says_its_density(posterior: Posterior) -> None:
    """By importance sampling: a density p that is narrower than q has the mean of p / q = 1."""
    if posterior.family == "point":
        return
    sample = _many(posterior)
    z = sample.z
    middle, spread = z.mean(dim=0), 0.5 * z.std(dim=0)
    log_p = torch.distributions.Normal(middle, spread).log_prob(z).sum(dim=1)
    weight = (log_p - _density(sample)).exp().mean().item()
    must(abs(weight - 1) < 0.1, f"its density is off by a factor of {1 / max(weight, 1e-9):.3g}")


@check("posterior")
def is_of_its_family(posterior: Posterior) -> None:
    sample = _many(posterior)
    if posterior.family == "point":
        must(torch.equal(sample.z, sample.mean), "says that it is a point, and z is not the mean")
    if posterior.family not in ("normal", "independent normal"):
        return
    z, mean, std = sample.z, sample.mean[0], (0.5 * sample.log_var[0]).exp()
    as_said = torch.allclose(z.mean(dim=0), mean, atol=0.05)
    as_said = as_said and torch.allclose(z.std(dim=0), std, rtol=0.05)
    must(as_said, f"says that it is {posterior.family}, and z has not its mean and log_var")
    said = 0.0 if sample.correlation is None else sample.correlation[0].item()
    marginals = torch.distributions.Normal(mean, std).log_prob(z).sum(dim=1)
    found = (_density(sample) - marginals).mean().item()
    must(abs(found - said) < 0.05, f"its correlation is {found:.3g} and said to be {said:.3g}")


@check("posterior")
def trains_its_parameters(posterior: Posterior) -> None:
    network = disturbed(_built(posterior, 3))
    sample = network(torch.randn(64, F), torch.randn(64, 3))
    # What it adds to a Sample may be for a term, which then trains a part of it.
    given = [v for v in vars(sample).values() if isinstance(v, Tensor) and v.requires_grad]
    must(given, "nothing that it gives depends on it")
    torch.stack([(tensor * torch.randn_like(tensor)).sum() for tensor in given]).sum().backward()
    for name, parameter in network.named_parameters():
        reached = parameter.grad is not None and parameter.grad.abs().sum() > 0
        must(reached or not parameter.requires_grad, f"no gradient reaches parameter {name}")


def _built(posterior: Posterior, latent_dim: int) -> nn.Module:
    torch.manual_seed(0)
    network = posterior.build(F, latent_dim)
    must(isinstance(network, nn.Module), f"build gives {type(network).__name__}, not an nn.Module")
    return network


def _many(posterior: Posterior) -> Sample:
    """Samples for one image."""
    network = _built(posterior, 2).eval()
    with torch.no_grad():
        disturbed(network)
        features = torch.randn(1, F).expand(MANY, F)
        sample: Sample = network(features, torch.randn(MANY, 2))
    return sample


def _density(sample: Sample) -> Tensor:
    density = sample.log_density
    assert density is not None
    return density
