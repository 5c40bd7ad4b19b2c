"""Posteriors: features and noise to latent points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvae_core import Posterior, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Diagonal(Posterior):
    """Normal with independent dimensions: what a recipe without a posterior has.

    Kingma and Welling (arXiv:1312.6114), section 3.
    """

    name = "diagonal"
    family = "independent normal"

    def build(self, features: int, latent_dim: int) -> nn.Module:
        from dvae_core import IndependentNormal

        return IndependentNormal(features, latent_dim)


class FullCovariance(Posterior):
    """Normal with any covariance: z = mean + L noise, with a lower triangular L for each image.

    It starts with independent dimensions. Kingma and Welling, "An Introduction to Variational
    Autoencoders" (arXiv:1906.02691), section 2.5.1.
    """

    name = "full_covariance"
    family = "normal"

    def build(self, features: int, latent_dim: int) -> nn.Module:
        from dvae_plugins.samplers import Correlated

        return Correlated(features, latent_dim)


class Deterministic(Posterior):
    """A point: z is the mean, whatever the noise. For plain autoencoders.

    It has no density, so that there is no bound on the likelihood. The KL `square` is then half the
    squared length of z, the penalty of Ghosh et al., "From Variational to Deterministic
    Autoencoders" (arXiv:1903.12436); at weight 0 nothing holds the points.
    """

    name = "deterministic"
    family = "point"

    def build(self, features: int, latent_dim: int) -> nn.Module:
        from dvae_plugins.samplers import Point

        return Point(features, latent_dim)


@hookimpl
def register_posteriors() -> list[type[Posterior]]:
    return [Diagonal, FullCovariance, Deterministic]
