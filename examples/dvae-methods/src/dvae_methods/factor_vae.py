"""FactorVAE: a critic with an optimizer of its own says how far z is from independent dimensions.

Kim and Mnih, "Disentangling by Factorising" (arXiv:1802.05983), algorithm 2.
"""

from dvae_core import Term
from pydantic import Field


class TotalCorrelation(Term):
    """The total correlation of z in nats, as a critic estimates it that learns all the while."""

    name = "total_correlation"

    width: int = Field(default=256, ge=1)
    """Of the critic's two hidden layers."""
    lr: float = Field(default=1e-3, gt=0)
    """The critic's learning rate."""

    def build(self, model):
        import torch
        from torch import nn
        from torch.nn.functional import softplus

        class Critic(nn.Module):
            def __init__(self, dim, width, lr):
                super().__init__()
                self.network = nn.Sequential(
                    nn.Linear(dim, width), nn.LeakyReLU(0.2),
                    nn.Linear(width, width), nn.LeakyReLU(0.2),
                    nn.Linear(width, 1),
                )  # fmt: skip
                # Only `learn` trains it: the run's optimizer leaves alone what has no gradient.
                self.network.requires_grad_(False)
                self.optimizer = torch.optim.Adam(self.network.parameters(), lr, (0.5, 0.9))

            def learn(self, z):
                half = len(z) // 2
                apart = [column[torch.randperm(half, device=z.device)] for column in z[-half:].T]
                self.network.requires_grad_(True)
                together, apart = self.network(z[:half]), self.network(torch.stack(apart, dim=1))
                (softplus(-together) + softplus(apart)).mean().backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.network.requires_grad_(False)

            def forward(self, outputs, labels):
                if self.training and len(outputs.z) > 1:
                    self.learn(outputs.z.detach())
                return self.network(outputs.z).mean()  # log of q(z) over the product of q(z_d)

            def get_extra_state(self):
                return self.optimizer.state_dict()

            def set_extra_state(self, state):
                self.optimizer.load_state_dict(state)

        return Critic(model.latent_dim, self.width, self.lr)
