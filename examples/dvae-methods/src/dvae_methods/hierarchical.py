"""A hierarchical prior: z has a cause u of its own, and what a z was caused by is learned too.

Sonderby et al., "Ladder Variational Autoencoders" (arXiv:1602.02282), section 2, with two layers.
"""

from dvae_core import KL
from pydantic import Field


class HierarchicalKL(KL):
    """The divergence to p(z) = E p(z | u) over u from N(0, 1), by a sample of u for each z.

    log q(z | image) - log p(z | u) - log p(u) + log r(u | z), where networks say the means and
    widths of p(z | u) and of r. Its mean is no less than the divergence, so that the bound holds.
    """

    name = "hierarchical"
    divergence = True
    given_outputs = True

    top: int = Field(default=2, ge=1)
    """Dimensions of u."""
    width: int = Field(default=128, ge=1)
    """Of each network's hidden layer."""

    def build(self, latent_dim, classes):
        from torch import nn
        from torch.distributions import Normal

        class TwoLayers(nn.Module):
            def __init__(self, top, width):
                super().__init__()
                self.up = self.network(latent_dim, width, top)
                self.down = self.network(top, width, latent_dim)

            def network(self, inwards, width, outwards):
                return nn.Sequential(
                    nn.Linear(inwards, width), nn.Tanh(), nn.Linear(width, 2 * outwards)
                )

            def normal(self, network, given):
                mean, log_std = network(given).chunk(2, dim=1)
                return Normal(mean, log_std.exp(), validate_args=False)

            def log_prior(self, z):
                r = self.normal(self.up, z)
                u = r.rsample()
                p = self.normal(self.down, u)
                top = Normal(0.0, 1.0, validate_args=False).log_prob(u) - r.log_prob(u)
                return p.log_prob(z).sum(dim=1) + top.sum(dim=1)

            def forward(self, mean, log_var, labels, outputs):
                return outputs.log_q - self.log_prior(outputs.z)

        return TwoLayers(self.top, self.width)
