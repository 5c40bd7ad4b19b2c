"""ACAI: a critic guesses how two images were mixed, and the model makes it guess "not at all".

Berthelot et al., "Understanding and Improving Interpolation in Autoencoders via an Adversarial
Regularizer" (arXiv:1807.07543), section 2.
"""

from dvae_core import Term
from pydantic import Field


class Interpolations(Term):
    """The square of how much a critic takes decoded mixtures of two images for mixed."""

    name = "acai"

    width: int = Field(default=256, ge=1)
    """Of the critic's two hidden layers."""
    lr: float = Field(default=1e-3, gt=0)
    """The critic's learning rate."""

    def build(self, model):
        import torch
        from torch import nn

        class Critic(nn.Module):
            def __init__(self, image_shape, width, lr):
                super().__init__()
                self.network = nn.Sequential(
                    nn.Flatten(),
                    nn.Linear(torch.Size(image_shape).numel(), width), nn.LeakyReLU(0.2),
                    nn.Linear(width, width), nn.LeakyReLU(0.2),
                    nn.Linear(width, 1),
                )  # fmt: skip
                self.network.requires_grad_(False)  # as in factor_vae.py
                self.optimizer = torch.optim.Adam(self.network.parameters(), lr)

            def learn(self, mixed, share, images):
                self.network.requires_grad_(True)
                wrong = (self.network(mixed) - share).square() + self.network(images).square()
                wrong.mean().backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.network.requires_grad_(False)

            def forward(self, outputs, labels):
                share = 0.5 * torch.rand(len(outputs.z), 1, device=outputs.z.device)
                between = torch.lerp(outputs.z, outputs.z.roll(1, dims=0), share)
                mixed = model.reconstruction.image(model.decode(between))
                if self.training:
                    self.learn(mixed.detach(), share, outputs.images)
                return self.network(mixed).square().mean()

            def get_extra_state(self):
                return self.optimizer.state_dict()

            def set_extra_state(self, state):
                self.optimizer.load_state_dict(state)

        return Critic(model.image_shape, self.width, self.lr)
