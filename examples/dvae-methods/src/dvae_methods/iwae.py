"""IWAE: the importance-weighted bound of several samples, in place of reconstruction and KL.

Burda et al., "Importance Weighted Autoencoders" (arXiv:1509.00519), equation 8.
"""

import math

from dvae_core import Term
from pydantic import Field


class ImportanceWeighted(Term):
    """Minus the bound on log p(image), in nats, but for the reconstruction's constant.

    A recipe gives weight 0 to reconstruction and KL beside it, which this term has within.
    """

    name = "importance_weighted"

    samples: int = Field(default=5, ge=1)
    """Of each image's posterior."""

    def build(self, model):
        import torch

        model.log_prior(torch.zeros(1, model.latent_dim))  # raises where there is none

        def minus_bound(outputs, labels):
            log_weights = []
            for _ in range(self.samples):
                sample = model.sample(outputs.images, torch.randn_like(outputs.z))
                loss = model.reconstruction.loss(model.decode(sample.z), outputs.images)
                log_weights.append(model.log_prior(sample.z) - sample.log_density - loss)
            bound = torch.stack(log_weights).logsumexp(dim=0) - math.log(self.samples)
            return -bound.mean()

        return minus_bound
